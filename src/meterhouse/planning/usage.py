"""Days whose states are stale are metered again; the others are left alone (rule 8.1)."""

from __future__ import annotations

from datetime import date
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import polars as pl

from meterhouse import __version__
from meterhouse.invoicing import billing_periods
from meterhouse.metering import cuts_within_days, measure_daily
from meterhouse.planning.events import counting_events
from meterhouse.planning.fingerprints import digest, forget, frame_digest, record, recorded
from meterhouse.planning.progress import Progress, Silent
from meterhouse.planning.ranges import told_where
from meterhouse.planning.untyped import with_properties_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from meterhouse.catalog import Project
    from meterhouse.warehouse import Warehouse

_MOST_DAYS: Final = 31
_MOST_BYTES: Final = 128 * 2**20
"""Of Parquet; what is read of it takes some five times that."""


def meter(
    project: Project,
    warehouse: Warehouse,
    as_of: datetime,
    progress: Progress | None = None,
) -> list[date]:
    """Bring `usage_daily` up to date for all days before `as_of`; returns the days that were metered again.

    A stale day's fingerprint is dropped before its states are replaced. Cut off in between, the day is stale also where
    its inputs are changed back before the next run.
    """
    progress = progress or Silent()
    cuts = cuts_within_days(billing_periods(warehouse.scan("subscriptions"), as_of)).collect()
    files = _files_by_day(warehouse)
    past = {day: paths for day, paths in files.items() if day < as_of.date()}
    now = _fingerprints(warehouse, project.definitions["meters"], past, cuts)
    stale = _changed(warehouse, now)
    chunks = list(_chunks(stale, files))
    forget(warehouse, "usage_daily", [day.isoformat() for day in stale])
    progress.begin("Metering", len(chunks))
    for chunk in chunks:
        progress.advance(f"{chunk[0]} to {chunk[-1]}")
        with told_where(f"metering {chunk[0]} to {chunk[-1]}"):
            _meter_days(project, warehouse, chunk, cuts)
        record(warehouse, "usage_daily", {day.isoformat(): now[day] for day in chunk})
    progress.end(f"{len(stale):,} days metered, {len(now) - len(stale):,} unchanged")
    return stale


def stale_days(warehouse: Warehouse, as_of: datetime) -> list[date]:
    """Days before `as_of` whose states were made from other inputs than are stored now; the next run meters them."""
    cuts = cuts_within_days(billing_periods(warehouse.scan("subscriptions"), as_of)).collect()
    past = {day: paths for day, paths in _files_by_day(warehouse).items() if day < as_of.date()}
    return _changed(warehouse, _fingerprints(warehouse, warehouse.scan("meters").collect(), past, cuts))


def _changed(warehouse: Warehouse, now: dict[date, str]) -> list[date]:
    before = recorded(warehouse, "usage_daily")
    return sorted(day for day, fingerprint in now.items() if before.get(day.isoformat()) != fingerprint)


def _meter_days(project: Project, warehouse: Warehouse, days: list[date], cuts: pl.DataFrame) -> None:
    within = pl.col("date").is_between(days[0], days[-1])
    meters = project.catalog.meters
    states = measure_daily(
        with_properties_of(meters.values(), counting_events(warehouse, within), warehouse),
        meters,
        warehouse.scan("customers"),
        warehouse.scan("subscriptions"),
        cuts.lazy().filter(within),
    )
    warehouse.replace("usage_daily", states.collect(), where=f"date >= '{days[0]}' AND date <= '{days[-1]}'")


def _fingerprints(
    warehouse: Warehouse, meters: pl.DataFrame, files: dict[date, list[Path]], cuts: pl.DataFrame
) -> dict[date, str]:
    measured = frame_digest(meters.select("meter", "definition"))
    customers = frame_digest(warehouse.scan("customers").select("customer_id", "external_id").collect())
    subscriptions = frame_digest(warehouse.scan("subscriptions").select("subscription_id", "customer_id").collect())
    voided = _files_by_day(warehouse, "voided_events")
    cut_days = {day: frame_digest(rows) for (day,), rows in cuts.partition_by("date", as_dict=True).items()}
    return {
        day: digest(
            __version__,
            measured,
            customers,
            subscriptions,
            cut_days.get(day, ""),
            *(path.name for path in (*paths, *voided.get(day, ()))),
        )
        for day, paths in files.items()
    }


def _files_by_day(warehouse: Warehouse, table: str = "events") -> dict[date, list[Path]]:
    """Stored files of `events` or `voided_events`, by the day that their folder names."""
    paths = sorted(Path(unquote(uri.removeprefix("file://"))) for uri in warehouse.file_uris(table))
    by_day = sorted((date.fromisoformat(path.parent.name.removeprefix("date=")), path) for path in paths)
    return {day: [path for _, path in pairs] for day, pairs in groupby(by_day, key=lambda pair: pair[0])}


def _chunks(stale: list[date], files: dict[date, list[Path]]) -> Iterator[list[date]]:
    """Stale days with no other day that has events between them, as many as may be read at once."""
    place = {day: number for number, day in enumerate(sorted(files))}
    chunk: list[date] = []
    size = 0
    for day in stale:
        day_size = sum(path.stat().st_size for path in files[day])
        follows = bool(chunk) and place[day] == place[chunk[-1]] + 1
        if chunk and (not follows or len(chunk) == _MOST_DAYS or size + day_size > _MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(day)
        size += day_size
    if chunk:
        yield chunk
