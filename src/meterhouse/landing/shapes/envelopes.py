"""Lines of JSON to the fields of records, many at once; the metadata is cut out as the text that it is.

Only what is surely read as `fields.read_lines` reads it is taken; the rest is left to that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import polars as pl
import pyarrow as pa

from meterhouse.landing.json_text.known import Known
from meterhouse.landing.json_text.parse import LEAST_ROWS, halves, is_parsable, parse
from meterhouse.landing.shapes.fields import FIELDS
from meterhouse.landing.shapes.peers import OBJECT_FIELDS

_NO_MEMBERS: Final = pa.struct([])

_NOTHING: Final = pl.DataFrame(schema={"position": pl.Int64(), **FIELDS})

CUT: Final = "{\t}"
"""Stands where an object was cut out. The tab is refused inside text, so it is where a value is, and is one itself."""


def read_envelopes(lines: pl.DataFrame, known: Known) -> pl.DataFrame:
    """`FIELDS` and position of the (position, line) that can be read at once; the metadata is still unchecked.

    A line has its metadata from the second `{` to the last `}` but one, or one of those is text and the line or the
    metadata is no JSON once it is cut there.
    """
    parts = list(_parts(_without_metadata(lines.filter(is_parsable(pl.col("line")))), known))
    return pl.concat(parts) if parts else _NOTHING


def _parts(rows: pl.DataFrame, known: Known) -> Iterator[pl.DataFrame]:
    table = _parsed(rows["envelope"], known) if rows.height else None
    if table is not None:
        yield fields_of(rows, table)
    elif rows.height > LEAST_ROWS:
        for half in halves(rows):
            yield from _parts(half, known)


def cut_out(lines: pl.DataFrame) -> pl.DataFrame:
    """Lines with `inside`, the metadata of each or null, and where it has its `start` and `end` in `bytes`."""
    line = pl.col("line")
    start = 1 + line.str.slice(1).str.find("{", literal=True)
    ends_there = lines["line"].str.ends_with("}}").all()
    end = line.str.len_bytes() - 1 if ends_there else 1 + line.str.find(r"\}[^}]*\}$")
    inside = pl.col("bytes").bin.slice("start", pl.col("end") - pl.col("start")).cast(pl.String())
    return lines.with_columns(bytes=line.cast(pl.Binary()), start=start, end=end).with_columns(
        inside=pl.when(pl.col("start") < pl.col("end")).then(inside)
    )


def _without_metadata(lines: pl.DataFrame) -> pl.DataFrame:
    before = pl.col("bytes").bin.slice(0, "start").cast(pl.String())
    after = pl.col("bytes").bin.slice("end").cast(pl.String())
    envelope = pl.when(pl.col("inside").is_null()).then("line").otherwise(pl.concat_str(before, pl.lit(CUT), after))
    return cut_out(lines).select("position", "inside", envelope=envelope)


def _parsed(envelopes: pl.Series, known: Known) -> pa.Table | None:
    """The fields that there are. Those that others have cost much time, so it is tried without them."""
    if known.fields:
        table = parse(envelopes, schema_of(known.fields))
        if table is not None:
            return table
    table = parse(envelopes, schema_of(FIELDS))
    if table is not None:
        there = [name for name in table.column_names if table[name].null_count < table.num_rows]
        known.fields = known.fields.union(there)
    return table


def schema_of(fields: Collection[str], members: pa.StructType = _NO_MEMBERS) -> pa.Schema:
    """These fields of records; `members` are those of the objects among them."""
    there = [field for field in FIELDS if field in fields]
    return pa.schema([(field, members if field in OBJECT_FIELDS else pa.string()) for field in there])


def fields_of(rows: pl.DataFrame, table: pa.Table) -> pl.DataFrame:
    """`FIELDS` of parsed records; what an object has `inside` stays text."""
    columns = {
        name: rows["inside"].set(pl.Series(values.is_null()), None)
        if name in OBJECT_FIELDS
        else pl.Series(values, dtype=pl.String())
        for name, values in zip(table.column_names, table.columns, strict=True)
    }
    absent = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in FIELDS.items() if name not in columns]
    return rows.select("position", *(values.alias(name) for name, values in columns.items()), *absent).select(
        "position", *FIELDS
    )
