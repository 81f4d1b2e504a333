"""Why a value does not count (rule 2.2), in a word to count by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from meterhouse.metering.operands import EventProperties


def skip_reason(property_name: str, properties: EventProperties) -> pl.Expr:
    """What an event holds instead of a value that counts: `missing`, `text`, `flag`, `number`, `array` or `object`.

    Expects the event's `metadata`: arrays and objects have no columns of their own. Null is missing (rule 2.1).
    """
    operands = properties.operands(property_name)
    written = _written(property_name)
    return (
        pl.when(operands.text.is_not_null())
        .then(pl.lit("text"))
        .when(operands.flag.is_not_null())
        .then(pl.lit("flag"))
        .when(operands.number.is_not_null())
        .then(pl.lit("number"))
        .when(written.str.starts_with("["))
        .then(pl.lit("array"))
        .when(written.str.starts_with("{"))
        .then(pl.lit("object"))
        .otherwise(pl.lit("missing"))
    )


def _written(property_name: str) -> pl.Expr:
    """The property as the metadata has it: under its whole name, or nested at each point."""
    if any(character in property_name for character in "\"\\'"):
        return pl.lit(None, dtype=pl.String)
    nested = "".join(f'["{part}"]' for part in property_name.split("."))
    metadata = pl.col("metadata").str
    return pl.coalesce(metadata.json_path_match(f'$["{property_name}"]'), metadata.json_path_match(f"${nested}"))
