"""Land a folder: every file once, every event once, at whatever instant the last landing was cut off (rule 1.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import polars as pl

from meterhouse.catalog.settings import Settings
from meterhouse.landing.duplicates import KEY, settle
from meterhouse.landing.files import FileToLand, Problem, hash_file, list_files
from meterhouse.landing.read import BATCH_ROWS, Batch, Origin, read_batches
from meterhouse.tables import LandedFiles, empty, schema_of


class EventStore(Protocol):
    """Where landed rows are kept. Each append happens wholly or not at all."""

    def landed_file_ids(self) -> set[str]:
        """Files that were landed to their end."""

    def event_columns(self) -> list[str]:
        """Columns of the stored events, with those of properties."""

    def known_events(self, keys: pl.DataFrame) -> pl.DataFrame:
        """The stored events with one of these (source, event_id), with at least the columns of `Events`."""

    def positions(self, table: str, file_id: str) -> pl.Series:
        """Positions of a file that `rejected_events`, `event_duplicates` or `event_conflicts` has."""

    def append(self, table: str, rows: pl.DataFrame) -> None:
        """Add rows to a table; `events` may bring new property columns."""


@dataclass(frozen=True)
class LandingReport:
    """What a landing did: a row of `LandedFiles` per file, files landed before, and what could not be landed at all."""

    files: pl.DataFrame
    seen_before: int
    problems: tuple[Problem, ...]


def land_folder(
    folder: Path,
    store: EventStore,
    settings: Settings,
    landed_at: datetime,
    *,
    batch_rows: int = BATCH_ROWS,
    on_file: Callable[[FileToLand], None] = lambda _file: None,
) -> LandingReport:
    """Land every file of a folder that was not landed before, in the order of their names."""
    zone = list_files(folder)
    seen = store.landed_file_ids()
    seen_before = 0
    landed = [empty(LandedFiles).collect()]
    for file in zone.files:
        on_file(file)
        file_id = hash_file(file.path)
        if file_id in seen:
            seen_before += 1
            continue
        seen.add(file_id)
        landed.append(land_file(file, Origin(file_id, file.name, settings, landed_at), store, batch_rows=batch_rows))
    return LandingReport(files=pl.concat(landed), seen_before=seen_before, problems=zone.problems)


def land_file(file: FileToLand, origin: Origin, store: EventStore, *, batch_rows: int = BATCH_ROWS) -> pl.DataFrame:
    """Land one file and return its row of `LandedFiles`, which is written last: without it the file is landed again.

    The second time finds its own rows by file and position and adds only what is missing.
    """
    counts = dict.fromkeys(("records", "events", "rejected", "duplicates", "conflicts", "rounded_numbers"), 0)
    for batch in read_batches(file, origin, known_columns=store.event_columns(), batch_rows=batch_rows):
        for name, count in _land_batch(batch, origin, store).items():
            counts[name] += count
    size = file.path.stat().st_size
    row = {"file_id": origin.file_id, "path": origin.path, "bytes": size, **counts, "landed_at": origin.landed_at}
    landed = pl.DataFrame([row], schema=schema_of(LandedFiles))
    store.append("landed_files", landed)
    return landed


def _land_batch(batch: Batch, origin: Origin, store: EventStore) -> dict[str, int]:
    known = store.known_events(batch.events.select(KEY).unique())
    settled = settle(batch.events, known, origin.landed_at)
    if not settled.events.is_empty():
        store.append("events", settled.events)
    sides = {
        "rejected_events": batch.rejected,
        "event_duplicates": settled.duplicates,
        "event_conflicts": settled.conflicts,
    }
    for table, rows in sides.items():
        _append_missing(table, rows, origin.file_id, store)
    return {
        "records": batch.records,
        "events": settled.events.height + settled.already_landed,
        "rejected": batch.rejected.height,
        "duplicates": settled.duplicates.height,
        "conflicts": settled.conflicts.height,
        "rounded_numbers": batch.rounded_numbers,
    }


def _append_missing(table: str, rows: pl.DataFrame, file_id: str, store: EventStore) -> None:
    if rows.is_empty():
        return
    missing = rows.filter(~pl.col("position").is_in(store.positions(table, file_id).implode()))
    if not missing.is_empty():
        store.append(table, missing)
