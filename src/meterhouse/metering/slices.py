"""Days cut where a period begins within them, so that a period's usage is a sum of whole slices."""

from __future__ import annotations

import polars as pl


def cuts_within_days(periods: pl.LazyFrame) -> pl.LazyFrame:
    """Instants within a day (UTC) at which a customer's period begins or ends: `customer_id, date, slice_start`.

    A customer without such an instant, the common case, has no row: its slices are its days.
    """
    bounds = pl.concat([periods.select("customer_id", slice_start=bound) for bound in ("period_start", "period_end")])
    date = pl.col("slice_start").dt.date()
    return (
        bounds.filter(pl.col("slice_start") > _midnight(date))
        .unique()
        .select("customer_id", date.alias("date"), "slice_start")
    )


def slice_events(events: pl.LazyFrame, cuts: pl.LazyFrame) -> pl.LazyFrame:
    """Add `slice_start`: the last cut of the customer's day that is not after the event, or the day's start."""
    days = cuts.select("customer_id", "date").unique()
    midnight = _midnight(pl.col("date"))
    whole = events.join(days, on=["customer_id", "date"], how="anti").with_columns(slice_start=midnight)
    cut = (
        events.join(days, on=["customer_id", "date"], how="semi")
        .sort("timestamp")
        .join_asof(
            cuts.sort("slice_start"),
            left_on="timestamp",
            right_on="slice_start",
            by=["customer_id", "date"],
            strategy="backward",
            coalesce=False,
            check_sortedness=False,
        )
        .with_columns(slice_start=pl.col("slice_start").fill_null(midnight))
    )
    return pl.concat([whole, cut])


def _midnight(date: pl.Expr) -> pl.Expr:
    return date.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
