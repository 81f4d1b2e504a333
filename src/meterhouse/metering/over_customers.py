"""Quantities of customers to one quantity of all of them (rule 2.6)."""

from __future__ import annotations

from typing import Final, Literal

import polars as pl

from meterhouse.catalog.meters import Aggregation
from meterhouse.metering.states import combine, state, unfold, weighed
from meterhouse.tables.columns import QUANTITY

_PERIOD: Final = ["meter", "period_start", "period_end"]


def measure_over_customers(
    usage: pl.LazyFrame, function: Literal["count", "sum", "max", "min", "avg", "unique"]
) -> pl.LazyFrame:
    """`Usage` to meter, period_start, period_end, quantity: each customer's quantity is one value, as in Polar.

    So the largest peak of all customers, or their average. Customers without events do not count.
    """
    aggregation = Aggregation(func=function, property=None if function == "count" else "quantity")
    states = (
        usage.filter(pl.col("events") > 0)
        .with_columns(used=True)
        .group_by(_PERIOD)
        .agg(**state(aggregation, pl.col("quantity"), pl.col("used")))
        .with_columns(
            aggregation=pl.lit(function),
            percent=pl.lit(None, dtype=QUANTITY),
            date=pl.col("period_start").dt.date(),
            slice_start=pl.col("period_start"),
        )
    )
    return combine(weighed(unfold(states)), _PERIOD).select(*_PERIOD, "quantity")
