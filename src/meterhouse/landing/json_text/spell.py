"""Values of columns as JSON, exactly: no number passes through a float that was not one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec
import polars as pl
import pyarrow as pa

from meterhouse.catalog.sources import PropertyType
from meterhouse.landing.reasons import Fault

Odd: TypeAlias = dict[int, Fault]
"""Values that cannot be used, by place."""

NUMBER: Final = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"
"""A number as tables have it; JSON wants digits on both sides of the point, and no zero or plus before them."""

FLAGS: Final = {"true": "true", "false": "false", "1": "true", "0": "false"}

_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


class _NoNumber(ValueError):
    """A float that is no number."""


def quoted(text: pl.Expr) -> pl.Expr:
    """Text as JSON."""
    return pl.when(text.is_not_null()).then(_as_json(text))


def with_members(members: pl.Expr, of: pl.Expr) -> pl.Expr:
    """An object's text with more members before its own; null members change nothing.

    A name that stands in both is refused later, as any name that one object has twice.
    """
    rest = of.fill_null("{}").str.replace(r"^\s*\{\s*", "").str.replace(r"^([^}])", ",${1}")
    return pl.when(members.is_not_null()).then(pl.lit("{") + members + rest).otherwise(of)


def members(values: Mapping[str, pl.Expr]) -> pl.Expr:
    """JSON values as members of an object; null where there is none."""
    named = [pl.lit(f"{_encode(name).decode()}:") + value for name, value in values.items()]
    joined = pl.concat_str(named, separator=",", ignore_nulls=True)
    return pl.when(pl.any_horizontal(value.is_not_null() for value in values.values())).then(joined)


def typed_json(
    column: str, texts: pl.Series, kind: PropertyType | None, decimal_mark: str = "."
) -> tuple[pl.Series, Odd]:
    """Text as JSON of the type that it is said to be."""
    match kind:
        case "number":
            return _checked(column, texts, _number(texts.str.strip_chars(), decimal_mark), "number")
        case "flag":
            flags = texts.str.strip_chars().str.to_lowercase().replace_strict(FLAGS, default=None)
            return _checked(column, texts, flags, "flag: true or false")
        case _:
            return texts.to_frame("t").select(quoted(pl.col("t"))).to_series(), {}


def json_of(column: str, values: pa.ChunkedArray) -> tuple[pl.Series, Odd]:
    """Values of a Parquet column as JSON; those that JSON does not have are null and have a fault."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return json_of(column, values.cast(kind.value_type))
    if pa.types.is_struct(kind):
        return _struct(column, values)
    if _is_nested(kind):
        return _encoded(column, values)
    if pa.types.is_floating(kind):
        return _floats(column, pl.Series(values))
    if pa.types.is_decimal(kind):
        # Arrow knows wider ones than Polars does.
        return pl.Series(values.cast(pa.string())), {}
    return pl.DataFrame({"v": pl.Series(values)}).select(_spelled(pl.col("v"), kind)).to_series(), {}


def _spelled(value: pl.Expr, kind: pa.DataType) -> pl.Expr:
    if is_text(kind):
        return quoted(value)
    if pa.types.is_timestamp(kind):
        # An instant without a zone stays without one: the source says where its clock is.
        return quoted(value.dt.cast_time_unit("us").dt.strftime("%Y-%m-%dT%H:%M:%S%.6f" + ("Z" if kind.tz else "")))
    if pa.types.is_date(kind):
        return quoted(value.cast(pl.Date()).cast(pl.String()))
    return value.cast(pl.String())


def _floats(column: str, values: pl.Series) -> tuple[pl.Series, Odd]:
    """Floats in the fewest digits that tell them from others, as JSON is written everywhere."""
    places = (~values.is_finite()).fill_null(value=False).arg_true()
    fewest = values.set(~values.is_finite(), None).to_frame("t").select(_as_json(pl.col("t")))
    spelled = fewest.select(pl.when(pl.col("t") != "null").then("t")).to_series()
    return spelled, {at: _no_number(column, str(values[at])) for at in places}


