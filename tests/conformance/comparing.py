"""Whether an answer is what a peer asserts."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

_ROUNDING = {"round": ROUND_HALF_UP, "ceil": ROUND_CEILING}


def differences(expect: Any, answer: Any, rounded: dict[str, dict[str, int]] | None = None, at: str = "") -> list[str]:
    """List where an answer differs from what is expected; only what the peer asserts is compared.

    `rounded` says to how many places the peer rounds a field before it compares (Lago's `compare`). Of an error only
    that there is one is compared: its words are the peer's.
    """
    if isinstance(expect, dict):
        return _dict_differences(expect, answer, rounded or {}, at)
    if isinstance(expect, list):
        return _list_differences(expect, answer, rounded or {}, at)
    return [] if _same(expect, answer) else [f"{at.rstrip('.') or 'answer'}: expected {expect}, found {answer}"]


def _dict_differences(expect: dict[str, Any], answer: Any, rounded: dict[str, dict[str, int]], at: str) -> list[str]:
    if not isinstance(answer, dict):
        return [f"{at.rstrip('.') or 'answer'}: expected {expect}, found {answer}"]
    if ("error" in expect) != ("error" in answer):
        return [f"{at}error: expected {expect.get('error')}, found {answer.get('error')}"]
    if "error" in expect:
        return []
    found = []
    for name, value in expect.items():
        place = f"{at}{name}"
        if name in answer:
            found += differences(value, _as_rounded(answer[name], rounded.get(name, {})), rounded, f"{place}.")
        else:
            found.append(f"{place}: expected {value}, found nothing")
    return found


def _list_differences(expect: list[Any], answer: Any, rounded: dict[str, dict[str, int]], at: str) -> list[str]:
    if not isinstance(answer, list) or len(answer) != len(expect):
        return [f"{at.rstrip('.') or 'answer'}: expected {len(expect)} items, found {answer}"]
    return [
        difference
        for place, (wanted, given) in enumerate(zip(expect, answer, strict=True))
        for difference in differences(wanted, given, rounded, f"{at}{place}.")
    ]


def _as_rounded(answer: Any, how: dict[str, int]) -> Any:
    for mode, places in how.items():
        return Decimal(answer).quantize(Decimal(1).scaleb(-places), rounding=_ROUNDING[mode])
    return answer


def _same(expect: Any, answer: Any) -> bool:
    if expect is None or answer is None or isinstance(expect, bool) or isinstance(answer, bool):
        return expect is answer
    for reading in (_number, _instant):
        wanted, given = reading(expect), reading(answer)
        if wanted is not None and given is not None:
            return wanted == given
    return bool(expect == answer)


def _number(value: Any) -> Decimal | None:
    try:
        return Decimal(value)
    except (InvalidOperation, TypeError, ValueError):
        return None


def _instant(value: Any) -> datetime | None:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if not isinstance(instant, datetime):
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
