"""The whole computation, stage after stage: from daily states to invoices.

    subscriptions ──> periods ──┐
    usage_daily ───────────────>├─> usage ──> billables ──> credits ──> charges ──> lines ──> invoices
    prices, tiers, benefits ────┘

Everything goes in as tables and comes out as tables; nothing here reads a file or the time. Cycles whose invoice is
final are left out: what was billed stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.credits import burn_down, carried_over, credit_demand, credited
from meterhouse.invoicing import (
    Numbering,
    as_invoice_lines,
    bill_lines,
    billing_periods,
    draft_invoices,
    estimates,
    fees_due,
    finalize,
    invoice_id,
    rated_lines,
)
from meterhouse.metering import measure_groups, measure_periods
from meterhouse.rating import charge, cover_credited, cover_included, rate
from meterhouse.tables import BilledFees, Usage, UsageByGroup, conform, empty
from meterhouse.tables.columns import QUANTITY

if TYPE_CHECKING:
    from datetime import datetime

    from meterhouse.money import Rounding

_NO_EVENTS: Final = pl.lit(0, pl.Int64)


@dataclass(frozen=True)
class Books:
    """What is billed, and how: the definitions as tables."""

    customers: pl.LazyFrame
    subscriptions: pl.LazyFrame
    meters: pl.LazyFrame
    products: pl.LazyFrame
    fixed_prices: pl.LazyFrame
    metered_prices: pl.LazyFrame
    tiers: pl.LazyFrame
    benefits: pl.LazyFrame


@dataclass(frozen=True)
class Billed:
    """What was billed already and never changes: tables as they are stored."""

    invoices: pl.LazyFrame
    invoice_lines: pl.LazyFrame
    usage: pl.LazyFrame
    credit_ledger: pl.LazyFrame
    usage_by_group: pl.LazyFrame = field(default_factory=lambda: empty(UsageByGroup))


@dataclass(frozen=True)
class Bill:
    """What a run finds. `finalized` and `drafts` are tables by name: invoices, lines, rated lines, credit entries."""

    periods: pl.DataFrame
    usage: pl.DataFrame
    usage_by_group: pl.DataFrame
    estimates: pl.DataFrame
    finalized: dict[str, pl.DataFrame]
    drafts: dict[str, pl.DataFrame]


def bill(
    books: Books, usage_daily: pl.LazyFrame, final: Billed, numbering: Numbering, as_of: datetime, rounding: Rounding
) -> Bill:
    """Bill every cycle that is not final yet, as the clock `as_of` sees it (rule 4.6 gives the order).

    Included units come before credits, so that a customer pays for nothing, in credits or money, that the price gives
    away; credits come before the price, since they are units; the cap comes last, on the amount.
    """
    periods = billing_periods(books.subscriptions, as_of).collect().lazy()
    to_measure = _to_measure(periods, books, final).collect().lazy()
    usage = measure_periods(usage_daily, to_measure, books.meters).collect().lazy()
    included = cover_included(usage, periods, books.metered_prices).collect().lazy()
    demand = credit_demand(pl.concat([usage, _unmeasured(to_measure, books.meters)]), included, periods, as_of)
    entries = burn_down(demand, books.benefits, carried_over(final.credit_ledger)).collect().lazy()
    billables = cover_credited(included, credited(entries)).collect().lazy()
    steps = rate(billables, books.metered_prices, books.tiers).collect().lazy()
    charges = charge(billables, steps, books.metered_prices).collect().lazy()
    fees = fees_due(periods, books.fixed_prices, books.products, _billed_fees(final), as_of)
    lines = bill_lines(fees, charges, periods, books.meters, as_of, rounding).collect().lazy()
    drafted = draft_invoices(periods, lines, books.products, books.customers, as_of, numbering.timezone)
    invoices = _not_final(drafted, final)
    tables = {
        "invoice_lines": as_invoice_lines(lines),
        "rated_lines": rated_lines(lines, steps),
        "credit_ledger": _with_invoice(entries),
    }
    finalized, drafts = _part(invoices, tables, numbering, as_of)
    return Bill(
        periods=periods.collect(),
        usage=pl.concat([_frozen(final.usage, final), usage]).collect(),
        usage_by_group=pl.concat(
            [_frozen(final.usage_by_group, final), measure_groups(usage_daily, to_measure, books.meters)]
        ).collect(),
        estimates=estimates(periods, charges, as_of, rounding).collect(),
        finalized=finalized,
        drafts=drafts,
    )


def _to_measure(periods: pl.LazyFrame, books: Books, final: Billed) -> pl.LazyFrame:
    """Cycles that are not final yet, with each meter that their product prices or grants credits of.

    A meter whose credits were carried over is among them, even where the product has it no more: they must not be lost.
    """
    named = pl.concat([books.metered_prices.select("product", "meter"), books.benefits.select("product", "meter")])
    carried = carried_over(final.credit_ledger).select("subscription_id", "meter")
    open_cycles = periods.join(_final_cycles(final), on=["subscription_id", "cycle"], how="anti")
    of_product = open_cycles.join(named.unique(), on="product")
    of_credits = open_cycles.join(carried, on="subscription_id")
    return pl.concat([of_product, of_credits.select(of_product.collect_schema().names())]).unique()


def _unmeasured(to_measure: pl.LazyFrame, meters: pl.LazyFrame) -> pl.LazyFrame:
    """Usage of meters that the catalog has no more: none, so that credits carried over pass on and are not lost."""
    gone = to_measure.join(meters, on="meter", how="anti")
    nothing = {"definition": pl.lit(None, pl.String), "quantity": pl.lit(None, QUANTITY)}
    return conform(gone.with_columns(**nothing, events=_NO_EVENTS, skipped=_NO_EVENTS), Usage)


def _final_cycles(final: Billed) -> pl.LazyFrame:
    """Cycles whose usage is on a final invoice: that of the boundary where the cycle ended."""
    return final.invoices.select("subscription_id", cycle=pl.col("cycle") - 1)


def _billed_fees(final: Billed) -> pl.LazyFrame:
    fees = final.invoice_lines.filter(pl.col("kind") == "fixed")
    invoices = final.invoices.select("invoice_id", "subscription_id", invoice_cycle="cycle")
    return conform(invoices.join(fees, on="invoice_id", how="left"), BilledFees)


def _not_final(invoices: pl.LazyFrame, final: Billed) -> pl.LazyFrame:
    """Invoices after the last final one of their subscription.

    One before it that is not final was never made: a fee in advance that a product gets later starts no old invoice.
    """
    last = final.invoices.group_by("subscription_id").agg(last_final=pl.col("cycle").max())
    open_or_new = (pl.col("cycle") > pl.col("last_final")) | pl.col("last_final").is_null()
    return invoices.join(last, on="subscription_id", how="left").filter(open_or_new).drop("last_final")


def _frozen(usage: pl.LazyFrame, final: Billed) -> pl.LazyFrame:
    return usage.join(_final_cycles(final), on=["subscription_id", "cycle"], how="semi")


def _with_invoice(entries: pl.LazyFrame) -> pl.LazyFrame:
    """Entries name the invoice that bills their cycle, and so become final with it."""
    return entries.with_columns(invoice_id=invoice_id(pl.col("subscription_id"), pl.col("cycle") + 1))


def _part(
    invoices: pl.LazyFrame, tables: dict[str, pl.LazyFrame], numbering: Numbering, as_of: datetime
) -> tuple[dict[str, pl.DataFrame], dict[str, pl.DataFrame]]:
    """What becomes final now, and what stays a draft; of rows of invoices that were final before, neither."""
    drafted = invoices.collect()
    final_now = finalize(drafted.lazy(), numbering, as_of).collect()
    still_draft = drafted.join(final_now, on="invoice_id", how="anti")
    finalized = {name: _of(table, final_now) for name, table in tables.items()}
    drafts = {name: _of(table, still_draft) for name, table in tables.items() if name != "credit_ledger"}
    open_entries = tables["credit_ledger"].join(final_now.lazy(), on="invoice_id", how="anti").collect()
    return {"invoices": final_now, **finalized}, {"invoices": still_draft, **drafts, "credit_ledger": open_entries}


def _of(table: pl.LazyFrame, invoices: pl.DataFrame) -> pl.DataFrame:
    return table.join(invoices.lazy(), on="invoice_id", how="semi").collect()
