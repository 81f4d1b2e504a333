"""How a declared table looks in Delta, and whether a stored one still looks like that."""

from __future__ import annotations

from typing import Final

import polars as pl
from deltalake import DeltaTable, Field, Schema
from deltalake.schema import ArrayType, PrimitiveType

from meterhouse.errors import WarehouseError
from meterhouse.tables import Stored, schema_of
from meterhouse.tables.columns import INSTANT
from meterhouse.tables.properties import TYPES, column_of, property_of

_DELTA_NAMES: Final[dict[pl.DataType, str]] = {
    pl.String(): "string",
    pl.Int64(): "long",
    pl.Boolean(): "boolean",
    pl.Date(): "date",
    INSTANT: "timestamp",
}


def delta_schema(stored: Stored) -> Schema:
    """The table as Delta declares it; nulls are checked by `verify`, not by Delta."""
    return Schema([Field(name, delta_type(dtype)) for name, dtype in schema_of(stored.table).items()])


def configuration(stored: Stored) -> dict[str, str | None]:
    """Table properties, kept in the table's own log.

    No minima and maxima in the log: Delta keeps decimals there as floats and instants to the millisecond, and a reader
    that skips files by them can miss rows. Parquet's own statistics are exact. Nothing expires by itself.
    """
    return {
        "delta.appendOnly": "true" if stored.append_only else "false",
        "delta.dataSkippingNumIndexedCols": "0",
        "delta.enableExpiredLogCleanup": "false",
        "delta.logRetentionDuration": "interval 36500 days",
    }


def refuse_drift(name: str, stored: Stored, handle: DeltaTable) -> None:
    """Raise where the stored table has other columns or types than this program declares."""
    found = {field.name: field.type for field in handle.schema().fields}
    expected = {name: delta_type(dtype) for name, dtype in schema_of(stored.table).items()}
    differences = [
        f"column '{column}' is {_shown(found.get(column))}, expected {_shown(expected.get(column))}"
        for column in sorted(found.keys() | expected.keys())
        if found.get(column) != expected.get(column)
        and not (stored.grows_columns and column not in expected and _may_have_grown(column))
    ]
    if differences:
        message = (
            f"Stored table '{name}' at {handle.table_uri} was written by another version of meterhouse: "
            f"{'; '.join(differences)}. Use that version, or set another `warehouse` folder and land the events again."
        )
        raise WarehouseError(message)


def refuse_columns(name: str, stored: Stored, frame: pl.DataFrame) -> None:
    """Raise where rows to be written lack a column, have one too many, or another type. Delta would cast silently."""
    expected = schema_of(stored.table)
    extra = {column: dtype for column, dtype in frame.schema.items() if column not in expected}
    differences = [
        f"column '{column}' is {frame.schema.get(column, 'missing')}, expected {dtype}"
        for column, dtype in expected.items()
        if frame.schema.get(column) != dtype
    ]
    differences += [
        f"column '{column}' ({dtype}) is not one of the table's columns"
        for column, dtype in extra.items()
        if not (stored.grows_columns and _is_property(column, dtype))
    ]
    if differences:
        message = (
            f"Rows for table '{name}' do not have its columns: {'; '.join(differences)}. "
            f"This is a fault in meterhouse, not in your data: nothing was written."
        )
        raise WarehouseError(message)


def grown_columns(stored: Stored, handle: DeltaTable) -> dict[str, pl.DataType]:
    """Property columns that a stored table has grown and their types, sorted by name."""
    names = sorted({field.name for field in handle.schema().fields} - schema_of(stored.table).keys())
    return {name: TYPES[held[0]] for name in names if (held := property_of(name)) is not None}


def _is_property(column: str, dtype: pl.DataType) -> bool:
    held = property_of(column)
    return held is not None and bool(held[1]) and TYPES[held[0]] == dtype and column == column_of(*held)


def _may_have_grown(column: str) -> bool:
    """Not where it is another spelling of a property's column: that property would have two."""
    held = property_of(column)
    return held is None or column == column_of(*held)


def inner_type(dtype: pl.List) -> pl.DataType:
    """What a list is of; Polars lets it be named by its class alone."""
    return dtype.inner if isinstance(dtype.inner, pl.DataType) else dtype.inner()


def delta_type(dtype: pl.DataType) -> PrimitiveType | ArrayType:
    """A type as Delta names it."""
    if isinstance(dtype, pl.Decimal):
        return PrimitiveType(f"decimal({dtype.precision},{dtype.scale})")
    if isinstance(dtype, pl.List):
        return ArrayType(delta_type(inner_type(dtype)), contains_null=True)
    return PrimitiveType(_DELTA_NAMES[dtype])


def _shown(dtype: object) -> str:
    return "missing" if dtype is None else str(dtype)
