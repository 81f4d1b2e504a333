"""Fees and charges to invoice lines; the one rounding happens here (rules 6.2 and 7.3).

The invoice of cycle n is issued where cycle n begins. It bills the fees of cycle n that are due in advance, and what
cycle n - 1, which ended there, used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.money import round_minor
from meterhouse.tables import InvoiceLines, RatedLines, conform
from meterhouse.tables.identifiers import joined_id

if TYPE_CHECKING:
    from datetime import datetime

    from meterhouse.money import Rounding

_PERIOD: Final = ("period_start", "period_end")
_KEY: Final = ("subscription_id", "cycle")
_REVISION: Final = "0"
"""Of every invoice: a final one is never made again."""


def invoice_id(subscription_id: pl.Expr, cycle: pl.Expr) -> pl.Expr:
    """The id of an invoice: its subscription, the cycle that begins with it, the revision."""
    return joined_id(subscription_id, cycle, pl.lit(_REVISION))


def bill_lines(
    fees: pl.LazyFrame,
    charges: pl.LazyFrame,
    periods: pl.LazyFrame,
    meters: pl.LazyFrame,
    as_of: datetime,
    rounding: Rounding,
) -> pl.LazyFrame:
    """Fees that are due, and what cycles that ended by `as_of` used: `InvoiceLines`.

    Besides them stand `subscription_id` and `invoice_cycle`.
    """
    used = _used(periods, charges, meters, as_of)
    return pl.concat([fees, used], how="diagonal").with_columns(
        invoice_id=invoice_id(pl.col("subscription_id"), pl.col("invoice_cycle")),
        amount_minor=round_minor(pl.col("amount_minor_unrounded"), rounding),
        line_no=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(
            "subscription_id", "invoice_cycle", order_by=["kind", "period_start", "price_id"]
        ),
    )


def as_invoice_lines(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Lines to be billed as they are stored: `InvoiceLines`."""
    return conform(lines, InvoiceLines)


def rated_lines(lines: pl.LazyFrame, steps: pl.LazyFrame) -> pl.LazyFrame:
    """`RatedSteps` under the invoice line that each belongs to: `RatedLines`."""
    metered = lines.filter(pl.col("kind") == "usage").select(
        "subscription_id", "price_id", "invoice_id", "line_no", cycle=pl.col("invoice_cycle") - 1
    )
    return conform(metered.join(steps, on=["subscription_id", "cycle", "price_id"]), RatedLines)


def _used(periods: pl.LazyFrame, charges: pl.LazyFrame, meters: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    closed = periods.filter(pl.col("period_end") <= as_of).select(*_KEY, *_PERIOD)
    return (
        charges.join(closed, on=list(_KEY))
        .join(meters.select("meter", description="name"), on="meter")
        .with_columns(invoice_cycle=pl.col("cycle") + 1, kind=pl.lit("usage"))
        .drop("cycle", "product")
    )
