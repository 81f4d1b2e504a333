"""Steps to charges: the sum of a price's steps, and its cap."""

from __future__ import annotations

from typing import Final

import polars as pl

from meterhouse.money import AMOUNT_UNROUNDED, total
from meterhouse.tables import Charges, conform

_CHARGE: Final = ["subscription_id", "cycle", "price_id"]


def charge(billables: pl.LazyFrame, steps: pl.LazyFrame, prices: pl.LazyFrame) -> pl.LazyFrame:
    """`Billables`, `RatedSteps` and `MeteredPrices` to `Charges`: one row per billable, also where nothing is billed.

    Of a volume price either all units are priced or none; of a graduated price those up to its last tier (rule 8.6).
    """
    summed = steps.group_by(_CHARGE).agg(
        priced=pl.col("quantity").sum(), uncapped_minor_unrounded=total(pl.col("amount_minor_unrounded"))
    )
    cap = pl.col("cap_minor").cast(AMOUNT_UNROUNDED)
    charges = (
        billables.join(prices.select("product", "price_id", "currency", "cap_minor"), on=["product", "price_id"])
        .join(summed, on=_CHARGE, how="left")
        .with_columns(pl.col("priced", "uncapped_minor_unrounded").fill_null(0))
        .with_columns(
            unpriced=pl.col("billed") - pl.col("priced"),
            # Horizontal minimum skips nulls: no cap leaves the amount as it is.
            amount_minor_unrounded=pl.min_horizontal("uncapped_minor_unrounded", cap),
        )
    )
    return conform(charges, Charges)
