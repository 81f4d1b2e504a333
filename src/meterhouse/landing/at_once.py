"""Records like those before: their fields and their properties, parsed in one go.

What is unusual in any way is left to `shapes.envelopes` and `properties.typed`, which parse the two apart.
"""

from __future__ import annotations

from typing import Final

import polars as pl
import pyarrow as pa

from meterhouse.catalog.settings import Limits
from meterhouse.landing.formats.lines import Block
from meterhouse.landing.json_text.known import Known
from meterhouse.landing.json_text.parse import is_parsable, joined, parse_joined
from meterhouse.landing.properties.typed import is_plain, typed_of
from meterhouse.landing.shapes.envelopes import cut_out, fields_of, schema_of
from meterhouse.landing.shapes.peers import OBJECT_FIELDS

METADATA: Final = "metadata"

MOST_MISSES: Final = 3
"""After as many blocks that were parsed for nothing it is not tried again."""


def read_at_once(block: Block, known: Known, limits: Limits) -> pl.DataFrame | None:
    """`FIELDS`, position and typed properties of all lines, or None.

    Lines are taken that have as many braces as objects, so none in text. Then metadata, the only field that is an
    object, surely is what was cut out: from the second `{` to the last `}` but one.
    """
    properties = known.properties()
    if not properties or known.fields.intersection(OBJECT_FIELDS) != {METADATA} or known.misses >= MOST_MISSES:
        return None
    rows = cut_out(block.lines).with_columns(text="inside")
    is_usual = is_parsable(pl.col("line")) & is_plain(rows["text"], limits)
    if not rows.select(is_usual.fill_null(value=False).all()).item():
        return None
    text = joined(rows["line"]) if block.text is None else block.text
    fields = _parsed(rows, text, schema_of(known.fields, pa.struct(list(properties))))
    known.misses = known.misses + 1 if fields is None else 0
    return fields


def _parsed(rows: pl.DataFrame, text: pa.Buffer, schema: pa.Schema) -> pl.DataFrame | None:
    table = parse_joined(text, rows.height, schema, with_braces_in_text=False)
    if table is None or table[METADATA].null_count:
        return None
    metadata = pa.Table.from_arrays(table[METADATA].flatten(), schema=pa.schema(list(table[METADATA].type)))
    typed = typed_of(metadata, rows["position"])
    return None if typed is None or typed.rounded else fields_of(rows, table).hstack(typed.columns.drop("position"))
