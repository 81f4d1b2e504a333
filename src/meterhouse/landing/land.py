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
from meterhouse.landing.files import FileToLand, Identity, Look, Problem, identify, list_files, look_at
from meterhouse.landing.read import CHUNK_ROWS, Batch, Origin, read_batches, refused_file, together
from meterhouse.landing.reasons import Fault
from meterhouse.landing.voids import newly_voided
from meterhouse.tables import LandedFiles, empty, schema_of
from meterhouse.tables.columns import INSTANT
from meterhouse.tables.properties import MOST_REMEMBERED, Held, PropertyNames, is_typable, property_columns

BATCH_ROWS: Final = 500_000
"""Events appended at once: with their metadata some hundred MB."""

BATCH_BYTES: Final = 256 << 20
"""As much is appended at once where events are large. Storing them takes several times that memory."""

NUMBER_BYTES: Final = 16

STILL_WRITTEN: Final = (
    "It changed while it was read, so it is still being written. It is left for the next landing. "
    "Write files under a name that begins with `.` or `_`, and rename them when they are complete."
)

_COUNTS: Final = ("records", "events", "rejected", "duplicates", "conflicts", "voids", "rounded_numbers")
_SIDE_TABLES: Final = {
    "rejected": "rejected_events",
    "duplicates": "event_duplicates",
    "conflicts": "event_conflicts",
    "voids": "voids",
}
_DATED: Final = (*KEY, "date")


