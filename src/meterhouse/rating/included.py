"""Usage to billables: what the included units of a price cover, and what is left (rule 4.6)."""

from __future__ import annotations

from typing import Final

import polars as pl

from meterhouse.tables import Billables, conform
from meterhouse.tables.columns import QUANTITY

_ZERO: Final = pl.lit(0, dtype=QUANTITY)


def cover_included(usage: pl.LazyFrame, periods: pl.LazyFrame, prices: pl.LazyFrame) -> pl.LazyFrame:
    """`Usage`, `BillingPeriods` and `MeteredPrices` to `Billables`: one row per usage and price on its meter.

    A negative quantity bills as 0 (rule 4.3), and so does a quantity that is not there; only the latter stays null and
    is not even charged a flat amount (rule 2.2). Usage that no price bills has no row here.
    """
    billable = pl.max_horizontal(pl.col("quantity").fill_null(_ZERO), _ZERO)
    included = pl.min_horizontal(billable, pl.col("included"))
    billables = (
        usage.select("subscription_id", "cycle", "meter", "quantity")
        .join(periods.select("subscription_id", "cycle", "product"), on=["subscription_id", "cycle"])
        .join(prices.select("product", "meter", "price_id", "included"), on=["product", "meter"])
        .with_columns(included=included, credited=_ZERO, billed=billable - included)
    )
    return conform(billables, Billables)
