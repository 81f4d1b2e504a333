"""Text tables for tests: read with their schema's types, compared on the columns they show, in any order."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
from polars.testing import assert_frame_equal

from meterhouse.tables import schema_of
from meterhouse.warehouse.layout import inner_type

if TYPE_CHECKING:
    from collections.abc import Callable

    import dataframely as dy

Value = str | bool | int | Decimal | date | datetime | list["Value"] | None

_NULL = "-"


def rows(table: type[dy.Schema], text: str, **defaults: Value) -> pl.LazyFrame:
    """Read a table `a | b`; `-` is null. A column left out takes its default, else null where the schema allows that.

    Instants read `2025-01-31`, or `2025-01-31T12:00`, in UTC. A list reads `a, b`.
    """
    schema = schema_of(table)
    shown = _cells(text)
    unknown = (shown.keys() | defaults.keys()) - schema.keys()
    needed = {name for name, column in table.columns().items() if not column.nullable}
    missing = needed - shown.keys() - defaults.keys()
    if unknown or missing:
        problem = f"{table.__name__}: columns unknown to it: {sorted(unknown)}; columns it needs: {sorted(missing)}."
        raise ValueError(problem)
    height = len(next(iter(shown.values()), []))
    columns = [
        _column(name, dtype, shown[name]) if name in shown else pl.Series(name, [defaults.get(name)] * height, dtype)
        for name, dtype in schema.items()
    ]
    return pl.DataFrame(columns).lazy()


def assert_rows(actual: pl.LazyFrame, text: str) -> None:
    """Fail unless the rows, on the columns that the text shows, are those of the text, in any order."""
    shown = _cells(text)
    frame = actual.select(*shown).collect()
    expected = pl.DataFrame([_column(name, frame.schema[name], cells) for name, cells in shown.items()])
    assert_frame_equal(frame, expected, check_row_order=False)


def _cells(text: str) -> dict[str, list[str]]:
    """Columns of a text table, by name."""
    lines = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    header, body = lines[0], lines[1:]
    return {name: [line[place] for line in body] for place, name in enumerate(header)}


def _column(name: str, dtype: pl.DataType, cells: list[str]) -> pl.Series:
    read = _reader(dtype)
    return pl.Series(name, [None if cell == _NULL else read(cell) for cell in cells], dtype)


def _reader(dtype: pl.DataType) -> Callable[[str], Value]:
    """How a cell of a type is read."""
    readers: dict[type[pl.DataType], Callable[[str], Value]] = {
        pl.Boolean: _flag,
        pl.Date: date.fromisoformat,
        pl.Datetime: _instant,
        pl.Decimal: Decimal,
        pl.Int64: int,
        pl.List: lambda cell: _items(dtype, cell),
        pl.String: str,
    }
    return readers[dtype.base_type()]


def _items(dtype: pl.DataType, cell: str) -> Value:
    reader = _reader(inner_type(dtype)) if isinstance(dtype, pl.List) else str
    return [reader(item.strip()) for item in cell.split(",")]


def _flag(cell: str) -> bool:
    return {"true": True, "yes": True, "false": False, "no": False}[cell]


def _instant(cell: str) -> datetime:
    instant = datetime.fromisoformat(cell)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
