"""JSON texts to typed columns, many at once: exactly as a schema declares them, or not at all.

PyArrow reads numbers as the decimals that they are spelled as, and refuses repeated names, unknown fields and other
types. It does not say of which text, so who calls it halves what is refused until little is left to read with care.
"""

from __future__ import annotations

from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

LEAST_ROWS: Final = 256
"""As many texts are not halved further where one of them is refused, but read with care."""

LARGEST_BYTES: Final = 1 << 20
"""A text with more bytes is read with care: there is nothing to gain."""

PIECE_BYTES: Final = 4 << 20
"""What PyArrow parses at once, so that it stays in the processor's cache. No text may be as large."""


EXTREME_NUMBERS: Final = (
    r'[:\[,]\s*"?[-+]?[0-9]*(?:\.[0-9]{21}|\.?[0-9]*[eE][-+]?0*(?:[3-9][0-9]|[0-9]{3}))',
    r"\\u00(?:2[bBdDeE]|3[0-9]|[46]5)",
)
"""A number with very many places or a great exponent, or text that may be one, if PyArrow should take it for one.

Whatever its scale, PyArrow looks up a power of ten without asking whether its table has it: the number would be wrong,
or the process would die.
"""


def has_extreme_number(text: pl.Expr) -> pl.Expr:
    """Whether a text must not be parsed with decimals."""
    return pl.any_horizontal(text.str.contains(spelling) for spelling in EXTREME_NUMBERS)


def is_parsable(text: pl.Expr) -> pl.Expr:
    """Whether a text may be one object, and stands on one line, as `parse` needs it."""
    is_line = ~text.str.contains("\n", literal=True) & (text.str.len_bytes() <= LARGEST_BYTES)
    return text.str.starts_with("{") & text.str.ends_with("}") & is_line


def parse(texts: pl.Series, schema: pa.Schema) -> pa.Table | None:
    """As `parse_joined`, for texts that lie apart."""
    return parse_joined(joined(texts), len(texts), schema)


def joined(texts: pl.Series) -> pa.Buffer:
    """Texts as one, a line each."""
    return texts.str.join("\n").to_arrow()[0].as_buffer()


def parse_joined(
    text: pa.Buffer, texts: int, schema: pa.Schema, *, with_braces_in_text: bool = True
) -> pa.Table | None:
    """One row per text, all of which are `is_parsable`; None where one is not an object that fits the schema.

    None as well where braces are in text, not only around objects, unless they may be.

    With decimals of 26 digits nothing overflows silently, as long as no text `has_extreme_number`.

    Each text is one object where all are accepted and there are as many: an object cannot end in another text, since
    after a value no other may begin and no string goes beyond its line.
    """
    table = _read(text, schema)
    if table is None or table.num_rows != texts:
        return None
    if not with_braces_in_text and any(_count(text, brace) != _objects(table) for brace in "{}"):
        return None
    strict = pa.schema([field.with_type(_with_floats(field.type)) for field in schema])
    if strict.equals(schema) or _count(text, '"') == sum(map(_quotes, table.columns)):
        return table
    # PyArrow takes a decimal from text too, but a float from a number only.
    return None if _read(text, strict) is None else table


def halves(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows in two parts, to find those that are refused."""
    return rows[: rows.height // 2], rows[rows.height // 2 :]


def _read(text: pa.Buffer, schema: pa.Schema) -> pa.Table | None:
    try:
        return pj.read_json(
            pa.BufferReader(text),
            # Callers read in threads of their own.
            read_options=pj.ReadOptions(use_threads=False, block_size=PIECE_BYTES),
            parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
    except pa.ArrowException:
        return None


def _count(text: pa.Buffer, character: str) -> int:
    held = pa.Array.from_buffers(pa.uint8(), text.size, [None, text])
    return int((pl.Series(held, dtype=pl.UInt8()) == ord(character)).sum())


def _objects(table: pa.Table) -> int:
    """How many objects the rows are and hold."""
    return int(table.num_rows) + sum(map(_inner_objects, table.columns))


def _inner_objects(column: pa.ChunkedArray) -> int:
    if pa.types.is_list(column.type):
        return _inner_objects(pc.list_flatten(column))
    if pa.types.is_struct(column.type):
        return len(column) - int(column.null_count) + sum(map(_inner_objects, column.flatten()))
    return 0


def _quotes(column: pa.ChunkedArray) -> int:
    """Quotes around the names and texts of a column. There are more where a name has null, or a number is text."""
    there: int = len(column) - column.null_count
    if pa.types.is_struct(column.type):
        return 2 * there + sum(map(_quotes, column.flatten()))
    return 4 * there if pa.types.is_string(column.type) else 2 * there


def _with_floats(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_with_floats(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_with_floats(kind.value_type))
    return pa.float64() if pa.types.is_decimal(kind) else kind
