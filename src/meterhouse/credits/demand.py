"""Usage to what it wants from credits (rule 4.6: after included units, before the price)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from meterhouse.tables import CreditDemand, conform
from meterhouse.tables.columns import QUANTITY

if TYPE_CHECKING:
    from datetime import datetime


def credit_demand(usage: pl.LazyFrame, billables: pl.LazyFrame, periods: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    """`Usage`, `Billables` and `BillingPeriods` to `CreditDemand`: one row per cycle and meter.

    A priced meter wants what its included units leave; a meter that has no price wants all its usage, so that a
    balance falls as units are used.
    """
    priced = billables.group_by("subscription_id", "cycle", "meter").agg(left=pl.col("billed").max())
    used = pl.max_horizontal(pl.col("quantity").fill_null(0), pl.lit(0, dtype=QUANTITY))
    demand = (
        usage.join(periods.select("subscription_id", "cycle", "product", "is_last"), on=["subscription_id", "cycle"])
        .join(priced, on=["subscription_id", "cycle", "meter"], how="left")
        .with_columns(wanted=pl.coalesce("left", used), is_closed=pl.col("period_end") <= as_of)
    )
    return conform(demand, CreditDemand)
