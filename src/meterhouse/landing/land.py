"""Land a folder: every file once, every event once, at whatever instant the last landing was cut off (rule 1.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import polars as pl

from meterhouse.catalog.settings import Settings
from meterhouse.landing.duplicates import KEY, PLACE, settle
from meterhouse.landing.files import FileToLand, Problem, hash_file, list_files
from meterhouse.landing.read import CHUNK_ROWS, Batch, Origin, read_batches, together
from meterhouse.tables import LandedFiles, empty, schema_of
from meterhouse.tables.properties import PropertyNames, property_columns

BATCH_ROWS: Final = 500_000
"""Events appended at once: with their metadata some hundred MB."""

_COUNTS: Final = ("records", "events", "rejected", "duplicates", "conflicts", "rounded_numbers")
_SIDE_TABLES: Final = {
    "rejected": "rejected_events",
    "duplicates": "event_duplicates",
    "conflicts": "event_conflicts",
}


class EventStore(Protocol):
    """Where landed rows are kept. Each append happens wholly or not at all."""

    def landed_file_ids(self) -> set[str]:
        """Files that were landed to their end."""

    def event_columns(self) -> list[str]:
        """Columns of the stored events, with those of properties."""

    def known_events(self, keys: pl.DataFrame) -> pl.DataFrame:
        """The stored events with one of these (source, event_id), with at least the columns of `Events`."""

    def places(self, table: str, file_ids: pl.Series) -> pl.DataFrame:
        """(file_id, position) of some files that `rejected_events`, `event_duplicates` or `event_conflicts` has."""

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
    """Land every file of a folder that was not landed before, in the order of their names.

    Rows are appended `batch_rows` at a time, whether they come from one file or from many small ones. What a file is
    noted with is written last: without it the file is landed again, finds its own rows by file and position, and adds
    only what is missing.
    """
    zone = list_files(folder)
    seen = store.landed_file_ids()
    seen_before = 0
    gathered = _Gathered(store, landed_at)
    for file in zone.files:
        on_file(file)
        file_id = hash_file(file.path)
        if file_id in seen:
            seen_before += 1
            continue
        seen.add(file_id)
        gathered.begin(file, file_id)
        origin = Origin(file_id, file.name, settings, landed_at)
        for batch in read_batches(file, origin, chunk_rows=min(CHUNK_ROWS, batch_rows)):
            gathered.add(file_id, batch)
            if gathered.rows >= batch_rows:
                gathered.append()
        gathered.end(file_id)
    gathered.append()
    return LandingReport(files=gathered.landed(), seen_before=seen_before, problems=zone.problems)


class _Gathered:
    """Batches that are appended together, and what is counted of each file."""

    def __init__(self, store: EventStore, landed_at: datetime) -> None:
        self._store = store
        self._landed_at = landed_at
        self._batches: list[Batch] = []
        self._files: dict[str, dict[str, Any]] = {}
        self._ended: list[str] = []
        self._landed = [empty(LandedFiles).collect()]

    @property
    def rows(self) -> int:
        """Records that wait."""
        return sum(batch.records for batch in self._batches)

    def begin(self, file: FileToLand, file_id: str) -> None:
        """A file is about to be read."""
        size = file.path.stat().st_size
        known = {"file_id": file_id, "path": file.name, "bytes": size, "landed_at": self._landed_at}
        self._files[file_id] = {**known, **dict.fromkeys(_COUNTS, 0)}

    def add(self, file_id: str, batch: Batch) -> None:
        """Take what was read of a file."""
        self._files[file_id]["records"] += batch.records
        self._files[file_id]["rounded_numbers"] += batch.rounded_numbers
        self._batches.append(batch)

    def end(self, file_id: str) -> None:
        """All of a file was read."""
        self._ended.append(file_id)

    def append(self) -> None:
        """Append what waits, then note the files that were read to their end."""
        if self._batches:
            self._append_rows(together(self._batches))
        if self._ended:
            noted = [self._files.pop(file_id) for file_id in self._ended]
            rows = pl.DataFrame(noted, schema=schema_of(LandedFiles))
            self._store.append("landed_files", rows)
            self._landed.append(rows)
        self._batches = []
        self._ended = []

    def landed(self) -> pl.DataFrame:
        """A row of `LandedFiles` for each file that was landed."""
        return pl.concat(self._landed)

    def _append_rows(self, batch: Batch) -> None:
        known = self._store.known_events(batch.events.select(KEY).unique())
        settled = settle(batch.events, known, self._landed_at)
        if not settled.events.is_empty():
            self._store.append("events", _with_column_names(settled.events, self._store.event_columns()))
        sides = {"rejected": batch.rejected, "duplicates": settled.duplicates, "conflicts": settled.conflicts}
        for kind, rows in sides.items():
            _append_missing(_SIDE_TABLES[kind], rows, self._store)
            self._count(kind, rows)
        self._count("events", batch.events)
        for kind in ("duplicates", "conflicts"):
            self._count("events", sides[kind], sign=-1)

    def _count(self, kind: str, rows: pl.DataFrame, sign: int = 1) -> None:
        for file_id, count in rows.group_by("file_id").len().iter_rows():
            self._files[file_id][kind] += sign * count


def _with_column_names(events: pl.DataFrame, stored: list[str]) -> pl.DataFrame:
    """Give new properties their columns for ever, in the order in which accepted events first have them.

    So names depend on what is stored and on nothing else: not on refused records, nor on where a landing was cut off.
    """
    names = PropertyNames(stored)
    columns = property_columns(events.columns)
    in_order = sorted(columns, key=lambda held: (events[columns[held]].is_not_null().arg_max(), held))
    return events.rename({columns[held]: names.column(*held) for held in in_order})


def _append_missing(table: str, rows: pl.DataFrame, store: EventStore) -> None:
    if rows.is_empty():
        return
    stored = store.places(table, rows["file_id"].unique())
    missing = rows.join(stored, on=PLACE, how="anti")
    if not missing.is_empty():
        store.append(table, missing)
