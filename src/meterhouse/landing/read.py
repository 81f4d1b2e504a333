"""A file to batches of events and refused records: read, bring to one shape, check, type."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from meterhouse.catalog.settings import Settings
from meterhouse.catalog.sources import Source, source_of
from meterhouse.landing.checks import find_faults, with_instants
from meterhouse.landing.columns import read_rows, wrong_columns
from meterhouse.landing.delimited import Rows, read_cells
from meterhouse.landing.elements import Elements
from meterhouse.landing.files import CSV, JSON, PARQUET, FileToLand
from meterhouse.landing.layout import lay_out
from meterhouse.landing.lines import Damage, Lines, refuse_bomb
from meterhouse.landing.metadata import Typed, type_metadata
from meterhouse.landing.reasons import Fault, too_large
from meterhouse.landing.shapes import Faults, one_shape, read_lines
from meterhouse.tables import Events, RejectedEvents, Voids, conform, empty, schema_of
from meterhouse.tables.columns import INSTANT
from meterhouse.tables.properties import column_of

CHUNK_ROWS: Final = 50_000
"""Records held as Python objects at once."""

CHUNK_BYTES: Final = 32 << 20
"""Text held as Python objects at once, which takes about ten times as much memory."""

PIECE_ROWS: Final = 1000
"""Rows that are read at once of a Parquet file, before it is known how large they are."""

BUFFER_BYTES: Final = 1 << 20
"""Read at once of each column of a Parquet file; without it a whole row group is held."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Batch:
    """What a part of a file holds.

    `events` has the columns of `Events`, `untimed` (the sender left the timestamp out), and the typed properties, whose
    columns may still differ in letter case only. `voids` has the columns of `Voids`.
    `rounded_numbers` counts the numbers of `events` that had more than 12 places.
    """

    events: pl.DataFrame
    voids: pl.DataFrame
    rejected: pl.DataFrame
    rounded_numbers: int

    @property
    def records(self) -> int:
        """How many records were read; a file that is refused as a whole counts as one."""
        return self.events.height + self.voids.height + self.rejected.height

    @property
    def bytes(self) -> int:
        """About how much memory it holds."""
        return int(self.events.estimated_size() + self.rejected.estimated_size())


class Origin(NamedTuple):
    """Where records come from and under which rules they are taken."""

    file_id: str
    path: str
    settings: Settings
    landed_at: datetime
    is_changed: bool = False
    """A file of this path was landed before, with other content."""

    @property
    def source(self) -> Source:
        """What is known of the file before it is read."""
        return source_of(self.settings.sources, self.path)


def read_batches(file: FileToLand, origin: Origin, *, chunk_rows: int = CHUNK_ROWS) -> Iterator[Batch]:
    """Read a file in batches of `chunk_rows`, or fewer where records are large.

    What is wrong with the file as a whole is a refused record at position 0, in the last batch.
    """
    reader = _Reader(file.path, origin, chunk_rows)
    try:
        for fields, faults in reader:
            yield _take(fields, faults, origin)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as damage:
        # No file that is known does this. If one does, it must not keep the others from being landed.
        reader.fault = Fault("unreadable_file", _first_line(damage))
    if reader.fault is not None:
        yield refused_file(reader.fault, origin)


def refused_file(fault: Fault, origin: Origin) -> Batch:
    """What is wrong with a file as a whole, as a refused record at position 0."""
    row = pl.DataFrame(
        {"position": [0], "reason": [fault.reason], "explanation": [fault.explanation()], "record": [""]}
    )
    no_events = empty(Events).with_columns(untimed=pl.lit(value=False)).collect()
    return Batch(events=no_events, voids=empty(Voids).collect(), rejected=_rejected(row, origin), rounded_numbers=0)


def together(batches: Iterable[Batch]) -> Batch:
    """Several batches as one."""
    parts = list(batches)
    events = pl.concat([batch.events for batch in parts], how="diagonal")
    properties = sorted(name for name in events.columns if name not in {*schema_of(Events), "untimed"})
    return Batch(
        events=events.select(*schema_of(Events), "untimed", *properties),
        voids=pl.concat([batch.voids for batch in parts]),
        rejected=pl.concat([batch.rejected for batch in parts]),
        rounded_numbers=sum(batch.rounded_numbers for batch in parts),
    )


