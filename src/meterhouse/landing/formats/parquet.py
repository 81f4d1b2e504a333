"""Rows of a Parquet file to one frame of fields: columns that events have, text that is UTF-8, instants that exist.

Checked before Polars sees them, since it takes text and time zones on trust and panics over what they are not.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from meterhouse.catalog.settings import Limits
from meterhouse.catalog.sources import UNTOLD, Source
from meterhouse.landing.formats.bounded import KEPT_BYTES
from meterhouse.landing.formats.layout import Layout, PropertyColumn, lay_out
from meterhouse.landing.json_text.spell import has_json, is_text, json_of, members, typed_json, with_members
from meterhouse.landing.reasons import Fault, Faults, Reason, too_large
from meterhouse.landing.shapes.fields import with_objects
from meterhouse.landing.shapes.peers import OBJECT_FIELDS, SCALAR_FIELDS

INSTANTS: Final[dict[str, Reason]] = {
    "timestamp": "bad_timestamp",
    "time": "bad_timestamp",
    "received_at": "bad_received_at",
    "created": "bad_received_at",
    "created_at": "bad_received_at",
}
"""Fields that may be timestamps, and what a record is refused for where one is no instant."""

TICKS: Final = {"s": 1, "ms": 10**3, "us": 10**6}
"""Per second. Nanoseconds are not among them: they cannot leave the years that Python knows."""

FIRST_SECOND: Final = int(datetime.min.replace(tzinfo=UTC).timestamp())
LAST_SECOND: Final = int(datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp())

Odd: TypeAlias = dict[int, tuple[Fault, object]]
"""Values that cannot be used, by place: why not, and how they are shown."""


def wrong_columns(schema: pa.Schema, source: Source = UNTOLD) -> Fault | None:
    """Say which columns of a file are not those of events."""
    layout = lay_out(schema.names, source)
    if isinstance(layout, Fault):
        return layout
    fields = {
        column for name, column in layout.fields.items() if not _is_field(name, schema.field(column).type, layout)
    }
    properties = {held.column for held in layout.properties if not _is_property(held, schema.field(held.column).type)}
    wrong = [f"column '{held.name}' has type {held.type}" for held in schema if held.name in fields | properties]
    return Fault("unknown_columns", "; ".join(wrong)) if wrong else None


def read_rows(rows: pa.Table, source: Source = UNTOLD, *, with_records: bool = True) -> tuple[pl.DataFrame, Faults]:
    """The fields of some rows, of which no column is wrong. Values that cannot be used are null and have a fault.

    Records, the rows as JSON, take long, and only those of the refused rows are needed.
    """
    layout = lay_out(rows.column_names, source)
    if isinstance(layout, Fault):
        raise ValueError(layout.detail)  # noqa: TRY004 - of the values, not of their type
    faults = Faults()
    usable: dict[str, pa.ChunkedArray] = {}
    shown: dict[int, dict[str, object]] = defaultdict(dict)
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        usable[name], odd = _usable(name, column, layout)
        for place, (fault, value) in odd.items():
            faults.setdefault(place, fault)
            shown[place][name] = value
    values = {field: _field(field, usable[column]) for field, column in layout.fields.items()}
    objects: dict[str, dict[str, pl.Series]] = defaultdict(dict)
    for held in layout.properties:
        objects[held.object_field][held.name], wrong = _property(held, usable[held.column], layout)
        for place, fault in wrong.items():
            faults.setdefault(place, fault)
    for field, column in layout.fields.items():
        if field in OBJECT_FIELDS and not is_text(usable[column].type):
            values[field], wrong = json_of(column, usable[column])
            faults |= {place: fault for place, fault in wrong.items() if place not in faults}
    records = (
        _records(usable, shown, rows.num_rows) if with_records else pl.Series([""]).new_from_index(0, rows.num_rows)
    )
    return with_objects(values, objects, records), faults


def find_too_large(fields: pl.DataFrame, limits: Limits) -> Faults:
    """The rows with more text than a record may have."""
    sizes = fields.select(pl.sum_horizontal(pl.lit(0), pl.col(pl.String).str.len_bytes())).to_series()
    places = (sizes > limits.max_record_bytes).arg_true()
    return Faults({place: too_large(sizes[place], limits) for place in places})


def cut(records: pl.Series, limits: Limits) -> pl.Series:
    """Of records that are too large the first part."""
    is_too_large = records.str.len_bytes() > limits.max_record_bytes
    return records.zip_with(~is_too_large, records.str.slice(0, KEPT_BYTES))


def _is_field(field: str, kind: pa.DataType, layout: Layout) -> bool:
    if is_text(kind) or pa.types.is_null(kind):
        return True
    if field in OBJECT_FIELDS:
        return bool(pa.types.is_struct(kind) or pa.types.is_map(kind)) and has_json(kind)
    if field in INSTANTS and pa.types.is_timestamp(kind):
        return True
    # Ids that are numbers are refused as in JSON, unless someone says that they are ids.
    return bool(pa.types.is_integer(kind)) and (layout.is_mapped or field in SCALAR_FIELDS)


def _is_property(held: PropertyColumn, kind: pa.DataType) -> bool:
    if is_text(kind) or pa.types.is_null(kind):
        return True
    is_number = pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind)
    match held.type:
        case "number":
            return bool(is_number)
        case "flag":
            return bool(pa.types.is_boolean(kind))
        case "text":
            return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind))
        case None:
            return has_json(kind)


def _field(field: str, values: pa.ChunkedArray) -> pl.Series:
    if field in INSTANTS and pa.types.is_timestamp(values.type):
        return pl.Series(values)
    if field in OBJECT_FIELDS and not is_text(values.type):
        return pl.Series([None] * len(values), dtype=pl.String())
    return pl.Series(values).cast(pl.String())


def _property(held: PropertyColumn, values: pa.ChunkedArray, layout: Layout) -> tuple[pl.Series, dict[int, Fault]]:
    if is_text(values.type):
        return typed_json(held.column, pl.Series(values).cast(pl.String()), held.type, layout.decimal_mark)
    spelled, odd = json_of(held.column, values)
    return (pl.select('"' + pl.lit(spelled) + '"').to_series() if held.type == "text" else spelled), odd


def _records(usable: dict[str, pa.ChunkedArray], shown: dict[int, dict[str, object]], height: int) -> pl.Series:
    """The rows as JSON; of values that cannot be used what they are shown as."""
    values = {name: json_of(name, column)[0] for name, column in usable.items() if has_json(column.type)}
    if not values:
        return pl.repeat("{}", height, dtype=pl.String(), eager=True)
    frame = pl.DataFrame({str(at): series for at, series in enumerate(values.values())})
    inside = members({name: pl.col(str(at)) for at, name in enumerate(values)}).fill_null("")
    records = frame.select(pl.lit("{") + inside + pl.lit("}")).to_series()
    if shown:
        odd = pl.Series([msgspec.json.encode(held).decode()[1:-1] for held in shown.values()], dtype=pl.String())
        whole = records.gather(list(shown)).to_frame("of").select(with_members(pl.lit(odd), pl.col("of"))).to_series()
        records = records.scatter(list(shown), whole)
    return records


def _usable(name: str, column: pa.ChunkedArray, layout: Layout) -> tuple[pa.ChunkedArray, Odd]:
    if pa.types.is_timestamp(column.type):
        field = next((field for field, held in layout.fields.items() if held == name), "")
        return _known_instants(INSTANTS.get(field, "bad_metadata"), column)
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return _utf8(name, column) if is_text(column.type) else _valid(name, column)
    return column, {}


def _valid(name: str, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, Odd]:
    """Nested values of which some hold text that is not UTF-8: those are null."""
    odd: Odd = {}
    for place in range(len(column)):
        try:
            column.slice(place, 1).combine_chunks().validate(full=True)
        except pa.ArrowInvalid as error:
            odd[place] = Fault("bad_utf8", f"column '{name}': {error}"), None
    is_valid = pa.array([place not in odd for place in range(len(column))])
    kept = column.combine_chunks().take(
        pa.array([place if fine.as_py() else None for place, fine in enumerate(is_valid)], pa.int64())
    )
    return pa.chunked_array([kept]), odd


def _utf8(name: str, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, Odd]:
    texts: list[str | None] = []
    odd: Odd = {}
    for place, value in enumerate(column.cast(pa.large_binary()).to_pylist()):
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError as error:
            texts.append(None)
            odd[place] = Fault("bad_utf8", f"column '{name}': {error}"), value.decode("utf-8", "backslashreplace")
    return pa.chunked_array([pa.array(texts, pa.large_string())]), odd


def _known_instants(reason: Reason, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, Odd]:
    """Whatever zone timestamps are shown in, they count from 1970 in UTC; so the zone need not be a known one."""
    unit = column.type.unit
    instants = column if column.type.tz is None else column.cast(pa.timestamp(unit, "UTC"))
    if unit not in TICKS:
        return instants, {}
    ticks = column.cast(pa.int64())
    first, end = FIRST_SECOND * TICKS[unit], (LAST_SECOND + 1) * TICKS[unit]
    is_known = pc.and_(pc.greater_equal(ticks, first), pc.less(ticks, end))
    places = pc.indices_nonzero(pc.invert(is_known)).to_pylist()
    odd: Odd = {
        place: (Fault(reason, f"'{ticks[place].as_py()}' in {unit} since 1970"), ticks[place].as_py())
        for place in places
    }
    return (pc.if_else(is_known, instants, pa.scalar(None, instants.type)) if odd else instants), odd
