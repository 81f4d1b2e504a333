"""A file to batches of events and refused records: read, bring to one shape, check, type."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from meterhouse.landing.batch import Batch, Origin, refused_file, with_derived_ids
from meterhouse.landing.files import CSV, JSON, PARQUET, FileToLand
from meterhouse.landing.formats.delimited import Row, Rows, read_cells
from meterhouse.landing.formats.elements import Elements
from meterhouse.landing.formats.layout import Layout, lay_out
from meterhouse.landing.formats.lines import Block, Damage, Lines, as_lines, refuse_bomb
from meterhouse.landing.formats.parquet import cut, find_too_large, read_rows, wrong_columns
from meterhouse.landing.formats.shared_texts import BUFFER_BYTES, Sizes, sizes_of, written_out
from meterhouse.landing.json_text.known import Known
from meterhouse.landing.reasons import Fault
from meterhouse.landing.take import take_fields, take_lines

CHUNK_ROWS: Final = 50_000
"""Records held as Python objects at once."""

CHUNK_BYTES: Final = 32 << 20
"""Text held as Python objects at once, which takes about ten times as much memory."""

PIECE_ROWS: Final = 64
"""Rows that are read at once of a Parquet file, before it is known how large they are: one may be all of its group."""

PIECE_ROWS_OF_SMALL_GROUPS: Final = 1000

SMALL_GROUP_BYTES: Final = 128 << 20
"""In a row group with no more bytes, as many rows may be read at once: fewer cost most of the time of reading."""

THREADS: Final = min(4, os.cpu_count() or 1)
"""Parts of a file that are read at once; one more waits to be taken. All of them take memory."""

UNREADABLE: Final = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""No file that is known raises these. If one does, it must not keep the others from being landed."""

Item = TypeVar("Item")


def read_batches(
    file: FileToLand,
    origin: Origin,
    *,
    chunk_rows: int = CHUNK_ROWS,
    known: Known | None = None,
    on_bytes: Callable[[int], None] = lambda _read: None,
) -> Iterator[Batch]:
    """Read a file in batches of `chunk_rows`, or fewer where records are large.

    `known` is what other files have taught, and is taught by this one: it makes reading quicker, and changes nothing.
    `on_bytes` is told with each batch how many bytes of the file have been read, some of them ahead.
    What is wrong with the file as a whole is a refused record at position 0, in the last batch.
    """
    reader = _Reader(file.path, origin, known or Known(), chunk_rows)
    try:
        for batch in _in_threads(reader):
            on_bytes(reader.bytes_read)
            yield with_derived_ids(batch)
    except UNREADABLE as damage:
        reader.fault = Fault("unreadable_file", _first_line(damage))
    if reader.fault is not None:
        yield refused_file(reader.fault, origin)


def read_records(
    lines: Iterable[bytes], origin: Origin, positions: Sequence[int] | None = None, known: Known | None = None
) -> Batch:
    """Read JSON records, one each, as if they were the lines of a file; all of it, or those at some positions."""
    records = pl.Series(list(lines), dtype=pl.Binary())
    numbers = range(1, len(records) + 1) if positions is None else positions
    return with_derived_ids(take_lines(Block(as_lines(records, numbers, {})), origin, known or Known()))


