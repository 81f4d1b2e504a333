"""Subscriptions to their cycles."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from meterhouse.periods import grid_periods
from meterhouse.tables import BillingPeriods, conform

_MICROSECOND: Final = timedelta(microseconds=1)


def billing_periods(subscriptions: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    """Subscriptions to BillingPeriods: every cycle that has begun at `as_of`; the last one may still be open (rule 3).

    The cycles of a subscription lie end to end from `started_at`. The first is shorter than the others where
    `started_at` is not a boundary, and the last where the subscription ends at once (rule 3.4).
    """
    ends_at, cut = pl.col("ends_at"), pl.col("end_kind") == "at_once"
    cycles = (
        grid_periods(
            subscriptions.rename({"end": "end_kind"}).with_columns(
                first=pl.col("started_at"), last=pl.min_horizontal("ends_at", pl.lit(as_of + _MICROSECOND))
            )
        )
        .with_columns(
            period_start=pl.max_horizontal("start", "started_at"),
            period_end=pl.when(cut).then(pl.min_horizontal("end", "ends_at")).otherwise("end"),
        )
        .filter(pl.col("period_start") <= as_of)
        .select(
            "subscription_id",
            "customer_id",
            "product",
            "period_start",
            "period_end",
            cycle=pl.int_range(pl.len(), dtype=pl.Int64).over("subscription_id", order_by="period_start"),
            is_last=(pl.col("period_end") >= ends_at).fill_null(value=False),
        )
    )
    return conform(cycles, BillingPeriods)
