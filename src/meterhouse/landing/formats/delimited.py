"""CSV files: their first line names the columns, rows may go over several lines.

Read by the reader of Python's library, as that alone says of each row whether it is whole, and where it stands.
"""

from __future__ import annotations

import codecs
import csv
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import polars as pl

from meterhouse.landing.formats.bounded import KEPT_BYTES
from meterhouse.landing.formats.layout import Layout
from meterhouse.landing.formats.lines import PIECE_BYTES, Damage, Pieces
from meterhouse.landing.json_text.spell import typed_json
from meterhouse.landing.reasons import Fault, Faults, too_large
from meterhouse.landing.shapes.fields import with_objects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from meterhouse.catalog.settings import Limits
    from meterhouse.catalog.sources import Csv

LONGEST_VALUE: Final = 1 << 30
"""The library's own limit is on values, and the same for all threads; rows are limited by their bytes instead."""

csv.field_size_limit(LONGEST_VALUE)

MOST_READ_AGAIN: Final = 4
"""Of lines after a quote that is never closed, in times the size of a record: each may hold another such quote."""

Cells: TypeAlias = list[str]


class Row(NamedTuple):
    """A row by the line that it begins on: its text, and its values or why it has none."""

    line: int
    text: str
    cells: Cells | Fault


class Rows:
    """Iterates over the rows after the first, which is `columns`; `damage` says why the file cannot be read further."""

    def __init__(self, path: Path, written: Csv, limits: Limits) -> None:
        self._pieces = Pieces(path, limits)
        self._limits = limits
        self._wrong: str | None = None
        lines = _text_lines(iter(self._pieces), written.encoding, limits.max_record_bytes)
        self._lines = _Lines(lines, limits.max_record_bytes)
        self._delimiter = written.delimiter
        self._rows = self._read()
        first = next(self._rows, None)
        self.columns: list[str] = []
        if first is not None and isinstance(first.cells, Fault):
            self._wrong = f"its first line does not name columns: {first.cells.detail}"
        elif first is not None and isinstance(first.cells, list):
            self.columns = [name.strip() for name in first.cells]

    @property
    def damage(self) -> str | None:
        """Why the file cannot be read further; None where it can."""
        return self._pieces.damage or self._wrong

    @property
    def bytes_read(self) -> int:
        """How far the file has been read."""
        return self._pieces.bytes_read

    def __iter__(self) -> Iterator[Row]:
        if not self.columns:
            return
        for row in self._rows:
            if (size := _bytes_of(row.text)) > self._limits.max_record_bytes:
                yield row._replace(text=row.text[:KEPT_BYTES], cells=too_large(size, self._limits))
            elif isinstance(row.cells, list) and len(row.cells) != len(self.columns):
                found = f"it has {len(row.cells)} values, expected {len(self.columns)}"
                yield row._replace(cells=Fault("bad_csv", found))
            else:
                yield row

    def _read(self) -> Iterator[Row]:
        reader = self._new_reader()
        while True:
            self._lines.begin()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as wrong:
                if self._lines.is_open(wrong):
                    # What follows a quote that is never closed are rows of their own.
                    self._lines.keep_first()
                yield Row(self._lines.first, _shown(self._lines.taken()), Fault("bad_csv", str(wrong)))
                if self._lines.characters_again > MOST_READ_AGAIN * self._limits.max_record_bytes:
                    self._wrong = f"many rows before line {self._lines.next_line} have a quote that is never closed"
                    return
                reader = self._new_reader()
            except (Damage, UnicodeError) as wrong:
                self._wrong = str(wrong)
                return
            else:
                if cells:
                    yield _checked(Row(self._lines.first, self._lines.taken(), cells))

    def _new_reader(self) -> Iterator[Cells]:
        return csv.reader(self._lines, delimiter=self._delimiter, strict=True)


class _Lines:
    """Lines of a file, of which some may be put back."""

    def __init__(self, lines: Iterator[str], most_bytes: int) -> None:
        self._lines = lines
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self._most_bytes = most_bytes
        self._characters = 0
        self.characters_again = 0
        """Of the lines that were put back."""
        self.first = 1

    @property
    def next_line(self) -> int:
        """The number of the next line."""
        return self.first + len(self._taken)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._characters > self._most_bytes:
            message = f"it goes on for more than {self._most_bytes} bytes"
            raise _TooLong(message)
        line = self._again.popleft() if self._again else next(self._lines)
        self._taken.append(line)
        self._characters += len(line)
        return line

    def begin(self) -> None:
        """Begin a row."""
        self.first = self.next_line
        self._taken = []
        self._characters = 0

    def taken(self) -> str:
        """The text of the row."""
        return "".join(self._taken).rstrip("\r\n")

    def keep_first(self) -> None:
        """Put back all lines of the row but the first."""
        self._again.extendleft(reversed(self._taken[1:]))
        self.characters_again += sum(map(len, self._taken[1:]))
        del self._taken[1:]

    def is_open(self, wrong: csv.Error) -> bool:
        """Whether a row has no end."""
        return isinstance(wrong, _TooLong) or "unexpected end of data" in str(wrong)


class _TooLong(csv.Error):
    """A row has no end in sight."""


def read_cells(rows: Sequence[Row], columns: Sequence[str], layout: Layout) -> tuple[pl.DataFrame, Faults]:
    """One row of fields per row; those that are no rows have nulls and a fault. An empty value is none."""
    faults = Faults({place: row.cells for place, row in enumerate(rows) if isinstance(row.cells, Fault)})
    nothing = [""] * len(columns)
    cells = [row.cells if isinstance(row.cells, list) else nothing for row in rows]
    texts = pl.DataFrame(dict(zip(columns, map(list, zip(*cells, strict=True)), strict=True)), orient="col")
    values = texts.select(pl.when(pl.all() != "").then(pl.all()))
    named = {field: values[column] for field, column in layout.fields.items()}
    objects: dict[str, dict[str, pl.Series]] = {}
    for held in layout.properties:
        value, odd = typed_json(held.column, values[held.column], held.type, layout.decimal_mark)
        objects.setdefault(held.object_field, {})[held.name] = value
        for place, fault in odd.items():
            faults.setdefault(place, fault)
    return with_objects(named, objects, pl.Series([row.text for row in rows], dtype=pl.String())), faults


def _checked(row: Row) -> Row:
    try:
        row.text.encode()
    except UnicodeEncodeError:
        return Row(
            row.line,
            _shown(row.text),
            Fault("bad_utf8", "some of its bytes are no characters, see `encoding` of `sources`"),
        )
    return row


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _shown(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _text_lines(pieces: Iterator[bytes], encoding: str, most_bytes: int) -> Iterator[str]:
    """Lines with their ends. Bytes that are no characters stay in them as lone surrogates, except in UTF-16.

    A line that goes on and on ends the reading: whether a row begins after it, only its quotes would tell.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)("surrogateescape")
    unended: list[str] = []
    for piece in pieces:
        first, *lines = decoder.decode(piece).split("\n")
        unended.append(first)
        if lines:
            yield "".join(unended) + "\n"
            yield from (f"{line}\n" for line in lines[:-1])
            unended = lines[-1:]
        if sum(map(len, unended)) > most_bytes + PIECE_BYTES:
            message = f"a line has more than {most_bytes:,} bytes (see `max_record_bytes`)"
            raise Damage(message)
    last = "".join(unended) + decoder.decode(b"", final=True)
    if last:
        yield last
