"""What is printed at the end, and the floor: how many cases passed before."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.conformance.judging import NO_ADAPTER, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Floor = dict[str, dict[str, int]]
"""Cases passed, by peer and kind."""

RECORDED: Final = "conformance"
"""Under which name a test records its verdicts, so that they are counted in whichever process it ran."""

_FLOOR: Final = Path(__file__).parent / "floor.json"


def record_of(verdicts: list[Verdict]) -> dict[str, Any]:
    """Put the verdicts on one kind in plain values."""
    counted = Counter(
        (str(verdict.outcome), "" if verdict.outcome is Outcome.FAILED else verdict.why) for verdict in verdicts
    )
    case = verdicts[0].case
    return {"peer": case.peer, "kind": case.kind, "verdicts": [[*what, number] for what, number in counted.items()]}


def lines_of(records: list[dict[str, Any]]) -> Iterator[str]:
    """Write the table, the deviations with their reasons, and what is missing where a kind is covered in part."""
    records = sorted(records, key=lambda record: (record["peer"], record["kind"]))
    yield _row("peer", "kind", Outcome)
    for record in records:
        yield _row(record["peer"], record["kind"], (str(_number(record, outcome) or "") for outcome in Outcome))
    yield _row("all", "", (str(sum(_number(record, outcome) for record in records)) for outcome in Outcome))
    yield from _reasons(records, Outcome.DEVIATES, "deviates, and is meant to:")
    yield from _reasons(records, Outcome.NOT_COVERED, "not covered, of kinds that are covered else:")


def _row(peer: str, kind: str, figures: Iterable[str]) -> str:
    return f"{peer:<10} {kind:<30}" + "".join(f"{figure:>13}" for figure in figures)


def _number(record: dict[str, Any], outcome: Outcome) -> int:
    return sum(number for found, _, number in record["verdicts"] if found == outcome)


def _reasons(records: list[dict[str, Any]], outcome: Outcome, title: str) -> Iterator[str]:
    reasons = [
        f"{number:>6}  {record['peer']} {record['kind']}: {why}"
        for record in records
        for found, why, number in sorted(record["verdicts"])
        if found == outcome and why != NO_ADAPTER
    ]
    if reasons:
        yield from ("", title, *reasons)


def read_floor() -> Floor:
    """Read how many cases passed before."""
    floor: Floor = json.loads(_FLOOR.read_text(encoding="utf-8")) if _FLOOR.exists() else {}
    return floor


def raise_floor(records: list[dict[str, Any]]) -> None:
    """Keep how many cases pass now, where they are more than before."""
    floor = read_floor()
    for record in records:
        passed = _number(record, Outcome.PASSED)
        if passed > floor.get(record["peer"], {}).get(record["kind"], 0):
            floor.setdefault(record["peer"], {})[record["kind"]] = passed
    _FLOOR.write_text(json.dumps(floor, indent=2, sort_keys=True) + "\n", encoding="utf-8")
