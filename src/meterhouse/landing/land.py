"""Land a folder: every file once, every event once, at whatever instant the last landing was cut off (rule 1.3)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import polars as pl

from meterhouse.catalog.settings import Settings
from meterhouse.landing.batch import Batch, Origin, refused_file, together
from meterhouse.landing.files import FileToLand, Identity, Look, Problem, identify, list_files, look_at
from meterhouse.landing.json_text.known import Known
from meterhouse.landing.keep import EventStore, Keeper
from meterhouse.landing.read import CHUNK_ROWS, read_batches
from meterhouse.landing.reasons import Fault
from meterhouse.tables import LandedFiles, empty, schema_of

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
    hashed, identities = store.identities(), dict[str, Identity]()
    seen, used_paths = set(before["file_id"]), set(before.filter(pl.col("events") > 0)["path"])
    problems = list(zone.problems)
    seen_before = repeated = 0
    with _Gathered(store, landed_at, settings.limits.max_property_columns, problems) as gathered:
        for file in zone.files:
            on_file(file)
            identity = _identify(file, hashed.get(file.name), problems)
            if identity is None:
                continue
            identities[file.name] = identity
            if identity.file_id in seen:
                seen_before += 1
            elif gathered.has(identity.file_id):
                repeated += 1
            else:
                origin = Origin(identity.file_id, file.name, settings, landed_at, is_changed=file.name in used_paths)
                gathered.read(file, identity.look, origin, batch_rows)
    if identities != hashed:
        store.note_identities(identities)
    return LandingReport(gathered.landed(), seen_before, tuple(problems), repeated)


def _identify(file: FileToLand, before: Identity | None, problems: list[Problem]) -> Identity | None:
    if before is not None and look_at(file.path) == before.look:
        return before
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
    """Whether some of its rows are stored, or handed over to be."""
    is_ended: bool = False

    def has_changed(self) -> bool:
        """Whether the file is another one by now, so that what was read may be of either."""
        return look_at(self.file.path) != self.look

    def row(self) -> dict[str, Any]:
        """Its row of `LandedFiles`."""
        known = {"file_id": self.origin.file_id, "path": self.file.name, "bytes": self.look.bytes}
        return {**known, **self.counts, "landed_at": self.origin.landed_at}


class _Gathered:
    """Batches that are appended together, and what is counted of each file.

    One thread stores them, in their order, while the next are read. Leaving the context waits for it.
    """

    def __init__(self, store: EventStore, landed_at: datetime, most_columns: int, problems: list[Problem]) -> None:
        self._store = store
        self._landed_at = landed_at
        self._keeper = Keeper(store, landed_at, most_columns)
        self._problems = problems
        self._known = Known()
        self._batches: list[tuple[_Reading, Batch]] = []
        self._rows = self._bytes = 0
        self._columns: set[str] = set()
        self._readings: dict[str, _Reading] = {}
        self._read: set[str] = set()
        self._landed = [empty(LandedFiles).collect()]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="storing")
        self._stored: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Append what is left, but where reading broke off; what was handed over is stored to its end."""
        with self._thread:
            if kind is None:
                self.append()
                self._wait()

    def has(self, file_id: str) -> bool:
        """Whether this landing has read a file with this content."""
        return file_id in self._read

    def read(self, file: FileToLand, look: Look, origin: Origin, batch_rows: int) -> None:
        """Read a file to its end, and append whenever enough has been gathered."""
        reading = _Reading(file, look, origin, dict.fromkeys(_COUNTS, 0))
        self._read.add(origin.file_id)
        self._readings[origin.file_id] = reading
        for batch in read_batches(file, origin, chunk_rows=min(CHUNK_ROWS, batch_rows), known=self._known):
            if self._together_bytes(batch) >= BATCH_BYTES:
                self.append()
            if reading.is_ended or origin.file_id not in self._readings:
                return
            self._batches.append((reading, batch))
            self._rows += batch.records
            self._bytes += batch.bytes
            self._columns.update(batch.events.columns)
            if self._rows >= batch_rows or self._bytes >= BATCH_BYTES:
                self.append()
        reading.is_ended = True

    def append(self) -> None:
        """Hand over what waits, once all that was handed over before is stored; so at most one batch waits."""
        self._wait()
        # Also files of which nothing waits: one that was cut shorter would be noted as landed to its end.
        for reading in list(self._readings.values()):
            if reading.has_changed():
                self._leave(reading)
        for reading, batch in self._batches:
            reading.counts["records"] += batch.records
            reading.counts["rounded_numbers"] += batch.rounded_numbers
            reading.is_stored = True
        ended = [reading for reading in self._readings.values() if reading.is_ended]
        self._stored = self._thread.submit(self._store_all, self._batches, ended)
        for reading in ended:
            del self._readings[reading.origin.file_id]
        self._batches = []
        self._rows = self._bytes = 0
        self._columns = set()

    def landed(self) -> pl.DataFrame:
        """A row of `LandedFiles` for each file that was landed."""
        return pl.concat(self._landed)

    def _together_bytes(self, batch: Batch) -> int:
        """What the batches and one more take as one at most: each then has the columns of all."""
        columns = self._columns.union(batch.events.columns)
        return (self._rows + batch.records) * len(columns) * NUMBER_BYTES if self._batches else 0

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

    def _wait(self) -> None:
        if self._stored is not None:
            self._stored.result()

    def _store_all(self, batches: list[tuple[_Reading, Batch]], ended: list[_Reading]) -> None:
        """Append batches, then note the files that were read to their end."""
        readings = {reading.origin.file_id: reading for reading, _ in batches}
        kept = self._keeper.keep(together(batch for _, batch in batches)) if batches else {}
        for kind, rows in kept.items():
            for file_id, count in rows.group_by("file_id").len().iter_rows():
                readings[file_id].counts[kind] += count
        if ended:
            noted = pl.DataFrame([reading.row() for reading in ended], schema=schema_of(LandedFiles))
            self._store.append("landed_files", noted)
            self._landed.append(noted)
