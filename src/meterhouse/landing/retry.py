"""Read refused records again under the settings of today (rule 1.4), each still at its file and position.

JSON is read from what was kept of it. Rows of CSV and Parquet, and files that broke off, are read from the file, where
it still lies in the landing zone: a row says nothing without its columns.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import polars as pl

from meterhouse.catalog.settings import Settings
from meterhouse.landing.batch import PLACE, Batch, Origin, together
from meterhouse.landing.begun import Begun, BegunFile, Notes
from meterhouse.landing.files import JSON, JSON_LINES, FileToLand, Identity, identify, list_files, look_at
from meterhouse.landing.json_text.known import Known
from meterhouse.landing.keep import EventStore, Keeper
from meterhouse.landing.read import CHUNK_BYTES, CHUNK_ROWS, read_batches
from meterhouse.landing.small import SmallFile, SmallFiles
from meterhouse.landing.waiting import Waiting
from meterhouse.tables import FilesReadAgain, RetriedRecords, conform, schema_of
from meterhouse.tables.columns import INSTANT

OUTCOMES: Final = {"events": "event", "duplicates": "duplicate", "conflicts": "conflict", "voids": "void"}

WHOLE: Final = "file"
"""The outcome of position 0: the file as a whole could be read."""

_IS_JSON: Final = pl.any_horizontal(
    pl.col("path").str.to_lowercase().str.ends_with(ending) for ending in (*JSON_LINES, *JSON)
)

_IS_HOPELESS: Final = _IS_JSON & (pl.col("reason") == "bad_utf8")
"""No setting makes other bytes of them."""

_IS_KEPT: Final = _IS_JSON & (pl.col("position") > 0) & ~pl.col("reason").is_in(["bad_utf8", "record_too_large"])
"""What is kept of a record of JSON is the record, and all of it."""


_EVIDENCE: Final = ("reason", "explanation")


class RejectStore(EventStore, Protocol):
    """Where refused records are kept, besides the events."""

    def open_rejects(self) -> pl.DataFrame:
        """Refused records that are open, file by file: (file_id, path, position, reason, landed_on, file_bytes, bytes).

        `file_bytes` is the size of the file, `bytes` that of the record.
        """

    def rejected_texts(self, rejects: pl.DataFrame) -> pl.DataFrame:
        """(file_id, position, record) of some rows of `open_rejects`."""

    def renew_rejects(self, evidence: pl.DataFrame) -> None:
        """Say in `rejected_events` what is wrong today: (file_id, position, reason, explanation)."""

    def note_read_again(self, rows: pl.DataFrame) -> None:
        """Replace or add rows of `files_read_again`."""


@dataclass(frozen=True)
class RetryReport:
    """What became of the records that were refused: `refused` counts those that still are, by reason.

    `missing` counts the records that can be read from their file only, by its path: it is in the landing zone no more.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)


def retry_rejected(
    folder: Path,
    store: RejectStore,
    settings: Settings,
    landed_at: datetime,
    *,
    on_listed: Callable[[int], None] = lambda _files: None,
    on_file: Callable[[str], None] = lambda _path: None,
) -> RetryReport:
    """Read the open rejects again; those that can be used are events, duplicates, conflicts or voids from now on.

    They stay in `rejected_events` as evidence. Cut off at any instant, the next retry first ends what was begun, under
    the settings and by the clock of the one that began it.
    """
    files = _Files(list_files(folder).files)
    notes = Notes(store.begun(), store.note_begun)
    rejects = store.open_rejects()
    on_listed(rejects["file_id"].n_unique())
    resumed = [*notes.cut_off(is_retry=True)]
    reports = []
    for begun in resumed:
        of_begun = rejects.filter(pl.col("file_id").is_in(list(begun.files)))
        reports.append(_Retry(store, files, notes, begun, of_begun).run(on_file))
    if resumed:
        rejects = store.open_rejects().filter(~pl.col("file_id").is_in([*notes.files(is_retry=True)]))
    begun = Begun(settings=settings, landed_at=landed_at, is_retry=True)
    report = _Retry(store, files, notes, begun, rejects).run(on_file)
    notes.save()
    for earlier in reports:
        report.outcomes.update(earlier.outcomes)
        report.missing.update(earlier.missing)
    return report


