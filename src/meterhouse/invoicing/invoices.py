"""Lines to invoices: drafts at cycle end, final with a number after the grace period (rule 7)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from meterhouse.invoicing.lines import invoice_id
from meterhouse.tables import Invoices, conform
from meterhouse.tables.columns import INSTANT

if TYPE_CHECKING:
    from datetime import datetime


class Numbering(NamedTuple):
    """How invoices are numbered and dated."""

    series: str
    """Prefix of the numbers."""
    last: int
    """The last number given out in this series; 0 before the first."""
    grace_days: int
    due_days: int
    timezone: str = "UTC"
    """Where the seller's books are kept: the month of an invoice is that of its issue there."""
    last_given_at: datetime | None = None
    """The clock of the run that gave the last number: an earlier clock gives none, since numbers follow time."""


def draft_invoices(
    periods: pl.LazyFrame,
    lines: pl.LazyFrame,
    products: pl.LazyFrame,
    customers: pl.LazyFrame,
    as_of: datetime,
    timezone: str,
) -> pl.LazyFrame:
    """One draft per boundary of a subscription that `as_of` has reached: `Invoices`.

    The start of a subscription is a boundary only where something is billed in advance; the end of a cycle always is,
    so that an invoice of nothing says so (rule 7.5). It names the customer, and keeps that name once it is final.
    """
    names = customers.select("customer_id", "external_id", customer_name="name")
    cycle = pl.col("invoice_cycle")
    columns = ["subscription_id", "customer_id", "product"]
    ended = periods.filter(pl.col("period_end") <= as_of).select(
        *columns, invoice_cycle=pl.col("cycle") + 1, issued_at="period_end"
    )
    started = periods.filter(pl.col("cycle") == 0).select(*columns, invoice_cycle="cycle", issued_at="period_start")
    totals = lines.group_by("subscription_id", "invoice_cycle").agg(
        lines=pl.len().cast(pl.Int64), total_minor=pl.col("amount_minor").sum()
    )
    drafts = (
        pl.concat([started, ended])
        .join(totals, on=["subscription_id", "invoice_cycle"], how="left")
        .filter((cycle > 0) | pl.col("lines").is_not_null())
        .join(products.select("product", "currency"), on="product")
        # Left: an invoice of a customer without a row fails where it is stored and does not vanish.
        .join(names, on="customer_id", how="left")
        .with_columns(pl.col("lines", "total_minor").fill_null(0))
        .with_columns(
            invoice_id=invoice_id(pl.col("subscription_id"), cycle),
            cycle=cycle,
            revision=pl.lit(0, dtype=pl.Int64),
            status=pl.lit("draft"),
            number=pl.lit(None, dtype=pl.String),
            sequence=pl.lit(None, dtype=pl.Int64),
            finalized_at=pl.lit(None, dtype=INSTANT),
            due_at=pl.lit(None, dtype=INSTANT),
            is_zero=pl.col("total_minor") == 0,
            month=pl.col("issued_at").dt.convert_time_zone(timezone).dt.strftime("%Y-%m"),
        )
    )
    return conform(drafts, Invoices)


def number(series: str) -> pl.Expr:
    """The number that a `sequence` has in a series: `INV-000001`."""
    return pl.format("{}-{}", pl.lit(series), pl.col("sequence").cast(pl.String).str.zfill(6))


def finalize(drafts: pl.LazyFrame, numbering: Numbering, as_of: datetime) -> pl.LazyFrame:
    """The drafts whose grace period is over, with gapless numbers in the order of issue (rule 7.1)."""
    place = pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    is_in_order = numbering.last_given_at is None or as_of >= numbering.last_given_at
    final = (
        drafts.filter(is_in_order, pl.col("issued_at") + timedelta(days=numbering.grace_days) <= as_of)
        .sort("issued_at", "invoice_id")
        .with_columns(status=pl.lit("finalized"), sequence=numbering.last + place, finalized_at=pl.lit(as_of, INSTANT))
        .with_columns(
            number=number(numbering.series),
            due_at=pl.col("finalized_at") + timedelta(days=numbering.due_days),
        )
    )
    return conform(final, Invoices)
