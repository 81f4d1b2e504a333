"""Properties of a batch that has very many: kept as a list per event, since a column each would take all memory.

A list has as much as was sent, where columns have a place for each property in each event. Which of these properties
get columns is decided when the events are stored; see `land`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.tables.properties import KINDS, TYPES, property_columns, property_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterhouse.tables.properties import Held

RARE: Final = "rare"
"""The column with the list; only batches with very many properties have it."""

MOST_CELLS: Final = 32 << 20
"""Of the properties' columns of a batch, at 16 bytes for most."""

_ENTRY: Final = pl.Struct({"kind": pl.String(), "name": pl.String(), **{f"as_{kind}": TYPES[kind] for kind in KINDS}})


def side_by_side(parts: Sequence[pl.DataFrame], index: str) -> pl.DataFrame:
    """Parts with an index and columns of properties as one frame, some of them as a list where they are too many."""
    columns = list(dict.fromkeys(name for part in parts for name in part.columns if name != index))
    height = sum(part.height for part in parts)
    if len(columns) * height <= MOST_CELLS:
        return pl.concat(parts, how="diagonal")
    kept = {index, *columns[: MOST_CELLS // height]}
    return pl.concat([_listed(part, index, kept) for part in parts], how="diagonal")


def _listed(part: pl.DataFrame, index: str, kept: set[str]) -> pl.DataFrame:
    entries = _entries(part.select(index, *(name for name in part.columns if name not in kept)), index)
    lists = entries.group_by(index).agg(pl.struct(pl.exclude(index)).alias(RARE))
    return part.select(name for name in part.columns if name in kept).join(lists, on=index, how="left")


def _entries(part: pl.DataFrame, index: str) -> pl.DataFrame:
    """A row per value: index, kind, name and the value in the column of its kind."""
    schema = {index: part.schema[index], "kind": pl.String(), "name": pl.String()}
    schema |= {f"as_{kind}": TYPES[kind] for kind in KINDS}
    entries = [pl.DataFrame(schema=schema)]
    for kind in KINDS:
        names = {column: held[1] for column in part.columns if (held := property_of(column)) and held[0] == kind}
        values = part.unpivot(list(names), index=index, variable_name="name", value_name=f"as_{kind}")
        name = pl.col("name").replace_strict(names, return_dtype=pl.String())
        entries.append(values.drop_nulls().with_columns(name, kind=pl.lit(kind)))
    return pl.concat(entries, how="diagonal")


class SentProperties:
    """The properties of some events, whether they stand in columns or in lists."""

    def __init__(self, events: pl.DataFrame) -> None:
        self._events = events
        self._columns = property_columns(events.columns)
        listed = events.select(RARE) if RARE in events.columns else pl.DataFrame(schema={RARE: pl.List(_ENTRY)})
        self._entries = listed.with_row_index("row").explode(RARE).drop_nulls(RARE).unnest(RARE)

    def in_order(self) -> list[Held]:
        """All of them, in the order of the first events that have them."""
        first = {held: self._events[column].is_not_null().arg_max() or 0 for held, column in self._columns.items()}
        for kind, name, row in self._entries.group_by("kind", "name").agg(pl.col("row").min()).iter_rows():
            first[kind, name] = min(row, first.get((kind, name), row))
        return sorted(first, key=lambda held: (first[held], held))

    def column(self, held: Held) -> pl.Series:
        """A property of each event."""
        nothing = pl.repeat(None, self._events.height, dtype=TYPES[held[0]], eager=True)
        column = self._events[self._columns[held]] if held in self._columns else nothing
        if self._entries.is_empty():
            return column
        found = self._entries.filter(kind=held[0], name=held[1])
        return column.scatter(found["row"], found[f"as_{held[0]}"])