class _Files:
    """Files of the landing zone by what they hold, whatever they are called by now."""

    def __init__(self, files: tuple[FileToLand, ...]) -> None:
        self._by_size: dict[int, list[FileToLand]] = defaultdict(list)
        for file in files:
            look = look_at(file.path)
            if look is not None:
                self._by_size[look.bytes].append(file)
        self._by_id: dict[str, tuple[FileToLand, Identity]] = {}

    def find(self, file_id: str, size: int) -> tuple[FileToLand, Identity] | None:
        """The file with these bytes; None where it is not there, or cannot be opened."""
        for file in self._by_size.pop(size, ()):
            with suppress(OSError):
                identity = identify(file.path)
                if identity is not None:
                    self._by_id.setdefault(identity.file_id, (file, identity))
        return self._by_id.get(file_id)


@dataclass
class _WholeFile:
    """A file that broke off and is read again, all of it; nobody knows where it breaks off today."""

    counts: Counter[str] = field(default_factory=Counter)
    """Of what was not refused before."""
    breaks_off: bool = False
    is_ended: bool = False


class _Retry:
    """Open rejects that are read again file by file, and kept many files at once."""

    def __init__(self, store: RejectStore, files: _Files, notes: Notes, begun: Begun, rejects: pl.DataFrame) -> None:
        self.report = RetryReport()
        self.unread: set[str] = set()
        """Files that were not read to their end: they are not there, or changed meanwhile."""
        self._store = store
        self._files = files
        self._notes = notes
        self._begun = begun
        self._rejects = rejects.with_columns(is_kept=_IS_KEPT, is_hopeless=_IS_HOPELESS)
        self._keeper = Keeper(store, begun.settings, begun.landed_at, may_be_stored=bool(begun.files))
        self._known = Known()
        self._origins = {file_id: begun.origin(file_id) for file_id in begun.files}
        self._used_paths = _used_paths(store.landed_files())
        self._texts: list[pl.DataFrame] = []
        self._text_rows = self._text_bytes = 0
        self._waiting = Waiting()
        self._whole: dict[str, _WholeFile] = {}

    def run(self, on_file: Callable[[str], None]) -> RetryReport:
        """Read all of them; returns what became of them."""
        for rejects in self._rejects.partition_by("file_id", maintain_order=True):
            on_file(rejects["path"][0])
            self._read(rejects)
        self._take_texts()
        self._store_all()
        self._notes.end(self._begun, [file_id for file_id in self._begun.files if file_id not in self.unread])
        return self.report

    def _origin(self, file_id: str, path: str) -> Origin:
        if file_id not in self._origins:
            is_changed = not self._used_paths.get(path, set()) <= {file_id}
            self._origins[file_id] = Origin(file_id, path, self._begun.settings, self._begun.landed_at, is_changed)
        return self._origins[file_id]

    def _read(self, rejects: pl.DataFrame) -> None:
        """Read from the file where that is needed and it is there, else what can be read from text."""
        file_id, path, size = rejects.select("file_id", "path", "file_bytes").row(0)
        origin = self._origin(file_id, path)
        can_be_read = rejects["is_kept"] | rejects["is_hopeless"]
        found = None if can_be_read.all() else self._files.find(file_id, size)
        if found is not None:
            self._take_texts()
            self._read_file(rejects, origin, *found)
            return
        for part in _portions(rejects.filter("is_kept")):
            self._texts.append(part)
            self._text_rows += part.height
            self._text_bytes += int(part["bytes"].sum())
            if self._text_rows >= CHUNK_ROWS or self._text_bytes >= CHUNK_BYTES:
                self._take_texts()
        self.report.refused["bad_utf8"] += int(rejects["is_hopeless"].sum())
        if not can_be_read.all():
            self.unread.add(file_id)
            self.report.missing[path] += int((~can_be_read).sum())

    def _take_texts(self) -> None:
        """Read records from the texts that were kept of them, as small files are read."""
        if not self._texts:
            return
        rejects, self._texts = pl.concat(self._texts), []
        self._text_rows = self._text_bytes = 0
        found = rejects.join(self._store.rejected_texts(rejects), on=PLACE, maintain_order="left")
        small = SmallFiles()
        for rows in found.partition_by("file_id", maintain_order=True):
            texts = [record.encode() for record in rows["record"]]
            small.add(SmallFile(self._origins[rows["file_id"][0]], texts, rows["position"].to_list(), {}, None))
        self._hold(small.take(self._known))

    def _read_file(self, rejects: pl.DataFrame, origin: Origin, file: FileToLand, identity: Identity) -> None:
        is_whole = 0 in rejects["position"]
        is_asked = pl.lit(value=True) if is_whole else pl.col("position").is_in(rejects["position"].implode())
        if is_whole:
            self._whole[origin.file_id] = _WholeFile()
        for batch in read_batches(file, origin, known=self._known):
            if look_at(file.path) != identity.look:
                break
            self._hold(batch.where(is_asked))
        if look_at(file.path) != identity.look:
            self.unread.add(origin.file_id)
        elif is_whole:
            self._whole[origin.file_id].is_ended = True

    def _hold(self, batch: Batch) -> None:
        if not self._waiting.has_room(batch):
            self._store_all()
        self._waiting.add(batch)
        if self._waiting.is_full():
            self._store_all()

    def _store_all(self) -> None:
        batches = self._waiting.take()
        if batches:
            self._keep(together(batches))
        self._note({file_id: file for file_id, file in self._whole.items() if file.is_ended})

    def _keep(self, batch: Batch) -> None:
        """Keep what can be used now; of the rest, what is wrong today."""
        origins = [self._origins[file_id] for file_id in batch.places["file_id"].unique()]
        self._notes.begin(
            self._begun, {origin.file_id: BegunFile(origin.path, origin.is_changed) for origin in origins}
        )
        before = self._refused(self._whole)
        known = pl.concat([self._rejects.select(PLACE), before])
        new = batch.rejected.join(known, on=PLACE, how="anti")
        kept = self._keeper.keep(replace(batch, rejected=new))
        if not batch.rejected.is_empty():
            self._store.renew_rejects(batch.rejected.select(*PLACE, *_EVIDENCE))
        self.report.refused.update(batch.rejected["reason"].to_list())
        outcomes = [kept[kind].with_columns(outcome=pl.lit(outcome)) for kind, outcome in OUTCOMES.items()]
        self._close(pl.concat(outcomes).join(self._rejects, on=PLACE, how="semi"))
        self._count({**kept, "rounded_numbers": batch.rounded}, before)
        for file_id in batch.rejected.filter(pl.col("position") == 0)["file_id"]:
            self._whole[file_id].breaks_off = True

    def _count(self, kept: dict[str, pl.DataFrame], before: pl.DataFrame) -> None:
        for kind, places in kept.items():
            new = places if kind == "rounded_numbers" else places.join(before, on=PLACE, how="anti")
            of_whole = new.filter(pl.col("file_id").is_in(list(self._whole)))
            for file_id, count in of_whole.group_by("file_id").len().iter_rows():
                self._whole[file_id].counts[kind] += count

    def _close(self, rows: pl.DataFrame) -> None:
        self.report.outcomes.update(rows["outcome"].to_list())
        if rows.is_empty():
            return
        clock = pl.lit(self._begun.landed_at, dtype=INSTANT)
        closed = rows.lazy().with_columns(landed_at=clock, landed_on=clock.dt.date())
        self._store.append("retried_records", conform(closed, RetriedRecords).collect())

    def _note(self, files: dict[str, _WholeFile]) -> None:
        """Note what files hold by what is known now: the refused records, as evidence, and all others."""
        if not files:
            return
        refused = Counter(self._refused(files)["file_id"].to_list())
        rows = [self._row(file_id, file.counts, refused[file_id]) for file_id, file in files.items()]
        self._store.note_read_again(pl.DataFrame(rows, schema=schema_of(FilesReadAgain)))
        whole = [file_id for file_id, file in files.items() if not file.breaks_off]
        broke_off = self._rejects.filter(pl.col("position") == 0, pl.col("file_id").is_in(whole))
        self._close(broke_off.select(*PLACE, outcome=pl.lit(WHOLE)))
        for file_id in files:
            del self._whole[file_id]

    def _row(self, file_id: str, counts: Counter[str], rejected: int) -> dict[str, object]:
        records = rejected + sum(counts[kind] for kind in OUTCOMES)
        noted = {"file_id": file_id, "landed_at": self._begun.landed_at, "records": records, "rejected": rejected}
        return {**dict.fromkeys(schema_of(FilesReadAgain), 0), **counts, **noted}

    def _refused(self, files: Iterable[str]) -> pl.DataFrame:
        """Places of records of some files that were ever refused."""
        file_ids = pl.Series("file_id", list(files), pl.String())
        if file_ids.is_empty():
            return self._rejects.select(PLACE).clear()
        return self._store.places("rejected_events", file_ids)


def _used_paths(landed: pl.DataFrame) -> dict[str, set[str]]:
    """The files of each path that gave events."""
    used: dict[str, set[str]] = defaultdict(set)
    for file_id, path in landed.filter(pl.col("events") > 0).select("file_id", "path").iter_rows():
        used[path].add(file_id)
    return used


def _portions(rejects: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Rejects whose texts may be held at once, each part."""
    portion = pl.col("bytes").cum_sum() // CHUNK_BYTES
    for part in rejects.with_columns(portion=portion).partition_by("portion", include_key=False, maintain_order=True):
        yield from part.iter_slices(CHUNK_ROWS)
