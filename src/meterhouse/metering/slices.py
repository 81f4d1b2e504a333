"""Days cut where a period begins within them, so that a period's usage is a sum of whole slices."""

from __future__ import annotations

from typing import Final

import polars as pl

from meterhouse.metering.attribution import SENT_IDS, attribute, may_be_of

_PLACE: Final = "_place"


def cuts_within_days(periods: pl.LazyFrame) -> pl.LazyFrame:
    """Instants within a day (UTC) at which a customer's period begins or ends: `customer_id, date, slice_start`.

    A customer without such an instant, the common case, has no row: its slices are its days.
    """
    bounds = pl.concat([periods.select("customer_id", slice_start=bound) for bound in ("period_start", "period_end")])
    date = pl.col("slice_start").dt.date()
    return (
        bounds.filter(pl.col("slice_start") > midnight(date))
        .unique()
        .select("customer_id", date.alias("date"), "slice_start")
    )


def slice_events(
    events: pl.LazyFrame, customers: pl.LazyFrame, subscriptions: pl.LazyFrame, cuts: pl.LazyFrame
) -> pl.LazyFrame:
    """Add `slice_start`: the last cut of the customer's day that is not after the event, or the day's start.

    Only events that may be of a customer with a cut are attributed here, since nearly all are of others.
    """
    whole_days = midnight(pl.col("date"))
    of_customers, of_subscriptions = (
        table.join(cuts, on="customer_id", how="semi").collect() for table in (customers, subscriptions)
    )
    if of_customers.is_empty():
        return events.with_columns(slice_start=whole_days)
    placed = events.with_row_index(_PLACE)
    few = placed.select(_PLACE, *SENT_IDS, "date", "timestamp").filter(may_be_of(of_customers, of_subscriptions))
    within_days = (
        attribute(few, customers, subscriptions)
        .filter("attributed")
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
        .select(_PLACE, "slice_start")
    )
    sliced = placed.join(within_days, on=_PLACE, how="left").drop(_PLACE)
    return sliced.with_columns(pl.col("slice_start").fill_null(whole_days))


def midnight(date: pl.Expr) -> pl.Expr:
    """The instant at which a day begins, in UTC."""
    return date.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