def _as_json(value: pl.Expr) -> pl.Expr:
    return pl.struct(value.alias("t")).struct.json_encode().str.slice(len('{"t":')).str.strip_suffix("}").alias("t")


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type are text, perhaps as a dictionary of texts."""
    held = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_string_view(held))


def has_json(kind: pa.DataType) -> bool:
    """Whether JSON can hold the values of a type: not bytes, nor times and durations that have no one spelling."""
    if pa.types.is_dictionary(kind):
        return has_json(kind.value_type)
    if pa.types.is_map(kind):
        return bool(is_text(kind.key_type) and has_json(kind.item_type))
    if pa.types.is_struct(kind):
        return all(has_json(field.type) for field in kind)
    if _is_nested(kind):
        return has_json(kind.value_type)
    is_number = pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind)
    is_other = pa.types.is_boolean(kind) or pa.types.is_null(kind) or pa.types.is_date(kind)
    is_instant = pa.types.is_timestamp(kind) and kind.unit in {"ms", "us"}
    return bool(is_text(kind) or is_number or is_other or is_instant)


def _is_nested(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_map(kind)
    )


def _number(texts: pl.Series, decimal_mark: str) -> pl.Series:
    """The spelling that JSON has for a number; null where it is none."""
    plain = texts.str.replace(",", ".", literal=True) if decimal_mark == "," else texts
    if decimal_mark == ",":
        plain = plain.set(texts.str.contains(".", literal=True), None)
    whole = plain.set(~plain.str.contains(NUMBER), None).str.strip_prefix("+")
    return (
        whole.str.replace(r"^(-?)0+(\d)", "${1}${2}")
        .str.replace(r"^(-?)\.", "${1}0.")
        .str.replace(r"\.([eE]|$)", "${1}")
    )


def _checked(column: str, texts: pl.Series, read: pl.Series, wanted: str) -> tuple[pl.Series, Odd]:
    odd = (texts.is_not_null() & read.is_null()).arg_true()
    return read, {at: Fault("wrong_type", f"column '{column}' is '{texts[at][:60]}', not a {wanted}") for at in odd}


def _struct(column: str, values: pa.ChunkedArray) -> tuple[pl.Series, Odd]:
    whole = values.combine_chunks()
    odd: Odd = {}
    read: dict[str, pl.Series] = {}
    for field, inner in zip(values.type, whole.flatten(), strict=True):
        read[field.name], wrong = json_of(f"{column}.{field.name}", pa.chunked_array([inner]))
        odd = {**wrong, **odd}
    frame = pl.DataFrame(
        {"is_there": pl.Series(whole.is_valid()), **{str(at): series for at, series in enumerate(read.values())}}
    )
    named = {name: pl.col(str(at)) for at, name in enumerate(read)}
    inside = members(named).fill_null("") if named else pl.lit("")
    return frame.select(pl.when("is_there").then(pl.lit("{") + inside + pl.lit("}"))).to_series(), odd


def _encoded(column: str, values: pa.ChunkedArray) -> tuple[pl.Series, Odd]:
    texts: list[str | None] = []
    odd: Odd = {}
    for place, value in enumerate(values.to_pylist()):
        try:
            texts.append(None if value is None else _encode(_plain(value, values.type)).decode())
        except _NoNumber as wrong:
            texts.append(None)
            odd[place] = _no_number(column, str(wrong))
        except ValueError as wrong:
            texts.append(None)
            odd[place] = Fault("bad_metadata", f"column '{column}': {wrong}")
    return pl.Series(texts, dtype=pl.String()), odd


def _plain(value: object, kind: pa.DataType) -> object:
    """A value of Arrow as JSON has it."""
    match value:
        case float() if not math.isfinite(value):
            raise _NoNumber(str(value))
        case list() if pa.types.is_map(kind):
            named = {name: _plain(held, kind.item_type) for name, held in value}
            if len(named) < len(value):
                message = "a name is there twice in one map"
                raise ValueError(message)
            return named
        case list():
            return [_plain(held, kind.value_type) for held in value]
        case dict():
            return {field.name: _plain(value[field.name], field.type) for field in kind}
        case None | bool() | int() | float() | str() | Decimal():
            return value
        case _:
            return str(value)


def _no_number(column: str, shown: str) -> Fault:
    return Fault("number_out_of_range", f"column '{column}' is {shown}")