def read_records(lines: Iterable[bytes], origin: Origin, positions: Iterable[int] | None = None) -> Batch:
    """Read JSON records, one each, as if they were the lines of a file; all of it, or those at some positions."""
    kept = list(lines)
    fields, faults = read_lines(kept)
    return _take(_with_positions(fields, positions or range(1, len(kept) + 1)), faults, origin)


class _Reader:
    """Iterates over the records of a file as (fields, faults); `fault` says what is wrong with the file as a whole."""

    def __init__(self, path: Path, origin: Origin, chunk_rows: int) -> None:
        self._path = path
        self._source = origin.source
        self._limits = origin.settings.limits
        self._chunk_rows = chunk_rows
        self.fault: Fault | None = None

    def __iter__(self) -> Iterator[tuple[pl.DataFrame, Faults]]:
        name = self._path.name.lower()
        if name.endswith(PARQUET):
            return self._rows()
        if name.endswith(CSV):
            return self._cells()
        lines = Elements if name.endswith(JSON) else Lines
        return self._lines(lines(self._path, self._limits))

    def _lines(self, lines: Lines | Elements) -> Iterator[tuple[pl.DataFrame, Faults]]:
        for chunk in _chunks(lines, self._chunk_rows, lambda numbered: (1, len(numbered[1]))):
            fields, faults = read_lines([line for _, line in chunk])
            for place, (number, _) in enumerate(chunk):
                if number in lines.cut:
                    faults[place] = too_large(lines.cut[number], self._limits)
            yield _with_positions(fields, [number for number, _ in chunk]), faults
        if lines.damage is not None:
            self.fault = Fault("unreadable_file", lines.damage)

    def _cells(self) -> Iterator[tuple[pl.DataFrame, Faults]]:
        rows = Rows(self._path, self._source.csv, self._limits)
        layout = lay_out(rows.columns, self._source) if rows.columns else None
        if isinstance(layout, Fault):
            self.fault = layout
        elif layout is not None:
            for chunk in _chunks(rows, self._chunk_rows, lambda row: (1, len(row.text))):
                fields, faults = read_cells(chunk, rows.columns, layout)
                yield _with_positions(fields, [row.line for row in chunk]), faults
        if rows.damage is not None:
            self.fault = Fault("unreadable_file", rows.damage)

    def _rows(self) -> Iterator[tuple[pl.DataFrame, Faults]]:
        read = 0
        for chunk in _chunks(self._pieces(), self._chunk_rows, lambda piece: (piece.num_rows, piece.nbytes)):
            fields, faults = read_rows(pa.Table.from_batches(chunk), self._source)
            yield _with_positions(fields, range(read + 1, read + fields.height + 1)), faults
            read += fields.height

    def _pieces(self) -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(self._path, buffer_size=BUFFER_BYTES, pre_buffer=False) as opened:
                refuse_bomb(self._path, _inflated(opened.metadata), self._limits.max_inflation)
                self.fault = wrong_columns(opened.schema_arrow, self._source)
                if self.fault is None:
                    yield from opened.iter_batches(batch_size=min(self._chunk_rows, _piece_rows(opened.metadata)))
        except (pa.ArrowException, OSError, Damage) as damage:
            self.fault = Fault("unreadable_file", _first_line(damage))


def _chunks(items: Iterable[Item], rows: int, measure: Callable[[Item], tuple[int, int]]) -> Iterator[list[Item]]:
    """Gather items until they have this many rows or `CHUNK_BYTES`; `measure` gives the rows and bytes of one."""
    chunk: list[Item] = []
    rows_left, bytes_left = rows, CHUNK_BYTES
    for item in items:
        chunk.append(item)
        rows_read, bytes_read = measure(item)
        rows_left -= rows_read
        bytes_left -= bytes_read
        if rows_left <= 0 or bytes_left <= 0:
            yield chunk
            chunk, rows_left, bytes_left = [], rows, CHUNK_BYTES
    if chunk:
        yield chunk