class _Reader:
    """Iterates over the parts of a file, each as what reads it; `fault` says what is wrong with the file as a whole."""

    def __init__(self, path: Path, origin: Origin, known: Known, chunk_rows: int) -> None:
        self._path = path
        self._origin = origin
        self._known = known
        self._chunk_rows = chunk_rows
        self.bytes_read = 0
        self.fault: Fault | None = None

    def __iter__(self) -> Iterator[Callable[[], Batch]]:
        name = self._path.name.lower()
        if name.endswith(PARQUET):
            return self._rows()
        if name.endswith(CSV):
            return self._cells()
        return self._elements() if name.endswith(JSON) else self._lines()

    def _lines(self) -> Iterator[Callable[[], Batch]]:
        lines = Lines(self._path, self._origin.settings.limits)
        for block in lines:
            self.bytes_read = lines.bytes_read
            for part in block.parts(self._chunk_rows):
                yield partial(take_lines, part, self._origin, self._known)
        self._break_off(lines.damage)

    def _elements(self) -> Iterator[Callable[[], Batch]]:
        elements = Elements(self._path, self._origin.settings.limits)
        for chunk in _chunks(elements, self._chunk_rows, lambda numbered: (1, len(numbered[1]))):
            self.bytes_read = elements.bytes_read
            numbers, texts = zip(*chunk, strict=True)
            lines = as_lines(pl.Series(texts, dtype=pl.Binary()), numbers, elements.cut)
            yield partial(take_lines, Block(lines), self._origin, self._known)
        self._break_off(elements.damage)

    def _cells(self) -> Iterator[Callable[[], Batch]]:
        source = self._origin.source
        rows = Rows(self._path, source.csv, self._origin.settings.limits)
        layout = lay_out(rows.columns, source) if rows.columns else None
        if isinstance(layout, Fault):
            self.fault = layout
        elif layout is not None:
            for chunk in _chunks(rows, self._chunk_rows, lambda row: (1, len(row.text))):
                self.bytes_read = rows.bytes_read
                yield partial(self._take_cells, chunk, rows.columns, layout)
        self._break_off(rows.damage)

    def _rows(self) -> Iterator[Callable[[], Batch]]:
        position = 1
        for chunk in _chunks(self._pieces(), self._chunk_rows, lambda piece: (piece.num_rows, piece.nbytes)):
            rows = pa.Table.from_batches(chunk)
            yield partial(self._take_rows, rows, position)
            position += rows.num_rows

    def _take_rows(self, rows: pa.Table, position: int) -> Batch:
        source = self._origin.source
        limits = self._origin.settings.limits
        fields, faults = read_rows(rows, source, with_records=False)
        faults |= find_too_large(fields, limits)
        numbered = fields.with_columns(pl.int_range(position, position + pl.len(), dtype=pl.Int64()).alias("position"))

        def records(places: pl.Series) -> pl.Series:
            return cut(read_rows(rows.take(places.to_arrow()), source)[0]["record"], limits)

        return take_fields(numbered, faults, records, self._origin, self._known)

    def _take_cells(self, cells: list[Row], columns: list[str], layout: Layout) -> Batch:
        fields, faults = read_cells(cells, columns, layout)
        numbered = fields.with_columns(pl.Series("position", [row.line for row in cells], dtype=pl.Int64()))
        return take_fields(numbered, faults, fields["record"].gather, self._origin, self._known)

    def _break_off(self, damage: str | None) -> None:
        if damage is not None:
            self.fault = Fault("unreadable_file", damage)

    def _pieces(self) -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(self._path, buffer_size=BUFFER_BYTES, pre_buffer=False) as opened:
                self.fault = wrong_columns(opened.schema_arrow, self._origin.source)
                if self.fault is None:
                    sizes = sizes_of(self._path, opened)
                    refuse_bomb(self._path, sizes.file, self._origin.settings.limits.max_inflation)
                    piece_rows = min(self._chunk_rows, _piece_rows(sizes, opened.metadata))
                    size, rows_read = self._path.stat().st_size, 0
                    for piece in opened.iter_batches(piece_rows):
                        rows_read += piece.num_rows
                        self.bytes_read = size * rows_read // opened.metadata.num_rows
                        yield written_out(piece)
        except (pa.ArrowException, OSError, Damage) as damage:
            self.fault = Fault("unreadable_file", _first_line(damage))


def _in_threads(parts: Iterable[Callable[[], Batch]]) -> Iterator[Batch]:
    """Read parts of a file ahead of whoever takes them, in their order: PyArrow and Polars let other threads run."""
    with ThreadPoolExecutor(THREADS) as threads:
        waiting: deque[Future[Batch]] = deque()
        for part in parts:
            waiting.append(threads.submit(part))
            if len(waiting) > THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


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


def _piece_rows(sizes: Sizes, metadata: pq.FileMetaData) -> int:
    row: int = max(sizes.row, sizes.file // max(1, metadata.num_rows))
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    is_small = all(group.total_byte_size <= SMALL_GROUP_BYTES for group in groups)
    return max(1, min(PIECE_ROWS_OF_SMALL_GROUPS if is_small else PIECE_ROWS, CHUNK_BYTES // 2 // max(1, row)))


def _first_line(damage: BaseException) -> str:
    return str(damage).partition("\n")[0].rstrip(".")
