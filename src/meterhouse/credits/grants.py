"""Which grants a cycle has, and in which order they are used (rules 5.2 and 5.3)."""

from __future__ import annotations

from typing import Final

import polars as pl

from meterhouse.tables.identifiers import joined_id

ROLLOVER: Final = "rollover"
"""Origin, and benefit, of units that were carried over: they stem from all benefits with rollover together."""

_SHOWN: Final = ["origin", "benefit_id", "units", "rollover", "priority"]
_BURN_DOWN_ORDER: Final = ["demand", "priority", "rollover", "is_fresh", "benefit_id"]


def granted(demand: pl.LazyFrame, benefits: pl.LazyFrame, carried: pl.LazyFrame) -> pl.LazyFrame:
    """One row per grant of each cycle, with all columns of its demand, numbered by `demand`; sorted in burn-down order.

    The order is total: priority; earlier expiry, which puts grants that end with the cycle before those that roll over;
    earlier effective, which puts carried units before fresh ones; benefit. `rank` counts it from 1.
    """
    grants = pl.concat([_carried_in(demand, benefits, carried), _fresh(demand, benefits)])
    return (
        grants.filter(pl.col("units") > 0)
        .with_columns(is_fresh=pl.col("origin") != ROLLOVER, grant_id=_grant_id())
        .sort(_BURN_DOWN_ORDER)
        .with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("demand"))
    )


def _fresh(demand: pl.LazyFrame, benefits: pl.LazyFrame) -> pl.LazyFrame:
    """Units that each benefit of the product grants in the cycle."""
    fresh = demand.join(benefits, on=["product", "meter"]).with_columns(origin=pl.lit("benefit"))
    return fresh.select(pl.all().exclude(_SHOWN), *_SHOWN)


def _carried_in(demand: pl.LazyFrame, benefits: pl.LazyFrame, carried: pl.LazyFrame) -> pl.LazyFrame:
    """Units carried over into the cycle. They keep on rolling over, as in Polar.

    Carried units have no benefit of their own to give them a priority. They take the first one of the benefits with
    rollover, so that they are used right before fresh units of that kind; without such a benefit they are used last.
    """
    priority = pl.col("priority")
    priorities = benefits.group_by("product", "meter").agg(
        priority=priority.filter("rollover").min().fill_null(priority.max())
    )
    taken = demand.join(carried, on=["subscription_id", "meter", "cycle"]).join(
        priorities, on=["product", "meter"], how="left"
    )
    return taken.with_columns(
        pl.col("priority").fill_null(0),
        origin=pl.lit(ROLLOVER),
        benefit_id=pl.lit(ROLLOVER),
        rollover=pl.lit(value=True),
    ).select(pl.all().exclude(_SHOWN), *_SHOWN)


def _grant_id() -> pl.Expr:
    parts = ("subscription_id", "meter", "cycle", "origin", "benefit_id")
    return joined_id(*(pl.col(part) for part in parts))
