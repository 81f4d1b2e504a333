"""Read refused records again under the settings of today (rule 1.4), each still at its file and position.

JSON is read from what was kept of it. Rows of CSV and Parquet, and files that broke off, are read from the file, where
it still lies in the landing zone: a row says nothing without its columns.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import polars as pl

from meterhouse.catalog.settings import Settings
from meterhouse.landing.batch import PLACE, Batch, Origin
from meterhouse.landing.files import JSON, JSON_LINES, FileToLand, Identity, identify, list_files, look_at
from meterhouse.landing.keep import EventStore, Keeper
from meterhouse.landing.read import CHUNK_ROWS, read_batches, read_records
from meterhouse.tables import FilesReadAgain, RetriedRecords, conform, schema_of
from meterhouse.tables.columns import INSTANT

OUTCOMES: Final = {"events": "event", "duplicates": "duplicate", "conflicts": "conflict", "voids": "void"}

WHOLE: Final = "file"
"""The outcome of position 0: the file as a whole could be read."""

_TEXT_ROWS: Final = 10_000
"""Records that are read again from their text at once. They may be as large as a record may be."""

_EVIDENCE: Final = ("reason", "explanation")

_IS_HOPELESS: Final = pl.col("reason") == "bad_utf8"
"""Of JSON: no setting makes other bytes of them."""

_IS_KEPT: Final = (pl.col("position") > 0) & ~pl.col("reason").is_in(["bad_utf8", "record_too_large"])
"""What is kept of a record of JSON is the record, and all of it."""


class RejectStore(EventStore, Protocol):
    """Where refused records are kept, besides the events."""

    def open_rejects(self) -> pl.DataFrame:
        """(file_id, path, bytes, position, reason) of refused records that are open; `bytes` is the file's size."""

    def rejected_rows(self, file_id: str, positions: pl.Series) -> pl.DataFrame:
        """Rows of `rejected_events`."""

    def renew_rejects(self, rows: pl.DataFrame) -> None:
        """Replace rows of `rejected_events`, each by one of the same file, position and day of landing."""

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
    on_file: Callable[[str], None] = lambda _path: None,
) -> RetryReport:
    """Read the open rejects again; those that can be used are events, duplicates, conflicts or voids from now on.

    They stay in `rejected_events` as evidence. Cut off at any instant, the next retry finds what was kept by file and
    position and does the rest.
    """
    report = RetryReport()
    files = _Files(list_files(folder).files)
    landed = store.landed_files()
    for rejects in store.open_rejects().partition_by("file_id", maintain_order=True):
        file_id, path, size = rejects.row(0)[:3]
        on_file(path)
        others = landed.filter(pl.col("path") == path, pl.col("file_id") != file_id, pl.col("events") > 0)
        origin = Origin(file_id, path, settings, landed_at, is_changed=not others.is_empty())
        found = files.find(file_id, size) if _needs_file(rejects) else None
        _Retry(store, origin, rejects, report).run(found)
    return report


def _is_json(path: str) -> bool:
    return path.lower().endswith((*JSON_LINES, *JSON))


def _needs_file(rejects: pl.DataFrame) -> bool:
    return not _is_json(rejects["path"][0]) or not rejects.filter(~_IS_KEPT & ~_IS_HOPELESS).is_empty()


class _Files:
    """Files of the landing zone by what they hold, whatever they are called by now."""

    def __init__(self, files: tuple[FileToLand, ...]) -> None:
        self._by_size: dict[int, list[FileToLand]] = defaultdict(list)
        for file in files:
            look = look_at(file.path)
            if look is not None:
                self._by_size[look.bytes].append(file)

    def find(self, file_id: str, size: int) -> tuple[FileToLand, Identity] | None:
        """The file with these bytes; None where it is not there, or cannot be opened."""
        for file in self._by_size[size]:
            with suppress(OSError):
                identity = identify(file.path)
                if identity is not None and identity.file_id == file_id:
                    return file, identity
        return None


