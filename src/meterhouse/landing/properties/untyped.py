"""Properties that have no column of their own, typed from the metadata when they are asked for: exact, and slower."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from meterhouse.landing.properties.metadata import type_with_care
from meterhouse.tables.properties import TYPES, column_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from meterhouse.tables.properties import Held


def with_untyped(events: pl.LazyFrame, wanted: Collection[Held]) -> pl.LazyFrame:
    """Add a column for each of these properties, named and typed as landing would have done.

    `events` needs its metadata. Where nothing is wanted it stays as it is, and no metadata is read.
    """
    if not wanted:
        return events
    columns = {column_of(*held): held for held in sorted(wanted)}
    held_in = pl.col("metadata").map_batches(
        partial(_typed, columns=columns),
        return_dtype=pl.Struct({column: TYPES[kind] for column, (kind, _) in columns.items()}),
        is_elementwise=True,
    )
    return events.with_columns(held_in.alias("untyped")).unnest("untyped")


def _typed(metadata: pl.Series, columns: Mapping[str, Held]) -> pl.Series:
    places = metadata.str.contains_any(_spelled(columns)).arg_true()
    # Accepted metadata has no faults.
    found = type_with_care(metadata.gather(places).to_list()).columns
    typed = {
        column: _spread(found.get(held, pl.Series([None] * len(places), dtype=TYPES[held[0]])), places, len(metadata))
        for column, held in columns.items()
    }
    return pl.DataFrame(typed).to_struct(metadata.name)


def _spelled(columns: Mapping[str, Held]) -> list[str]:
    r"""What is in every metadata that may hold one of them: a part of its name, or a `\` that may spell one."""
    return ["\\", *(max(name.split("."), key=len) for _, name in columns.values())]


def _spread(values: pl.Series, places: pl.Series, height: int) -> pl.Series:
    return pl.repeat(None, height, dtype=values.dtype, eager=True).scatter(places, values)
