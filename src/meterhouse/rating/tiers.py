"""Billables to priced steps: graduated and volume tiers (rules 4.1 to 4.3). A unit price is one tier without end."""

from __future__ import annotations

import polars as pl

from meterhouse.money import AMOUNT_UNROUNDED, multiply
from meterhouse.tables import RatedSteps, conform


def rate(billables: pl.LazyFrame, prices: pl.LazyFrame, tiers: pl.LazyFrame) -> pl.LazyFrame:
    """`Billables`, `MeteredPrices` and `Tiers` to `RatedSteps`: one row per tier that bills something.

    The flat amount of a tier is paid once the tier is reached; that of the first tier is paid for zero units too (Lago,
    OpenMeter). Units above a last tier that has an end make no step: `charge` counts them as unpriced.
    """
    billable = billables.filter(pl.col("quantity").is_not_null()).select(
        "subscription_id", "cycle", "price_id", "product", "billed"
    )
    amount = multiply(pl.col("quantity"), pl.col("unit_amount_minor")) + pl.col("flat_amount_minor").cast(
        AMOUNT_UNROUNDED
    )
    steps = (
        billable.join(_numbered(prices, tiers), on=["product", "price_id"])
        .filter(_bills_something())
        .with_columns(
            step=pl.when("volume").then(1).otherwise("tier").cast(pl.Int64),
            quantity=pl.when("volume").then("billed").otherwise(_units_in_tier()),
        )
        .with_columns(amount_minor_unrounded=amount)
    )
    return conform(steps, RatedSteps)


def _numbered(prices: pl.LazyFrame, tiers: pl.LazyFrame) -> pl.LazyFrame:
    """Tiers with their place in the price, from 1, and with how the price uses them."""
    place = pl.col("over").rank("ordinal").over("product", "price_id")
    return tiers.with_columns(tier=place).join(
        prices.select("product", "price_id", "volume"), on=["product", "price_id"]
    )


def _units_in_tier() -> pl.Expr:
    """Units of `billed` that lie in `(over, up_to]`; negative below the tier."""
    return pl.min_horizontal("billed", "up_to") - pl.col("over")


def _bills_something() -> pl.Expr:
    """Tells whether a tier prices some unit, or is the first tier and asks its flat amount for zero units."""
    above_start = pl.col("billed") > pl.col("over")
    up_to_end = pl.col("up_to").is_null() | (pl.col("billed") <= pl.col("up_to"))
    flat_alone = (pl.col("billed") == 0) & (pl.col("over") == 0) & (pl.col("flat_amount_minor") != 0)
    return (above_start & (up_to_end | ~pl.col("volume"))) | flat_alone
