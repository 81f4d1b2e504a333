"""Meters and days whose states are stale are metered again; the others are left alone (rule 8.1)."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import unquote

import polars as pl

from meterhouse import __version__
from meterhouse.catalog import meter_version_rows
from meterhouse.invoicing import billing_periods
from meterhouse.metering import cuts_within_days, measure_days
from meterhouse.planning.events import counting_events
from meterhouse.planning.fingerprints import digest, frame_digest
from meterhouse.planning.progress import Progress, Silent
from meterhouse.planning.ranges import told_where
from meterhouse.planning.staleness import Made, Stale, definitions_on, find_stale, made_from, note_kept, note_made
from meterhouse.planning.steps import inputs_of, is_done, note_done
from meterhouse.planning.untyped import with_properties_of
from meterhouse.planning.whose import People, forget_reattributed, reattributed_days

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from meterhouse.catalog import Meter, Project
    from meterhouse.metering import Measured
    from meterhouse.warehouse import Warehouse

_STEP: Final = "metering"
_MOST_DAYS: Final = 31
_MOST_BYTES: Final = 48 * 2**20
"""Of Parquet, events and states together: its states, and what is in flight of its events, fit into a gigabyte."""


def meter(
    project: Project,
    warehouse: Warehouse,
    as_of: datetime,
    progress: Progress | None = None,
) -> list[date]:
    """Bring `usage_daily` up to date for all days before `as_of`; returns the days of which any meter was stale."""
    progress = progress or Silent()
    versions = meter_version_rows(project.catalog.meters)
    if is_done(warehouse, _STEP, _all_inputs(warehouse, versions, as_of)):
        progress.begin("Metering", 0)
        progress.end("nothing new")
        return []
    stale = _meter_stale(project, warehouse, versions, as_of, progress)
    note_done(warehouse, _STEP, _all_inputs(warehouse, versions, as_of))
    return stale


def _meter_stale(
    project: Project, warehouse: Warehouse, versions: pl.DataFrame, as_of: datetime, progress: Progress
) -> list[date]:
    cuts = cuts_within_days(billing_periods(warehouse.scan("subscriptions"), as_of)).collect()
    forget_reattributed(warehouse)
    now = _inputs(warehouse, versions, cuts, as_of)
    stale = find_stale(made_from(warehouse), now)
    note_kept(warehouse, stale, now)
    chunks = list(_chunks(stale, _sizes(warehouse)))
    progress.begin("Metering", len(chunks))
    # Read once: every chunk asks whose its events are.
    people = People(*(warehouse.scan(table).collect() for table in People._fields))
    with _Storing() as storing:
        for chunk in chunks:
            days = [of.day for of in chunk]
            progress.advance(f"{days[0]} to {days[-1]}")
            with told_where(f"metering {days[0]} to {days[-1]}"):
                measured = _measure(warehouse, days, _meters_of(project, chunk[0].measured), people, cuts)
            storing.begin(_store, warehouse, measured, days, chunk[0].kept, now)
    progress.end(f"{len(stale):,} days metered, {len(now) - len(stale):,} unchanged")
    return [of.day for of in stale]


def _all_inputs(warehouse: Warehouse, versions: pl.DataFrame, as_of: datetime) -> str:
    """What states are made from, and what they were made into: someone may have changed the tables."""
    tables = ("events", "voided_events", "customers", "subscriptions", "untyped_properties", "usage_daily", "sent_ids")
    return inputs_of(warehouse, tables, frame_digest(versions), as_of.isoformat())


def stale_days(warehouse: Warehouse, as_of: datetime) -> list[date]:
    """Days before `as_of` whose states were made from other inputs than are stored now; the next run meters them."""
    cuts = cuts_within_days(billing_periods(warehouse.scan("subscriptions"), as_of)).collect()
    versions = warehouse.scan("meter_versions").join(warehouse.scan("meters"), on=["meter", "definition"], how="semi")
    now = _inputs(warehouse, versions.collect(), cuts, as_of)
    moved = {date.fromisoformat(day) for day in reattributed_days(warehouse)}
    return sorted({of.day for of in find_stale(made_from(warehouse), now)} | (moved & now.keys()))


def _meters_of(project: Project, names: frozenset[str]) -> dict[str, Meter]:
    return {name: of for name, of in project.catalog.meters.items() if name in names}


class _Storing:
    """One thread stores days while the next are measured. Leaving the context waits for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="storing")
        self._begun: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait to the end, also where measuring broke off: what was handed over is stored as a whole."""
        with self._thread:
            if kind is None:
                self._wait()

    def begin(self, store: Callable[..., None], *arguments: object) -> None:
        """Store something when all before it is stored: so no more than two chunks are held at once."""
        self._wait()
        self._begun = self._thread.submit(store, *arguments)

    def _wait(self) -> None:
        if self._begun is not None:
            self._begun.result()


def _measure(
    warehouse: Warehouse, days: Sequence[date], meters: Mapping[str, Meter], people: People, cuts: pl.DataFrame
) -> Measured:
    within = pl.col("date").is_between(days[0], days[-1])
    events = with_properties_of(meters.values(), counting_events(warehouse, within), warehouse)
    return measure_days(
        events, meters, people.customers.lazy(), people.subscriptions.lazy(), cuts.lazy().filter(within)
    )


def _store(
    warehouse: Warehouse, measured: Measured, days: Sequence[date], kept: frozenset[str], now: Mapping[date, Made]
) -> None:
    """Replace what is stored of some days: some meters measured again, some as they are, the others no more."""
    where = f"date >= '{days[0]}' AND date <= '{days[-1]}'"
    states = measured.usage_daily
    if kept:
        of_kept = pl.col("date").is_between(days[0], days[-1]) & pl.col("meter").is_in(kept)
        stored = warehouse.scan("usage_daily").filter(of_kept).collect()
        states = pl.concat([stored, states]).sort("date", "meter", maintain_order=True)
    else:
        warehouse.overwrite("sent_ids", measured.sent_ids, where)
    warehouse.overwrite("usage_daily", states, where)
    note_made(warehouse, {day: now[day] for day in days})


def _inputs(warehouse: Warehouse, versions: pl.DataFrame, cuts: pl.DataFrame, as_of: datetime) -> dict[date, Made]:
    """What each day with events is made from, but whose the events are: `forget_reattributed` sees to that."""
    files, voided = _files_by_day(warehouse, "events"), _files_by_day(warehouse, "voided_events")
    cut_days = {day: frame_digest(rows) for (day,), rows in cuts.partition_by("date", as_dict=True).items()}
    days = {day: (*paths, *voided.get(day, ())) for day, paths in files.items() if day < as_of.date()}
    definitions = definitions_on(versions, days)
    return {
        day: Made(digest(__version__, cut_days.get(day, ""), *(path.name for path in paths)), definitions[day])
        for day, paths in days.items()
    }


def _files_by_day(warehouse: Warehouse, table: str) -> dict[date, list[Path]]:
    """Stored files of a table that is partitioned by day, by the day that their folder names."""
    paths = sorted(Path(unquote(uri.removeprefix("file://"))) for uri in warehouse.file_uris(table))
    by_day = sorted((date.fromisoformat(path.parent.name.removeprefix("date=")), path) for path in paths)
    return {day: [path for _, path in pairs] for day, pairs in groupby(by_day, key=lambda pair: pair[0])}


def _sizes(warehouse: Warehouse) -> dict[date, int]:
    """Bytes of Parquet of each day with events: what is read of it where a meter is measured again."""
    events, states = (_files_by_day(warehouse, table) for table in ("events", "usage_daily"))
    return {
        day: sum(path.stat().st_size for path in (*paths, *states.get(day, ())))
        for day, paths in sorted(events.items())
    }


def _chunks(stale: list[Stale], sizes: Mapping[date, int]) -> Iterator[list[Stale]]:
    """Days with the same work, no other day with events between them, and as many as may be read at once."""
    place = {day: number for number, day in enumerate(sizes)}
    chunk: list[Stale] = []
    size = 0
    for of in stale:
        follows = bool(chunk) and place[of.day] == place[chunk[-1].day] + 1 and of[1:] == chunk[-1][1:]
        if chunk and (not follows or len(chunk) == _MOST_DAYS or size + sizes[of.day] > _MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(of)
        size += sizes[of.day]
    if chunk:
        yield chunk
