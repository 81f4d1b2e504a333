"""Records of each accepted shape to one frame of fields, still unchecked (rule 1.2).

The shape is detected per record. A field that no shape knows refuses the record: it may hold what was to be billed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Final

import msgspec
import polars as pl

from meterhouse.catalog.sources import UNTOLD, Source
from meterhouse.landing.json_text.spell import members, with_members
from meterhouse.landing.reasons import TOO_DEEP, Fault, Faults
from meterhouse.landing.shapes.clocks import in_utc
from meterhouse.landing.shapes.odd_records import RepeatedField, plain_event, refuse_repeated
from meterhouse.landing.shapes.peers import (
    AMOUNT,
    CLOUD_EVENTS,
    LAGO,
    METERHOUSE,
    OBJECT_FIELDS,
    SCALAR_FIELDS,
    SHAPES,
    STRIPE,
    TEXT_FIELDS,
    UNIX_SECONDS,
    VOID,
    Shape,
    marks,
    shape_named,
)
from meterhouse.tables.columns import INSTANT

_LIST: Final = (
    "it is a list; a list of records belongs into a file named .json, with a line break more if its bytes were landed"
)
"""Landing passes over bytes that it knows, whatever their name is by then."""

_NULL: Final = msgspec.Raw(b"null")

Sent: Final = msgspec.defstruct(
    "Sent",
    [
        *((field, str | None, None) for field in TEXT_FIELDS),
        *((field, msgspec.Raw, _NULL) for field in (*SCALAR_FIELDS, *OBJECT_FIELDS)),
    ],
    forbid_unknown_fields=True,
)
"""The fields of all accepted shapes."""

FIELDS: Final = pl.Schema({field: pl.String() for field in (*TEXT_FIELDS, *SCALAR_FIELDS, *OBJECT_FIELDS)})
"""Fields as they are read: text as text, numbers and objects as they are spelled; null where there is none."""

_KNOWN: Final = frozenset(FIELDS)

NUMBER: Final = r"^-?\d+(\.\d+)?([eE][+-]?\d+)?$"

_decode: Final = msgspec.json.Decoder(Sent).decode

_decode_text: Final = msgspec.json.Decoder(str).decode

_NOTHING: Final = Sent()

STRIPE_CUSTOMER: Final = "stripe_customer_id"
"""The property of Stripe's payload that names the customer; it stays a property too."""


class _Payload(msgspec.Struct):
    stripe_customer_id: str | None = None


_decode_payload: Final = msgspec.json.Decoder(_Payload).decode


