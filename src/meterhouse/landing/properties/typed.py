"""Metadata to typed columns, many at once; what is unusual is left to `metadata`, which reads with care."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from meterhouse.catalog.settings import Limits
from meterhouse.landing.json_text.known import LONG_NUMBER, NUMBER, Known
from meterhouse.landing.json_text.parse import LEAST_ROWS, halves, has_extreme_number, is_parsable, parse
from meterhouse.landing.properties.metadata import LIMIT, type_with_care
from meterhouse.landing.properties.rare import side_by_side
from meterhouse.landing.reasons import Faults
from meterhouse.tables.columns import QUANTITY
from meterhouse.tables.properties import TYPES, Kind, column_of

NO_PROPERTIES: Final = "{}"

LEAST_NAME_BYTES: Final = 4
"""What a name and its value take at least."""

MOST_NAMES: Final = 1 << 16
"""As many names are read with care at once, since each may be one that no other record has."""

STORED_NUMBER: Final = pa.decimal128(QUANTITY.precision, QUANTITY.scale)

_KINDS: Final[dict[pa.DataType, Kind]] = {
    NUMBER: "number",
    LONG_NUMBER: "number",
    pa.string(): "text",
    pa.bool_(): "flag",
}


@dataclass(frozen=True)
class Typed:
    """The properties of some records: `columns` has the `place` of each record, and its typed properties.

    `rounded` has the place of each number that was rounded.
    """

    columns: pl.DataFrame
    faults: Faults = field(default_factory=Faults)
    rounded: list[int] = field(default_factory=list)


def type_metadata(texts: pl.Series, known: Known, limits: Limits) -> Typed:
    """Type the metadata of records. Nested objects are flattened with `.`; arrays and nulls have no column."""
    rows = pl.DataFrame({"text": texts}).with_row_index("place").with_columns(is_plain=is_plain(texts, limits))
    is_empty = pl.col("text") == NO_PROPERTIES
    parts = [Typed(rows.filter(is_empty).select("place"))]
    parts += _parts(rows.filter(~is_empty & pl.col("is_plain")), known, limits)
    parts += _with_care(rows.filter(~is_empty & ~pl.col("is_plain")), known, limits)
    return _together(parts)


def is_plain(texts: pl.Series, limits: Limits) -> pl.Expr:
    """Whether metadata is taken at once, if it is what it is taken for."""
    text = pl.col("text")
    plain = is_parsable(text) & ~has_extreme_number(text)
    if texts.str.len_bytes().gt(LEAST_NAME_BYTES * limits.max_record_properties).any():
        plain &= text.str.count_matches(":", literal=True) <= limits.max_record_properties
    return plain


def _together(parts: list[Typed]) -> Typed:
    filled = [part for part in parts if not part.columns.is_empty()]
    if len(filled) == 1:
        return filled[0]
    columns = side_by_side([part.columns for part in parts], "place")
    return Typed(
        columns.sort("place"),
        Faults({place: fault for part in filled for place, fault in part.faults.items()}),
        [place for part in filled for place in part.rounded],
    )


def _parts(rows: pl.DataFrame, known: Known, limits: Limits) -> Iterator[Typed]:
    for group, schema in known.groups(rows):
        part = None if schema is None else _at_once(group, schema)
        if part is not None:
            yield part
        elif schema is None or group.height <= LEAST_ROWS:
            yield from _with_care(group, known, limits)
        else:
            for half in halves(group):
                yield from _parts(half, known, limits)


def _with_care(rows: pl.DataFrame, known: Known, limits: Limits) -> Iterator[Typed]:
    """Some rows at a time, fewer where they may have very many properties."""
    names = rows["text"].str.count_matches(":", literal=True).cum_sum() // MOST_NAMES
    for part in rows.with_columns(part=names).partition_by("part", maintain_order=True, include_key=False):
        yield _part_with_care(part, known, limits)


def _part_with_care(rows: pl.DataFrame, known: Known, limits: Limits) -> Typed:
    texts, places = rows["text"].to_list(), rows["place"].to_list()
    typed = type_with_care(texts, limits)
    known.learn([text for place, text in enumerate(texts) if place not in typed.faults])
    return Typed(
        rows.select("place", *(values.alias(column_of(*held)) for held, values in typed.columns.items())),
        Faults({places[place]: fault for place, fault in typed.faults.items()}),
        [places[place] for place in typed.rounded],
    )


def _at_once(rows: pl.DataFrame, schema: pa.Schema) -> Typed | None:
    """None where a record does not fit the schema, or a number is out of range."""
    table = parse(rows["text"], schema) if rows.height else None
    return None if table is None else typed_of(table, rows["place"])


def typed_of(table: pa.Table, places: pl.Series) -> Typed | None:
    """Properties as they were parsed; None where a number is out of range."""
    columns: list[pl.Series] = []
    rounded: list[int] = []
    for name, sent in zip(table.column_names, table.columns, strict=True):
        for path, values in _leaves(name, sent):
            kind = _KINDS[values.type]
            numbers, is_rounded = _to_twelve_places(values) if kind == "number" else (values, None)
            column = pl.Series(column_of(kind, path), numbers, dtype=TYPES[kind])
            if kind == "number" and not column.is_between(-LIMIT, LIMIT, closed="none").all():
                return None
            columns.append(column)
            rounded.extend([] if is_rounded is None else places.filter(is_rounded))
    return Typed(pl.DataFrame([places, *columns]), rounded=rounded)


def _leaves(name: str, values: pa.ChunkedArray) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """The scalar properties that some record has."""
    if pa.types.is_struct(values.type):
        for member, inner in zip(values.type, values.flatten(), strict=True):
            yield from _leaves(f"{name}.{member.name}", inner)
    elif values.type in _KINDS and values.null_count < len(values):
        yield name, values


def _to_twelve_places(values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pl.Series | None]:
    """Numbers half away from zero (rule 1.7), and which of them were rounded."""
    if values.type == NUMBER:
        return values.cast(STORED_NUMBER), None
    exact = values.cast(pa.decimal256(76, LONG_NUMBER.scale))
    rounded = pc.round(exact, NUMBER.scale, "half_towards_infinity")
    return rounded.cast(STORED_NUMBER), pl.Series(pc.not_equal(rounded, exact)).fill_null(value=False)
