"""Fixed prices to the fees that are due (rule 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.money import AMOUNT_UNROUNDED
from meterhouse.tables.columns import QUANTITY

if TYPE_CHECKING:
    from datetime import datetime

_FEE: Final = ["subscription_id", "price_id", "period_start"]
_NO_UNITS: Final = pl.lit(0, dtype=QUANTITY)


def fees_due(
    periods: pl.LazyFrame, prices: pl.LazyFrame, products: pl.LazyFrame, billed: pl.LazyFrame, as_of: datetime
) -> pl.LazyFrame:
    """One line per fixed price and cycle that is due by `as_of` and not billed yet, with its `invoice_cycle`.

    `billed` are `BilledFees`. A price that changes between in advance and in arrears bills no cycle twice, and the
    cycle that would fall between the two is due on the next invoice.
    """
    several = pl.len().over("product") > 1
    named = prices.with_columns(several=several).join(products.select("product", "name"), on="product")
    in_advance = pl.col("in_advance")
    due = (
        periods.join(named, on="product")
        .filter(in_advance | (pl.col("period_end") <= as_of))
        .with_columns(invoice_cycle=pl.when(in_advance).then("cycle").otherwise(pl.col("cycle") + 1))
        .join(billed, on=_FEE, how="anti")
    )
    return _as_lines(_not_left_out(due, billed))


def _not_left_out(due: pl.LazyFrame, billed: pl.LazyFrame) -> pl.LazyFrame:
    """Put a fee on the next invoice that goes on where the last one billed ends, but whose own invoice is final."""
    last = billed.group_by("subscription_id").agg(last_final=pl.col("invoice_cycle").max())
    until = billed.group_by("subscription_id", "price_id").agg(billed_until=pl.col("period_end").max())
    is_left_out = (pl.col("invoice_cycle") <= pl.col("last_final")) & (pl.col("period_start") == pl.col("billed_until"))
    return (
        due.join(last, on="subscription_id", how="left")
        .join(until, on=["subscription_id", "price_id"], how="left")
        .with_columns(invoice_cycle=pl.when(is_left_out).then(pl.col("last_final") + 1).otherwise("invoice_cycle"))
    )


def _as_lines(due: pl.LazyFrame) -> pl.LazyFrame:
    amount = pl.col("amount_minor").cast(AMOUNT_UNROUNDED)
    return due.select(
        "subscription_id",
        "price_id",
        "currency",
        "period_start",
        "period_end",
        "invoice_cycle",
        kind=pl.lit("fixed"),
        meter=pl.lit(None, dtype=pl.String),
        description=pl.when("several").then(pl.format("{}: {}", "name", "price_id")).otherwise("name"),
        quantity=pl.lit(None, dtype=QUANTITY),
        included=_NO_UNITS,
        credited=_NO_UNITS,
        billed=_NO_UNITS,
        unpriced=_NO_UNITS,
        uncapped_minor_unrounded=amount,
        amount_minor_unrounded=amount,
    )
