"""Land a folder: every file once, every event once, at whatever instant the last landing was cut off (rule 1.3)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import polars as pl

from meterhouse.catalog.settings import Settings
from meterhouse.landing.batch import Batch, Origin, refused_file, together
from meterhouse.landing.begun import Begun, BegunFile, Notes
from meterhouse.landing.files import FileToLand, Identity, LandingZone, Look, Problem, list_files, look_at
from meterhouse.landing.formats.lines import BLOCK_BYTES
from meterhouse.landing.identities import STILL_WRITTEN, Identities
from meterhouse.landing.json_text.known import Known
from meterhouse.landing.keep import EventStore, Keeper
from meterhouse.landing.read import CHUNK_ROWS, UNREADABLE, read_batches
from meterhouse.landing.reasons import Fault
from meterhouse.landing.small import SmallFiles, read_small
from meterhouse.landing.waiting import BATCH_ROWS, Waiting
from meterhouse.tables import LandedFiles, empty, schema_of

HALF_STORED: Final = (
    "A landing that was cut off stored a part of it, and it is there no more. What is stored counts. Put the file back "
    "as it was, under any name, and land again."
)

OnBytes: TypeAlias = Callable[[FileToLand, int, int], None]

_COUNTS: Final = ("records", "events", "rejected", "duplicates", "conflicts", "voids", "rounded_numbers")


@dataclass(frozen=True)
class LandingReport:
    """What a landing did: a row of `LandedFiles` per file, and what could not be landed at all.

    `seen_before` counts the files that an earlier landing landed, `repeated` those with the content of another new one,
    `resumed` those that an earlier landing had begun: they were landed under its settings and by its clock.
    """

    files: pl.DataFrame
    seen_before: int
    problems: tuple[Problem, ...]
    repeated: int = 0
    resumed: int = 0


def land_folder(
    folder: Path,
    store: EventStore,
    settings: Settings,
    landed_at: datetime,
    *,
    batch_rows: int = BATCH_ROWS,
    on_listed: Callable[[int], None] = lambda _files: None,
    on_file: Callable[[FileToLand], None] = lambda _file: None,
    on_bytes: OnBytes = lambda _file, _read, _bytes: None,
) -> LandingReport:
    """Land every file of a folder that was not landed before, in the order of their names.

    Before that, files of which an earlier landing stored a part are landed as that one would have landed them.
    A file with the path of another that gave events is a changed one: its records without ids are refused, since the
    sender may have added to what was there. A file that cannot be opened, or changes while it is read, is a problem,
    and tried again by the next run.

    Rows are appended `batch_rows` at a time, or fewer where they are large, whether they come from one file or from
    many small ones. What a file is noted with is written last.

    `on_bytes` is told now and then how much of a file that is not small has been read, and of how much.
    """
    zone = list_files(folder)
    on_listed(len(zone.files))
    landing = _Landing(store, zone, batch_rows, on_bytes)
    landing.resume()
    landing.land(settings, landed_at, on_file)
    return landing.report()


class _Landing:
    """The files of a landing zone, and what became of them."""

    def __init__(self, store: EventStore, zone: LandingZone, batch_rows: int, on_bytes: OnBytes) -> None:
        self._store = store
        self._files = zone.files
        self._batch_rows = batch_rows
        self._on_bytes = on_bytes
        self._identities = Identities(store)
        self._notes = Notes(store.begun(), store.note_begun)
        self._before = store.landed_files()
        self._resumed = self._landed = empty(LandedFiles).collect()
        self._problems = list(zone.problems)
        self._seen_before = self._repeated = 0

    def resume(self) -> None:
        """Land the rest of files that earlier landings began."""
        landed = set(self._before["file_id"])
        for begun in self._notes.cut_off(is_retry=False):
            self._notes.end(begun, landed & begun.files.keys())
            missing = dict(begun.files)
            with self._gathered(begun) as gathered:
                for file in self._files if missing else ():
                    found = self._identities.find(file)
                    if isinstance(found, Identity) and found.file_id in missing:
                        del missing[found.file_id]
                        gathered.read(file, found.look, begun.origin(found.file_id))
            self._problems += [Problem(file.path, HALF_STORED) for file in missing.values()]
            self._resumed = pl.concat([self._resumed, gathered.landed()])

    def land(self, settings: Settings, landed_at: datetime, on_file: Callable[[FileToLand], None]) -> None:
        """Land what was never begun."""
        seen, used_paths = set(self._before["file_id"]), self._used_paths()
        # Also those that could not be ended, as they are written again right now.
        begun_before = {*self._resumed["file_id"], *self._notes.files(is_retry=False)}
        begun = Begun(settings=settings, landed_at=landed_at)
        with self._gathered(begun) as gathered:
            for file, found in self._identities.each(self._files):
                on_file(file)
                if isinstance(found, Problem):
                    self._problems.append(found)
                elif gathered.has(found.file_id):
                    self._repeated += 1
                elif found.file_id in seen:
                    self._seen_before += 1
                elif found.file_id not in begun_before:
                    origin = Origin(found.file_id, file.name, settings, landed_at, file.name in used_paths)
                    gathered.read(file, found.look, origin)
        self._landed = gathered.landed()

    def report(self) -> LandingReport:
        """Keep what the next landing needs; returns what this one did."""
        self._notes.save()
        self._identities.save()
        files = pl.concat([self._resumed, self._landed])
        return LandingReport(
            files, self._seen_before, tuple(self._problems), self._repeated, resumed=self._resumed.height
        )

    def _gathered(self, begun: Begun) -> _Gathered:
        return _Gathered(self._store, self._notes, begun, self._problems, self._batch_rows, self._on_bytes)

    def _used_paths(self) -> set[str]:
        """Paths of files that gave events, or may have."""
        landed = pl.concat([self._before, self._resumed.select(self._before.columns)])
        begun = {file.path for file in self._notes.files(is_retry=False).values()}
        return begun.union(landed.filter(pl.col("events") > 0)["path"])


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

    def begun(self) -> BegunFile:
        """What is noted of it before any of it is stored."""
        return BegunFile(self.origin.path, self.origin.is_changed)

    def row(self) -> dict[str, Any]:
        """Its row of `LandedFiles`."""
        known = {"file_id": self.origin.file_id, "path": self.origin.path, "bytes": self.look.bytes}
        return {**known, **self.counts, "landed_at": self.origin.landed_at}


class _Gathered:
    """What is appended together, and what is counted of each file.

    One thread stores it, in its order, while the next is read. Leaving the context waits for it.
    """

    def __init__(
        self,
        store: EventStore,
        notes: Notes,
        begun: Begun,
        problems: list[Problem],
        most_rows: int,
        on_bytes: OnBytes,
    ) -> None:
        self._store = store
        self._notes = notes
        self._begun = begun
        self._keeper = Keeper(store, begun.settings, begun.landed_at, may_be_stored=bool(begun.files))
        self._problems = problems
        self._chunk_rows = min(CHUNK_ROWS, most_rows)
        self._on_bytes = on_bytes
        self._known = Known()
        self._small = SmallFiles()
        self._small_readings: list[_Reading] = []
        self._waiting = Waiting(most_rows)
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
        self._small_readings.append(reading)
        if self._small.records >= self._chunk_rows or self._small.bytes >= BLOCK_BYTES:
            self._take_small()

    def landed(self) -> pl.DataFrame:
        """A row of `LandedFiles` for each file that was landed."""
        return pl.concat(self._landed)

    def _take_small(self) -> None:
        small, readings = self._small, self._small_readings
        self._small, self._small_readings = SmallFiles(), []
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
        for batch in read_batches(
            file,
            origin,
            chunk_rows=self._chunk_rows,
            known=self._known,
            on_bytes=lambda read: self._on_bytes(file, read, reading.look.bytes),
        ):
            self._make_room(batch)
            if reading.is_ended or origin.file_id not in self._readings:
                return
            self._hold(batch)
        reading.is_ended = True

    def _make_room(self, batch: Batch) -> None:
        if not self._waiting.has_room(batch):
            self._append()

    def _hold(self, batch: Batch) -> None:
        self._waiting.add(batch)
        if self._waiting.is_full():
            self._append()

    def _append(self) -> None:
        """Hand over what waits, once all that was handed over before is stored; so at most one batch waits."""
        self._wait()
        # Also files of which nothing waits: one that was cut shorter would be noted as landed to its end.
        self._leave([reading for reading in self._readings.values() if reading.has_changed()])
        readings = dict(self._readings)
        # Told now: a file that ends while this is stored still has rows that wait.
        ended = [reading for reading in readings.values() if reading.is_ended]
        self._stored = self._thread.submit(self._store_all, self._waiting.take(), readings, ended)
        for reading in ended:
            del self._readings[reading.origin.file_id]

    def _leave(self, changed: list[_Reading]) -> None:
        """Drop what waits of files that changed: nobody knows of which content it is.

        Where some of a file is stored already, that is of the content that was hashed, and the file is noted as one
        that broke off there.
        """
        if not changed:
            return
        is_changed = pl.col("file_id").is_in([reading.origin.file_id for reading in changed])
        self._waiting.batches = [batch.where(~is_changed) for batch in self._waiting.batches]
        for reading in changed:
            if reading.counts["records"]:
                self._waiting.batches.append(refused_file(Fault("file_changed"), reading.origin))
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
            self._notes.end(self._begun, noted["file_id"])
            self._landed.append(noted)

    def _keep(self, batch: Batch, readings: dict[str, _Reading]) -> None:
        file_ids = batch.places["file_id"].unique()
        self._notes.begin(self._begun, {file_id: readings[file_id].begun() for file_id in file_ids})
        kept = {"records": batch.places, "rounded_numbers": batch.rounded, **self._keeper.keep(batch)}
        for kind, rows in kept.items():
            for file_id, count in rows.group_by("file_id").len().iter_rows():
                readings[file_id].counts[kind] += count