class EventStore(Protocol):
    """Where landed rows are kept. Each append happens wholly or not at all."""

    def landed_files(self) -> pl.DataFrame:
        """(file_id, path, events) of the files that were landed to their end."""

    def event_columns(self) -> list[str]:
        """Columns of the stored events, with those of properties."""

    def untyped_properties(self) -> set[Held]:
        """Properties that will never have a column."""

    def known_events(self, keys: pl.DataFrame) -> pl.DataFrame:
        """The stored events with one of these (source, event_id), with at least the columns of `Events`.

        `date` beside a key is the day of the record that has it: only stored events near enough to it may count. Where
        it is null, all do.
        """

    def named(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """Rows of `voids` or `voided_events` with one of these (source, event_id), in the order of their landing."""

    def places(self, table: str, file_ids: pl.Series) -> pl.DataFrame:
        """(file_id, position) of some files that a table of records set aside, or `voids`, has."""

    def append(self, table: str, rows: pl.DataFrame) -> None:
        """Add rows to a table; `events` may bring new property columns."""


@dataclass(frozen=True)
class LandingReport:
    """What a landing did: a row of `LandedFiles` per file, and what could not be landed at all.

    `seen_before` counts the files that an earlier landing landed, `repeated` those with the content of another new one.
    """

    files: pl.DataFrame
    seen_before: int
    problems: tuple[Problem, ...]
    repeated: int = 0


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

    A file with the path of another that gave events is a changed one: its records without ids are refused, since the
    sender may have added to what was there. A file that cannot be opened, or changes while it is read, is a problem,
    and tried again by the next run.

    Rows are appended `batch_rows` at a time, or fewer where they are large, whether they come from one file or from
    many small ones. What a file is noted with is written last: without it the file is landed again, finds its own rows
    by file and position, and adds only what is missing.
    """
    zone = list_files(folder)
    before = store.landed_files()
    seen, used_paths = set(before["file_id"]), set(before.filter(pl.col("events") > 0)["path"])
    problems = list(zone.problems)
    gathered = _Gathered(store, landed_at, settings.limits.max_property_columns, problems)
    seen_before = repeated = 0
    for file in zone.files:
        on_file(file)
        identity = _identify(file, problems)
        if identity is None:
            continue
        if identity.file_id in seen:
            seen_before += 1
        elif gathered.has(identity.file_id):
            repeated += 1
        else:
            origin = Origin(identity.file_id, file.name, settings, landed_at, is_changed=file.name in used_paths)
            gathered.read(file, identity.look, origin, batch_rows)
    gathered.append()
    return LandingReport(gathered.landed(), seen_before, tuple(problems), repeated)


def _identify(file: FileToLand, problems: list[Problem]) -> Identity | None:
    try:
        identity = identify(file.path)
    except OSError as error:
        explanation = f"It cannot be opened: {error.strerror}. Let this program read it, and land again."
        problems.append(Problem(file.name, explanation))
        return None
    if identity is None:
        problems.append(Problem(file.name, STILL_WRITTEN))
    return identity


@dataclass
class _Reading:
    """A file that is read, or was, and is not noted yet."""

    file: FileToLand
    look: Look
    origin: Origin
    counts: dict[str, int]
    is_stored: bool = False
    """Whether some of its rows are stored."""
    is_ended: bool = False

    def has_changed(self) -> bool:
        """Whether the file is another one by now, so that what was read may be of either."""
        return look_at(self.file.path) != self.look

    def row(self) -> dict[str, Any]:
        """Its row of `LandedFiles`."""
        known = {"file_id": self.origin.file_id, "path": self.file.name, "bytes": self.look.bytes}
        return {**known, **self.counts, "landed_at": self.origin.landed_at}


class _Gathered:
    """Batches that are appended together, and what is counted of each file."""

    def __init__(self, store: EventStore, landed_at: datetime, most_columns: int, problems: list[Problem]) -> None:
        self._store = store
        self._landed_at = landed_at
        self._most_columns = most_columns
        self._problems = problems
        self._batches: list[tuple[_Reading, Batch]] = []
        self._rows = self._bytes = 0
        self._columns: set[str] = set()
        self._readings: dict[str, _Reading] = {}
        self._read: set[str] = set()
        self._landed = [empty(LandedFiles).collect()]

    def has(self, file_id: str) -> bool:
        """Whether this landing has read a file with this content."""
        return file_id in self._read

    def read(self, file: FileToLand, look: Look, origin: Origin, batch_rows: int) -> None:
        """Read a file to its end, and append whenever enough has been gathered."""
        reading = _Reading(file, look, origin, dict.fromkeys(_COUNTS, 0))
        self._read.add(origin.file_id)
        self._readings[origin.file_id] = reading
        for batch in read_batches(file, origin, chunk_rows=min(CHUNK_ROWS, batch_rows)):
            self._batches.append((reading, batch))
            self._rows += batch.records
            self._bytes += batch.bytes
            self._columns.update(batch.events.columns)
            if self._rows >= batch_rows or max(self._bytes, self._together_bytes()) >= BATCH_BYTES:
                self.append()
                if reading.is_ended or origin.file_id not in self._readings:
                    return
        reading.is_ended = True

    def append(self) -> None:
        """Append what waits, then note the files that were read to their end."""
        for reading in {id(reading): reading for reading, _ in self._batches}.values():
            if reading.has_changed():
                self._leave(reading)
        for reading, batch in self._batches:
            reading.counts["records"] += batch.records
            reading.counts["rounded_numbers"] += batch.rounded_numbers
        if self._batches:
            self._append_rows(together(batch for _, batch in self._batches))
        for reading, _ in self._batches:
            reading.is_stored = True
        ended = [reading for reading in self._readings.values() if reading.is_ended]
        if ended:
            rows = pl.DataFrame([reading.row() for reading in ended], schema=schema_of(LandedFiles))
            self._store.append("landed_files", rows)
            self._landed.append(rows)
        for reading in ended:
            del self._readings[reading.origin.file_id]
        self._batches = []
        self._rows = self._bytes = 0
        self._columns = set()

    def landed(self) -> pl.DataFrame:
        """A row of `LandedFiles` for each file that was landed."""
        return pl.concat(self._landed)

    def _together_bytes(self) -> int:
        """What the batches take as one, in which each has the columns of all; at most, as most columns hold numbers."""
        return self._rows * len(self._columns) * NUMBER_BYTES

    def _leave(self, reading: _Reading) -> None:
        """Drop what waits of a file that changed: nobody knows of which content it is.

        Where some of the file is stored already, that is of the content that was hashed, and the file is noted as one
        that broke off there.
        """
        self._batches = [held for held in self._batches if held[0] is not reading]
        if reading.is_stored:
            self._batches.append((reading, refused_file(Fault("file_changed"), reading.origin)))
            reading.is_ended = True
        else:
            del self._readings[reading.origin.file_id]
            self._read.remove(reading.origin.file_id)
            self._problems.append(Problem(reading.file.name, STILL_WRITTEN))

    def _append_rows(self, batch: Batch) -> None:
        # A void names an event of any day.
        of_voids = batch.voids.select(*KEY, date=pl.lit(None, pl.Date))
        known = self._store.known_events(pl.concat([batch.events.select(*KEY, "date"), of_voids]))
        settled = settle(batch.events, known, self._landed_at)
        voids = pl.concat([self._store.named("voids", batch.events.select(KEY)), batch.voids])
        if not settled.events.is_empty():
            self._append_events(settled.events)
        sides = {
            "rejected": batch.rejected,
            "duplicates": settled.duplicates,
            "conflicts": settled.conflicts,
            "voids": batch.voids,
        }
        for kind, rows in sides.items():
            _append_missing(_SIDE_TABLES[kind], rows, self._store)
            self._count(kind, rows)
        if not voids.is_empty():
            self._append_voided(pl.concat([known.select(_DATED), settled.events.select(_DATED)]), voids)
        self._count("events", batch.events)
        for kind in ("duplicates", "conflicts"):
            self._count("events", sides[kind], sign=-1)

    def _append_voided(self, events: pl.DataFrame, voids: pl.DataFrame) -> None:
        voided = newly_voided(
            events, voids, self._store.named("voided_events", voids.select(KEY).unique()), self._landed_at
        )
        if not voided.is_empty():
            self._store.append("voided_events", voided)

    def _append_events(self, events: pl.DataFrame) -> None:
        """Properties without a column are remembered first: events that nothing says they lack it would not count."""
        untyped = self._store.untyped_properties()
        most = 0 if len(untyped) >= MOST_REMEMBERED else self._most_columns
        typed, new = _typed_and_untyped(events, self._store.event_columns(), untyped, most)
        remembered = new[: MOST_REMEMBERED - len(untyped)]
        if remembered:
            rows = pl.DataFrame(remembered, schema=["kind", "property"], orient="row")
            self._store.append("untyped_properties", rows.with_columns(landed_at=pl.lit(self._landed_at, INSTANT)))
        self._store.append("events", typed)

    def _count(self, kind: str, rows: pl.DataFrame, sign: int = 1) -> None:
        for file_id, count in rows.group_by("file_id").len().iter_rows():
            self._readings[file_id].counts[kind] += sign * count


def _typed_and_untyped(
    events: pl.DataFrame, stored: list[str], untyped: set[Held], most: int
) -> tuple[pl.DataFrame, list[Held]]:
    """Give new properties their columns for ever, in the order in which accepted events first have them.

    So columns depend on what is stored and on nothing else: not on refused records, nor on where a landing was cut off.
    Properties that come when there are `most` columns have none, and are returned where they were not known as such.
    """
    names = PropertyNames(stored)
    columns = property_columns(events.columns)
    new: dict[Held, None] = {}
    typed: dict[str, str] = {}
    for held in sorted(columns, key=lambda held: (events[columns[held]].is_not_null().arg_max(), held)):
        if held in names or (is_typable(held[1]) and held not in untyped and len(names) < most):
            typed[columns[held]] = names.column(*held)
        elif is_typable(held[1]) and held not in untyped:
            new[held] = None
    kept = [name for name in events.columns if name in typed or name not in columns.values()]
    return events.select(kept).rename(typed), list(new)


def _append_missing(table: str, rows: pl.DataFrame, store: EventStore) -> None:
    if rows.is_empty():
        return
    stored = store.places(table, rows["file_id"].unique())
    missing = rows.join(stored, on=PLACE, how="anti")
    if not missing.is_empty():
        store.append(table, missing)
