"""Fixed prices and charges to invoice lines; the one rounding happens here (rules 6.2 and 7.3).

The invoice of cycle n is issued where cycle n begins. It bills the fees of cycle n that are due in advance, and what
cycle n - 1, which ended there, used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.money import AMOUNT_UNROUNDED, round_minor
from meterhouse.tables import InvoiceLines, RatedLines, conform
from meterhouse.tables.columns import QUANTITY

if TYPE_CHECKING:
    from datetime import datetime

    from meterhouse.money import Rounding

_PERIOD: Final = ("period_start", "period_end")
_KEY: Final = ("subscription_id", "cycle")
_REVISION: Final = "0"
"""Of every invoice: a final one is never made again."""
_NO_UNITS: Final = pl.lit(0, dtype=QUANTITY)


def invoice_id(subscription_id: pl.Expr, cycle: pl.Expr) -> pl.Expr:
    """The id of an invoice: readable, unique, and the same in every run (rule 7.2)."""
    escaped = subscription_id.str.replace_all("%", "%25", literal=True).str.replace_all("/", "%2F", literal=True)
    return pl.concat_str(escaped, cycle.cast(pl.String), pl.lit(_REVISION), separator="/")


def bill_lines(
    periods: pl.LazyFrame,
    charges: pl.LazyFrame,
    fixed_prices: pl.LazyFrame,
    products: pl.LazyFrame,
    meters: pl.LazyFrame,
    as_of: datetime,
    rounding: Rounding,
) -> pl.LazyFrame:
    """What is to be billed by `as_of`: `InvoiceLines`, and besides them `subscription_id` and `invoice_cycle`."""
    fixed = _fixed(periods, fixed_prices, products, as_of)
    used = _used(periods, charges, meters, as_of)
    return pl.concat([fixed, used], how="diagonal").with_columns(
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


def _fixed(periods: pl.LazyFrame, prices: pl.LazyFrame, products: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    in_advance = pl.col("in_advance")
    several = pl.len().over("product") > 1
    named = prices.with_columns(several=several).join(products.select("product", "name"), on="product")
    amount = pl.col("amount_minor").cast(AMOUNT_UNROUNDED)
    return (
        periods.join(named, on="product")
        .filter(in_advance | (pl.col("period_end") <= as_of))
        .select(
            "subscription_id",
            "price_id",
            "currency",
            *_PERIOD,
            invoice_cycle=pl.when(in_advance).then("cycle").otherwise(pl.col("cycle") + 1),
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
    )


def _used(periods: pl.LazyFrame, charges: pl.LazyFrame, meters: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    closed = periods.filter(pl.col("period_end") <= as_of).select(*_KEY, *_PERIOD)
    return (
        charges.join(closed, on=list(_KEY))
        .join(meters.select("meter", description="name"), on="meter")
        .with_columns(invoice_cycle=pl.col("cycle") + 1, kind=pl.lit("usage"))
        .drop("cycle", "product")
    )
