"""Land a folder: every file once, every event once, at whatever instant the last landing was cut off (rule 1.3)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import polars as pl

from meterhouse.catalog.settings import Settings
from meterhouse.landing.batch import Batch, Origin, refused_file, together
from meterhouse.landing.files import FileToLand, Identity, Look, Problem, identify, list_files, look_at
from meterhouse.landing.formats.lines import BLOCK_BYTES
from meterhouse.landing.json_text.known import Known
from meterhouse.landing.keep import EventStore, Keeper
from meterhouse.landing.read import CHUNK_ROWS, UNREADABLE, read_batches
from meterhouse.landing.reasons import Fault
from meterhouse.landing.small import SmallFiles, read_small
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
    on_listed: Callable[[int], None] = lambda _files: None,
    on_file: Callable[[FileToLand], None] = lambda _file: None,
    on_bytes: Callable[[FileToLand, int, int], None] = lambda _file, _read, _bytes: None,
) -> LandingReport:
    """Land every file of a folder that was not landed before, in the order of their names.

    A file with the path of another that gave events is a changed one: its records without ids are refused, since the
    sender may have added to what was there. A file that cannot be opened, or changes while it is read, is a problem,
    and tried again by the next run.

    Rows are appended `batch_rows` at a time, or fewer where they are large, whether they come from one file or from
    many small ones. What a file is noted with is written last: without it the file is landed again, finds its own rows
    by file and position, and adds only what is missing.

    `on_bytes` is told now and then how much of a file that is not small has been read, and of how much.
    """
    zone = list_files(folder)
    on_listed(len(zone.files))
    before = store.landed_files()
    hashed, identities = store.identities(), dict[str, Identity]()
    seen, used_paths = set(before["file_id"]), set(before.filter(pl.col("events") > 0)["path"])
    problems = list(zone.problems)
    seen_before = repeated = 0
    with _Gathered(store, problems, landed_at, settings.limits.max_property_columns, batch_rows, on_bytes) as gathered:
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
                gathered.read(file, identity.look, origin)
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
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    """Of what is stored."""
    is_ended: bool = False

    def has_changed(self) -> bool:
        """Whether the file is another one by now, so that what was read may be of either."""
        return look_at(self.file.path) != self.look

    def row(self) -> dict[str, Any]:
        """Its row of `LandedFiles`."""
        known = {"file_id": self.origin.file_id, "path": self.file.name, "bytes": self.look.bytes}
        return {**known, **self.counts, "landed_at": self.origin.landed_at}


class _Gathered:
    """What is appended together, and what is counted of each file.

    One thread stores it, in its order, while the next is read. Leaving the context waits for it.
    """

    def __init__(
        self,
        store: EventStore,
        problems: list[Problem],
        landed_at: datetime,
        most_columns: int,
        most_rows: int,
        on_bytes: Callable[[FileToLand, int, int], None],
    ) -> None:
        self._store = store
        self._keeper = Keeper(store, landed_at, most_columns)
        self._problems = problems
        self._most_rows = most_rows
        self._on_bytes = on_bytes
        self._known = Known()
        self._small = SmallFiles()
        self._waiting: list[_Reading] = []
        self._batches: list[Batch] = []
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
                self._take_small()
                self._append()
                self._wait()

    def has(self, file_id: str) -> bool:
        """Whether this landing has read a file with this content."""
        return file_id in self._read

    def read(self, file: FileToLand, look: Look, origin: Origin) -> None:
        """Read a file to its end, and append whenever enough has been gathered. A small one waits for others."""
        reading = _Reading(file, look, origin)
        self._read.add(origin.file_id)
        small = read_small(file, look.bytes, origin)
        if small is None:
            self._take_small()
            self._read_alone(reading)
            return
        self._small.add(small)
        self._waiting.append(reading)
        if self._small.records >= min(CHUNK_ROWS, self._most_rows) or self._small.bytes >= BLOCK_BYTES:
            self._take_small()

    def landed(self) -> pl.DataFrame:
        """A row of `LandedFiles` for each file that was landed."""
        return pl.concat(self._landed)

    def _take_small(self) -> None:
        small, readings = self._small, self._waiting
        self._small, self._waiting = SmallFiles(), []
        if not readings:
            return
        try:
            batch = small.take(self._known)
        except UNREADABLE:
            # Alone, the file that does this cannot keep the others from being landed.
            for reading in readings:
                self._read_alone(reading)
            return
        self._make_room(batch)
        for reading in readings:
            reading.is_ended = True
            self._readings[reading.origin.file_id] = reading
        self._hold(batch)

    def _read_alone(self, reading: _Reading) -> None:
        file, origin = reading.file, reading.origin
        self._readings[origin.file_id] = reading
        rows = min(CHUNK_ROWS, self._most_rows)
        for batch in read_batches(
            file,
            origin,
            chunk_rows=rows,
            known=self._known,
            on_bytes=lambda read: self._on_bytes(file, read, reading.look.bytes),
        ):
            self._make_room(batch)
            if reading.is_ended or origin.file_id not in self._readings:
                return
            self._hold(batch)
        reading.is_ended = True

    def _make_room(self, batch: Batch) -> None:
        """Append what waits where it would take too much together with one more: each then has the columns of all."""
        columns = self._columns.union(batch.events.columns)
        if self._batches and (self._rows + batch.records) * len(columns) * NUMBER_BYTES >= BATCH_BYTES:
            self._append()

    def _hold(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._rows += batch.records
        self._bytes += batch.bytes
        self._columns.update(batch.events.columns)
        if self._rows >= self._most_rows or self._bytes >= BATCH_BYTES:
            self._append()

    def _append(self) -> None:
        """Hand over what waits, once all that was handed over before is stored; so at most one batch waits."""
        self._wait()
        # Also files of which nothing waits: one that was cut shorter would be noted as landed to its end.
        self._leave([reading for reading in self._readings.values() if reading.has_changed()])
        readings = dict(self._readings)
        # Told now: a file that ends while this is stored still has rows that wait.
        ended = [reading for reading in readings.values() if reading.is_ended]
        self._stored = self._thread.submit(self._store_all, self._batches, readings, ended)
        for reading in ended:
            del self._readings[reading.origin.file_id]
        self._batches = []
        self._rows = self._bytes = 0
        self._columns = set()

    def _leave(self, changed: list[_Reading]) -> None:
        """Drop what waits of files that changed: nobody knows of which content it is.

        Where some of a file is stored already, that is of the content that was hashed, and the file is noted as one
        that broke off there.
        """
        if not changed:
            return
        is_changed = pl.col("file_id").is_in([reading.origin.file_id for reading in changed])
        self._batches = [batch.where(~is_changed) for batch in self._batches]
        for reading in changed:
            if reading.counts["records"]:
                self._batches.append(refused_file(Fault("file_changed"), reading.origin))
                reading.is_ended = True
            else:
                del self._readings[reading.origin.file_id]
                self._read.remove(reading.origin.file_id)
                self._problems.append(Problem(reading.file.name, STILL_WRITTEN))

    def _wait(self) -> None:
        if self._stored is not None:
            self._stored.result()

    def _store_all(self, batches: list[Batch], readings: dict[str, _Reading], ended: list[_Reading]) -> None:
        """Append batches, then note the files that were read to their end."""
        if batches:
            self._keep(together(batches), readings)
        if ended:
            noted = pl.DataFrame([reading.row() for reading in ended], schema=schema_of(LandedFiles))
            self._store.append("landed_files", noted)
            self._landed.append(noted)

    def _keep(self, batch: Batch, readings: dict[str, _Reading]) -> None:
        kept = {"records": batch.places, "rounded_numbers": batch.rounded, **self._keeper.keep(batch)}
        for kind, rows in kept.items():
            for file_id, count in rows.group_by("file_id").len().iter_rows():
                readings[file_id].counts[kind] += count