def read_lines(lines: list[bytes]) -> tuple[pl.DataFrame, Faults]:
    """One row of text fields per line, and the lines that are no such record; those have a row of nulls."""
    faults = Faults()
    sent: list[msgspec.Struct] = []
    texts: list[str] = []
    for place, line in enumerate(lines):
        try:
            texts.append(line.decode())
            sent.append(_event(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RepeatedField) as error:
            faults[place] = _fault_of(error)
            sent.append(_NOTHING)
            texts[place:] = [line.decode("utf-8", "backslashreplace")]
    raw = {field: _raw(list(map(attrgetter(field), sent))) for field in (*SCALAR_FIELDS, *OBJECT_FIELDS)}
    texts_sent = {field: list(map(attrgetter(field), sent)) for field in TEXT_FIELDS}
    scalars = {field: _scalars(field, raw[field], faults) for field in SCALAR_FIELDS}
    return pl.DataFrame(
        {**texts_sent, **raw, **scalars, "record": texts}, schema={**FIELDS, "record": pl.String()}
    ), faults


def _event(line: bytes) -> msgspec.Struct:
    refuse_repeated(line, _KNOWN)
    try:
        return _decode(line)
    except msgspec.ValidationError:
        inner = plain_event(line, _KNOWN)
        if inner is None:
            raise
        refuse_repeated(inner, _KNOWN)
        return _decode(inner)


def with_objects(
    values: Mapping[str, pl.Series], objects: Mapping[str, Mapping[str, pl.Series]], records: pl.Series
) -> pl.DataFrame:
    """`FIELDS` of a table's rows: the values of some, and of object fields more members as JSON."""
    columns = [series.alias(field) for field, series in values.items()]
    absent = [pl.lit(None, dtype=pl.String()).alias(field) for field in FIELDS if field not in values]
    frame = pl.DataFrame([*columns, records.alias("record")]).with_columns(absent)
    for field, properties in objects.items():
        held = frame.with_columns(series.alias(f"member {at}") for at, series in enumerate(properties.values()))
        inside = members({name: pl.col(f"member {at}") for at, name in enumerate(properties)})
        frame = frame.with_columns(held.select(with_members(inside, pl.col(field)).alias(field)))
    return frame.select(*FIELDS, "record")


def one_shape(fields: pl.DataFrame, source: Source = UNTOLD) -> pl.DataFrame:
    """Give the fields of all shapes meterhouse's names; the source may say which shape it is, and what no record says.

    `misfit` says what keeps a record from being of its shape. `void` names the event that a record takes back.
    `untimed` marks the records that have no timestamp and, as their shape has it, need none.
    """
    present = {field for field in FIELDS if fields[field].null_count() < fields.height}
    shapes = _shapes(source, present)
    told = [pl.coalesce(_marks_there(shape, present)).is_not_null() for shape in shapes[:-1]]
    named = {
        field: _of_shape(told, [_named(shape, field, fields.schema) for shape in shapes])
        for field in (*METERHOUSE.names, "void")
    }
    named |= {
        "source": named["source"].fill_null(source.source or "user"),
        "name": named["name"].fill_null(pl.lit(source.name, pl.String())),
    }
    misfit = _of_shape(told, [_misfit(shape, present, is_told=source.shape is not None) for shape in shapes])
    untimed = _of_shape(
        told,
        [pl.lit(value=False) if shape.is_timed else pl.col(shape.names["timestamp"]).is_null() for shape in shapes],
    )
    rest = [name for name in fields.columns if name not in FIELDS]
    shaped = fields.with_columns(_stripe_customers(fields["payload"])).select(
        *rest, untimed=untimed, misfit=misfit, **named
    )
    return in_utc(shaped, source)


def _shapes(source: Source, present: set[str]) -> list[Shape]:
    """Shapes that records with these fields may have; the last is for those that are of none before."""
    if source.shape is None:
        return [shape for shape in SHAPES if shape is METERHOUSE or not present.isdisjoint(marks(shape))]
    told = shape_named(source.shape)
    return [VOID, told] if told is METERHOUSE and "void" in present else [told]


def _of_shape(told: list[pl.Expr], values: list[pl.Expr]) -> pl.Expr:
    """The value for the first shape that a record is told to be of; the last is for those that are of none before."""
    chosen = values[-1]
    for is_told, value in reversed(list(zip(told, values[:-1], strict=True))):
        chosen = pl.when(is_told).then(value).otherwise(chosen)
    return chosen


def _marks_there(shape: Shape, present: set[str]) -> list[pl.Expr]:
    """For each field that tells a shape: its name where the record has it."""
    return [_name_where(pl.col(field).is_not_null(), field) for field in marks(shape) if field in present]


def _name_where(condition: pl.Expr, field: str) -> pl.Expr:
    return pl.when(condition).then(pl.lit(field))


def _named(shape: Shape, field: str, schema: pl.Schema) -> pl.Expr:
    theirs = pl.col(shape.names[field]) if field in shape.names else pl.lit(None, dtype=pl.String())
    match field:
        case "customer_id" | "external_customer_id" if shape is STRIPE:
            return pl.col(STRIPE_CUSTOMER)
        case "timestamp" | "received_at" if shape.takes_unix_seconds and schema[shape.names[field]] == pl.String():
            return pl.when(theirs.str.contains(UNIX_SECONDS)).then(_spelled_instant(theirs)).otherwise(theirs)
        case "metadata":
            amount = pl.lit(f'"{AMOUNT}":') + pl.col(AMOUNT)
            metadata = (with_members(amount, theirs) if shape is LAGO else theirs).fill_null("null")
            return pl.when(metadata == "null").then(pl.lit("{}")).otherwise(metadata)
        case _:
            return theirs


def _misfit(shape: Shape, present: set[str], *, is_told: bool) -> pl.Expr:
    """What keeps a record from being of a shape, in words."""
    strays = [_name_where(pl.col(field).is_not_null(), field) for field in sorted(present - set(shape.fields))]
    missing = [_name_where(pl.col(field).is_null(), field) for field in shape.required]
    by_source = pl.lit("by `sources` it" if is_told else None, dtype=pl.String())
    mark = pl.coalesce(*_marks_there(shape, present), by_source)
    whose = "voids, which" if shape is VOID else f"{shape.title}, whose events"
    checks = [pl.format(f"{{}} is of {whose} have no {{}}", mark, stray) for stray in strays] + [
        pl.format(f"{{}} is of {whose} need {{}}", mark, need) for need in missing
    ]
    return pl.coalesce(*checks, *_wrong_values(shape), pl.lit(None, dtype=pl.String()))


def _wrong_values(shape: Shape) -> Iterator[pl.Expr]:
    if shape is CLOUD_EVENTS:
        version = pl.col("specversion")
        yield pl.when(version != "1.0").then(pl.format("specversion is '{}', not '1.0'", version))
    if shape is STRIPE:
        yield pl.when(pl.col("livemode") == "false").then(pl.lit("livemode is false, so it is only a test"))
    if shape is LAGO:
        yield pl.when(~pl.col(AMOUNT).str.contains(NUMBER)).then(pl.lit(f"{AMOUNT} is not a number"))


def _spelled_instant(seconds: pl.Expr) -> pl.Expr:
    """Seconds since 1970 as ISO 8601; what is smaller than a microsecond is cut off, as everywhere."""
    whole = seconds.str.extract(r"^(\d+)").cast(pl.Int64())
    fraction = seconds.str.extract(r"\.(\d{1,6})").str.pad_end(6, "0").cast(pl.Int64()).fill_null(0)
    return (whole * 1_000_000 + fraction).cast(INSTANT).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")


def _stripe_customers(payloads: pl.Series) -> pl.Series:
    """The customers that Stripe's payloads name."""
    if payloads.null_count() == len(payloads):
        return payloads.alias(STRIPE_CUSTOMER)
    return pl.Series(STRIPE_CUSTOMER, [_stripe_customer(payload) for payload in payloads], dtype=pl.String())


def _stripe_customer(payload: str | None) -> str | None:
    try:
        return None if payload is None else _decode_payload(payload).stripe_customer_id
    except msgspec.DecodeError:
        return None


def _raw(values: list[msgspec.Raw]) -> pl.Series:
    """JSON as it is spelled; null is nothing."""
    if values.count(_NULL) == len(values):
        return pl.Series([None] * len(values), dtype=pl.String())
    spelled = pl.Series([bytes(value) for value in values], dtype=pl.Binary()).cast(pl.String())
    return spelled.set(spelled == "null", None)


def _scalars(field: str, raw: pl.Series, faults: Faults) -> pl.Series:
    """Text without its quotes; numbers and flags as they are spelled."""
    is_plain = raw.str.contains(r'^("[^"\\]*"|[^"\[{].*)$')
    odd = (~is_plain).fill_null(value=False).arg_true()
    values = raw.str.strip_chars('"')
    if odd.is_empty():
        return values
    texts: list[str | None] = []
    for place in odd:
        try:
            texts.append(_decode_text(raw[place]))
        except msgspec.ValidationError:
            texts.append(None)
            faults.setdefault(place, Fault("wrong_type", f"Expected text or a number - at `$.{field}`"))
        except msgspec.DecodeError as wrong:
            texts.append(None)
            faults.setdefault(place, Fault("bad_json", str(wrong)))
    return values.scatter(odd, pl.Series(texts, dtype=pl.String()))


def _fault_of(error: Exception) -> Fault:
    detail = str(error)
    if isinstance(error, UnicodeDecodeError):
        return Fault("bad_utf8", detail)
    if isinstance(error, RepeatedField):
        return Fault("repeated_field", detail)
    if isinstance(error, RecursionError):
        # Only metadata may nest. Where reading gives up differs between versions of Python; the reason must not.
        return TOO_DEEP
    if not isinstance(error, msgspec.ValidationError):
        return Fault("bad_json", detail)
    if " - at `$." in detail:
        return Fault("wrong_type", detail)
    return Fault("unknown_shape", _LIST if "got `array`" in detail else detail)
