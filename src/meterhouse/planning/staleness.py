"""Which meters of which days are stale: what they were made from is recorded, and compared with what is there now.

A day's states follow from what all its meters share, its events for one, and from each meter's own definition. So a
changed meter makes only itself stale. Definitions are recorded once for all days that have the same ones.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from meterhouse.planning.fingerprints import digest, forget, record, recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

    from meterhouse.warehouse import Warehouse

_DAYS: Final = "usage_daily"
_DEFINITIONS: Final = "usage_daily definitions"


class Made(NamedTuple):
    """What a day's states are made from: a digest of what all meters share, and each meter's definition."""

    shared: str
    definitions: Mapping[str, str]


class Stale(NamedTuple):
    """What is to be done about a day: `measured` meters are metered again, `kept` ones stay, all others go."""

    day: date
    measured: frozenset[str]
    kept: frozenset[str]


def definitions_on(versions: pl.DataFrame, days: Iterable[date]) -> dict[date, dict[str, str]]:
    """What each meter measures on each day, as a digest; `versions` are rows of `MeterVersions`.

    So a change that holds from an instant on makes only that day and later ones stale (rule 2.5).
    """
    columns = versions.sort("meter", "version").select("meter", "valid_from", "valid_until", "measures")
    return {day: _on(day, list(columns.iter_rows())) for day in days}


def _on(day: date, versions: list[tuple[str, datetime | None, datetime | None, str]]) -> dict[str, str]:
    start = datetime.combine(day, time(), UTC)
    end = start + timedelta(days=1)
    found: dict[str, str] = {}
    for meter, since, until, measures in versions:
        if (since is None or since < end) and (until is None or until > start):
            # The version with which the day begins is the day's, whenever it began.
            begins = "" if since is None or since <= start else f" {since.isoformat()} "
            found[meter] = f"{found.get(meter, '')}{begins}{measures}"
    return found


def made_from(warehouse: Warehouse) -> dict[date, Made]:
    """What the stored days were made from, as it was recorded."""
    definitions = {name: json.loads(text) for name, text in recorded(warehouse, _DEFINITIONS).items()}
    days = {day: inputs.split(" ") for day, inputs in recorded(warehouse, _DAYS).items()}
    return {date.fromisoformat(day): Made(shared, definitions[named]) for day, (shared, named) in days.items()}


def find_stale(before: Mapping[date, Made], now: Mapping[date, Made]) -> list[Stale]:
    """Days with a meter that is to be measured again or to go, in order."""
    compared = (_compare(day, before.get(day), made) for day, made in sorted(now.items()))
    return [stale for stale in compared if stale is not None]


def _compare(day: date, before: Made | None, now: Made) -> Stale | None:
    if before == now:
        return None
    was = before.definitions if before is not None and before.shared == now.shared else {}
    kept = frozenset(meter for meter, definition in now.definitions.items() if was.get(meter) == definition)
    return Stale(day, frozenset(now.definitions) - kept, kept)


def note_kept(warehouse: Warehouse, stale: Iterable[Stale], now: Mapping[date, Made]) -> None:
    """Record stale days as having only the meters that are kept, before they are written.

    Cut off in between, the others are stale also where their inputs are changed back before the next run.
    """
    days = list(stale)
    forget(warehouse, _DAYS, [of.day.isoformat() for of in days if not of.kept])
    note_made(warehouse, {of.day: _only(now[of.day], of.kept) for of in days if of.kept})


def note_made(warehouse: Warehouse, made: Mapping[date, Made]) -> None:
    """Record what days were made from, after they were written."""
    texts = {day: json.dumps(dict(sorted(of.definitions.items()))) for day, of in made.items()}
    record(warehouse, _DEFINITIONS, {digest(text): text for text in set(texts.values())})
    record(warehouse, _DAYS, {day.isoformat(): f"{of.shared} {digest(texts[day])}" for day, of in made.items()})


def _only(made: Made, kept: frozenset[str]) -> Made:
    return Made(made.shared, {meter: made.definitions[meter] for meter in kept})
