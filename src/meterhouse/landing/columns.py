"""Rows of a Parquet file to one frame of fields: columns that events have, text that is UTF-8, instants that exist.

Checked before Polars sees them, since it takes text and time zones on trust and panics over what they are not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from meterhouse.landing.reasons import Fault, Reason
from meterhouse.landing.shapes import FIELDS, Faults

INSTANTS: Final[dict[str, Reason]] = {"timestamp": "bad_timestamp", "received_at": "bad_received_at"}
"""Columns that may be timestamps, and what a record is refused for where one is no instant."""

TICKS: Final = {"s": 1, "ms": 10**3, "us": 10**6}
"""Per second. Nanoseconds are not among them: they cannot leave the years that Python knows."""

FIRST_SECOND: Final = int(datetime.min.replace(tzinfo=UTC).timestamp())
LAST_SECOND: Final = int(datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp())

Odd: TypeAlias = dict[int, tuple[Fault, object]]
"""Values that cannot be used, by place: why not, and how they are shown."""


def wrong_columns(schema: pa.Schema) -> Fault | None:
    """Say which columns of a file are not those of events."""
    twice = [f"column '{name}' is there {times} times" for name, times in Counter(schema.names).items() if times > 1]
    wrong = [f"column '{field.name}' has type {field.type}" for field in schema if not _is_accepted(field)]
    return Fault("unknown_columns", "; ".join(twice + wrong)) if twice or wrong else None


def read_rows(rows: pa.Table) -> tuple[pl.DataFrame, Faults]:
    """The fields of some rows; instants may be timestamps. Values that cannot be used are null and have a fault."""
    usable: dict[str, pa.ChunkedArray] = {}
    faults = Faults()
    shown: dict[int, dict[str, object]] = defaultdict(dict)
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        usable[name], odd = _usable(name, column)
        for place, (fault, value) in odd.items():
            faults.setdefault(place, fault)
            shown[place][name] = value
    frame = pl.from_arrow(pa.table(usable)) if usable else pl.DataFrame(height=rows.num_rows)
    fields = _fields(frame if isinstance(frame, pl.DataFrame) else frame.to_frame())
    if shown:
        records = [
            msgspec.json.encode({**msgspec.json.decode(fields["record"][place]), **values}).decode()
            for place, values in shown.items()
        ]
        fields = fields.with_columns(fields["record"].scatter(list(shown), pl.Series(records, dtype=pl.String())))
    return fields, faults


def _is_accepted(column: pa.Field) -> bool:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if column.name in INSTANTS and pa.types.is_timestamp(column.type):
        return True
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return column.name in FIELDS and (is_text or pa.types.is_null(kind))


def _fields(frame: pl.DataFrame) -> pl.DataFrame:
    absent = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in FIELDS.items() if name not in frame.columns]
    record = pl.struct(pl.all()).struct.json_encode() if frame.width else pl.lit("{}")
    fields = frame.with_columns(*absent, record=record)
    return fields.with_columns(pl.col(pl.Null, pl.Categorical, pl.Enum).cast(pl.String()))


def _usable(name: str, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, Odd]:
    if pa.types.is_timestamp(column.type):
        return _known_instants(INSTANTS[name], column)
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return _utf8(name, column)
    return column, {}


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