class _Retry:
    """The open rejects of one file."""

    def __init__(self, store: RejectStore, origin: Origin, rejects: pl.DataFrame, report: RetryReport) -> None:
        self._store = store
        self._origin = origin
        self._rejects = rejects
        self._report = report
        self._keeper = Keeper(store, origin.landed_at, origin.settings.limits.max_property_columns)

    def run(self, found: tuple[FileToLand, Identity] | None) -> None:
        """Read from the file if it was found, else what can be read from text."""
        broke_off = 0 in self._rejects["position"]
        if found is None:
            self._from_texts()
        elif broke_off:
            self._whole(*found)
        else:
            for batch in _unchanged(*found, self._origin):
                self._keep(batch.where(pl.col("position").is_in(self._rejects["position"].implode())))

    def _from_texts(self) -> None:
        kept = self._rejects.filter(_IS_KEPT & _is_json(self._origin.path)).sort("position")
        for part in kept.iter_slices(_TEXT_ROWS):
            rows = self._store.rejected_rows(self._origin.file_id, part["position"]).sort("position")
            texts = [record.encode() for record in rows["record"]]
            self._keep(read_records(texts, self._origin, rows["position"].to_list()))
        rest = self._rejects.join(kept, on=PLACE, how="anti")
        hopeless = rest.filter(_IS_HOPELESS & _is_json(self._origin.path)).height
        self._report.refused["bad_utf8"] += hopeless
        self._report.missing[self._origin.path] += rest.height - hopeless

    def _keep(self, batch: Batch) -> dict[str, pl.DataFrame]:
        """Keep what can be used now; of the rest, what is wrong today."""
        kept = self._keeper.keep(batch)
        self._renew(batch.rejected)
        self._report.refused.update(batch.rejected["reason"].to_list())
        outcomes = [kept[kind].with_columns(outcome=pl.lit(outcome)) for kind, outcome in OUTCOMES.items()]
        self._close(pl.concat(outcomes).join(self._rejects, on=PLACE, how="semi"))
        return kept

    def _close(self, rows: pl.DataFrame) -> None:
        self._report.outcomes.update(rows["outcome"].to_list())
        if rows.is_empty():
            return
        clock = pl.lit(self._origin.landed_at, dtype=INSTANT)
        closed = rows.lazy().with_columns(landed_at=clock, landed_on=clock.dt.date())
        self._store.append("retried_records", conform(closed, RetriedRecords).collect())

    def _renew(self, rejected: pl.DataFrame) -> None:
        if rejected.is_empty():
            return
        before = self._store.rejected_rows(self._origin.file_id, rejected["position"])
        today = rejected.select(*PLACE, *_EVIDENCE)
        changed = before.join(today, on=[*PLACE, *_EVIDENCE], how="anti")
        if not changed.is_empty():
            self._store.renew_rejects(changed.update(today, on=list(PLACE)))

    def _whole(self, file: FileToLand, identity: Identity) -> None:
        """Read a file again that broke off, all of it; nobody knows where it breaks off today."""
        counts: Counter[str] = Counter()
        before = self._rejected_places()
        breaks_off = False
        for batch in _unchanged(file, identity, self._origin):
            for kind, places in self._keep(batch).items():
                counts[kind] += places.join(before, on=PLACE, how="anti").height
            counts["rounded_numbers"] += batch.rounded.height
            breaks_off |= 0 in batch.rejected["position"]
        if look_at(file.path) == identity.look:
            self._note(counts)
            if not breaks_off:
                self._close(self._rejects.filter(pl.col("position") == 0).select(*PLACE, outcome=pl.lit(WHOLE)))

    def _note(self, counts: Counter[str]) -> None:
        """Note what the file holds by what is known now: the refused records, as evidence, and all others."""
        rejected = self._rejected_places().height
        records = rejected + sum(counts[kind] for kind in OUTCOMES)
        noted = {"file_id": self._origin.file_id, "landed_at": self._origin.landed_at}
        row = {**counts, **noted, "records": records, "rejected": rejected}
        columns = schema_of(FilesReadAgain)
        self._store.note_read_again(pl.DataFrame([{name: row.get(name, 0) for name in columns}], schema=columns))

    def _rejected_places(self) -> pl.DataFrame:
        return self._store.places("rejected_events", pl.Series([self._origin.file_id]))


def _unchanged(file: FileToLand, identity: Identity, origin: Origin) -> Iterator[Batch]:
    """The batches of a file as long as it is the one that was found."""
    for batch in read_batches(file, origin, chunk_rows=CHUNK_ROWS):
        if look_at(file.path) != identity.look:
            return
        yield batch
