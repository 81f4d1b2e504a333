"""Quantities as whole numbers of the 12th place, where dividing decimals would round on its own terms."""

from __future__ import annotations

from typing import Final

import polars as pl

from meterhouse.tables.columns import QUANTITY

PLACES: Final = 12

_ONE: Final = pl.lit("0.000000000001").cast(QUANTITY)


def parts_of(quantity: pl.Expr) -> pl.Expr:
    """A quantity in parts of 10^-12. Arithmetic on them wraps silently where it leaves 128 bits: mind the bounds."""
    return quantity.to_physical()


def rounded(quantity: pl.Expr, direction: pl.Expr, to: pl.Expr) -> pl.Expr:
    """A quantity as a multiple of `to`: `up`, `down`, or `half` away from zero; as it is where that is null."""
    parts, step = parts_of(quantity), parts_of(to)
    half = parts.sign() * ((2 * parts.abs() + step) // (2 * step))
    times = pl.when(direction == "up").then((parts + step - 1) // step).when(direction == "down").then(parts // step)
    return pl.when(direction.is_null()).then(quantity).otherwise(from_parts(times.otherwise(half) * step))


def exact_sum(quantities: pl.Expr) -> pl.Expr:
    """The sum of quantities of any size; 0 of none. Raises where it may not fit.

    Polars wraps a group's sum of decimals silently, but not a product: so the largest, as often as there are
    quantities, has to fit.
    """
    most = quantities.abs().max() * quantities.count().cast(pl.Decimal(38, 0))
    return pl.when(most >= 0).then(quantities.sum()).otherwise(0)


def from_parts(parts: pl.Expr) -> pl.Expr:
    """Parts as a quantity."""
    return parts.cast(pl.Decimal(38, 0)) * _ONE