def _piece_rows(metadata: pq.FileMetaData) -> int:
    fitting: int = CHUNK_BYTES * metadata.num_rows // max(1, _inflated(metadata))
    return max(1, min(PIECE_ROWS, fitting))


def _inflated(metadata: pq.FileMetaData) -> int:
    return sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))


def _first_line(damage: BaseException) -> str:
    return str(damage).partition("\n")[0]


def _with_positions(fields: pl.DataFrame, positions: Iterable[int]) -> pl.DataFrame:
    return fields.with_columns(pl.Series("position", list(positions), dtype=pl.Int64()))


def _take(fields: pl.DataFrame, faults: Faults, origin: Origin) -> Batch:
    """Check records and type their metadata. The first fault of a record is the one it is refused for."""
    checked = with_instants(one_shape(fields, origin.source), origin.landed_at)
    faults = Faults({**find_faults(checked, origin.settings, origin.landed_at, is_changed=origin.is_changed), **faults})
    is_usable = ~checked.select(_is_at(faults)).to_series()
    usable = checked.filter(is_usable)
    typed = type_metadata(usable["metadata"].to_list(), origin.settings.limits)
    refused = _refused(checked, faults, origin), _refused(usable, typed.faults, origin)
    return Batch(
        events=_events(usable, typed, origin),
        voids=_voids(usable, typed, origin),
        rejected=pl.concat(refused).sort("position"),
        rounded_numbers=sum(place not in typed.faults for place in typed.rounded),
    )


def _events(usable: pl.DataFrame, typed: Typed, origin: Origin) -> pl.DataFrame:
    columns = [values.alias(column_of(*held)) for held, values in typed.columns.items()]
    events = usable.with_columns(
        _derived_ids(usable, origin.file_id),
        *sorted(columns, key=lambda column: column.name),
        timestamp="occurred",
        received_at="received",
        file_id=pl.lit(origin.file_id),
        date=pl.col("occurred").dt.date(),
    )
    kept = [*schema_of(Events), "untimed", *sorted(column.name for column in columns)]
    return events.filter(pl.col("void").is_null(), ~_is_at(typed.faults)).select(kept)


def _voids(usable: pl.DataFrame, typed: Typed, origin: Origin) -> pl.DataFrame:
    """Records that take an event back (rule 1.6)."""
    clock = pl.lit(origin.landed_at, dtype=INSTANT)
    voids = usable.lazy().filter(pl.col("void").is_not_null(), ~_is_at(typed.faults))
    kept = voids.select(
        "source",
        "metadata",
        "position",
        file_id=pl.lit(origin.file_id),
        event_id="void",
        void_id="event_id",
        timestamp="occurred",
        received_at="received",
        landed_at=clock,
        landed_on=clock.dt.date(),
    )
    return conform(kept, Voids).collect()


def _is_at(places: Iterable[int]) -> pl.Expr:
    return pl.int_range(pl.len(), dtype=pl.UInt32()).is_in(list(places))


def _derived_ids(usable: pl.DataFrame, file_id: str) -> pl.Series:
    """Ids of records that have none: the same file landed again gives the same ids (rule 1.3)."""
    ids = usable["event_id"]
    missing = ids.is_null().arg_true()
    if missing.is_empty():
        return ids
    names = (f"{file_id}:{position}" for position in usable["position"].gather(missing))
    derived = [hashlib.sha256(name.encode()).hexdigest() for name in names]
    return ids.scatter(missing, pl.Series(derived, dtype=pl.String()))


def _refused(fields: pl.DataFrame, faults: Faults, origin: Origin) -> pl.DataFrame:
    places = fields.select("position", "record", place=pl.int_range(pl.len(), dtype=pl.UInt32()))
    return _rejected(places.join(faults.frame(), on="place"), origin)


def _rejected(rows: pl.DataFrame, origin: Origin) -> pl.DataFrame:
    clock = pl.lit(origin.landed_at, dtype=INSTANT)
    rejected = rows.lazy().with_columns(
        file_id=pl.lit(origin.file_id), path=pl.lit(origin.path), landed_at=clock, landed_on=clock.dt.date()
    )
    return conform(rejected, RejectedEvents).collect()
