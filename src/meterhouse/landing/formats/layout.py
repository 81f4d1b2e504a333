"""Which column of a CSV or Parquet file holds which field or property (rule 1.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meterhouse.catalog.sources import UNTOLD, PropertyType, Source
from meterhouse.landing.reasons import Fault
from meterhouse.landing.shapes.fields import FIELDS
from meterhouse.landing.shapes.peers import OBJECT_FIELDS, VOID, shape_named


@dataclass(frozen=True)
class PropertyColumn:
    """A column that holds one property of an object field; without a type, its value is what the file has it as."""

    object_field: str
    name: str
    column: str
    type: PropertyType | None


@dataclass(frozen=True)
class Layout:
    """The columns of a file: `fields` gives the column of a field; what stands in neither is ignored."""

    fields: Mapping[str, str]
    properties: tuple[PropertyColumn, ...]
    is_mapped: bool = False
    """Someone said which columns are ids, and so that other values than text are meant."""
    decimal_mark: str = "."


def lay_out(columns: Sequence[str], source: Source = UNTOLD) -> Layout | Fault:
    """Find the columns of the fields and properties, or say which columns are wrong.

    Where a source does not say it, a column is named as its field, and `metadata.model` holds the property `model`.
    """
    twice = [f"column '{name}' is there {times} times" for name, times in Counter(columns).items() if times > 1]
    fields = _fields(columns, source)
    declared = [_declared(name, columns, source) for name in source.properties]
    used = {*fields.values(), *(held.column for held in declared)}
    missing = [f"column '{name}' is not there" for name in sorted(used.difference(columns))]
    others = {name: _other(name, source) for name in columns if name not in used}
    strays = [f"column '{name}'" for name, held in others.items() if held is None and source.other_columns == "reject"]
    if twice or missing or strays:
        return Fault("unknown_columns", "; ".join([*twice, *missing, *strays]))
    found = [held for held in others.values() if held is not None]
    return Layout(fields, (*declared, *found), source.columns is not None, source.csv.decimal_mark)


def _fields(columns: Sequence[str], source: Source) -> dict[str, str]:
    if source.columns is not None:
        return {field: column for field, column in source.columns if column is not None}
    taken = {held.column or name for name, held in source.properties.items()}
    known = (*shape_named(source.shape).fields, *VOID.fields) if source.shape else FIELDS
    return {name: name for name in columns if name in known and name not in taken}


def _declared(name: str, columns: Sequence[str], source: Source) -> PropertyColumn:
    held = source.properties[name]
    spelled = [held.column or name, *(f"{field}.{held.column or name}" for field in OBJECT_FIELDS)]
    column = next((spelling for spelling in spelled if spelling in columns), spelled[0])
    found = _in_object(column) if source.columns is None else None
    return PropertyColumn(found[0] if found else _object_field(source), name, column, held.type)


def _other(column: str, source: Source) -> PropertyColumn | None:
    """The property that a column holds which nothing names."""
    found = _in_object(column) if source.columns is None else None
    if found is not None:
        return PropertyColumn(*found, column, None)
    if source.other_columns == "properties":
        return PropertyColumn(_object_field(source), column, column, None)
    return None


def _in_object(column: str) -> tuple[str, str] | None:
    field, dot, name = column.partition(".")
    return (field, name) if dot and name and field in OBJECT_FIELDS else None


def _object_field(source: Source) -> str:
    return shape_named(source.shape).names["metadata"] if source.shape else "metadata"
