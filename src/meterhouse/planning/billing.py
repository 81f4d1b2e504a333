"""Cycles into invoices, stored so that a run that dies at any instant is mended by the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.bill import Bill, Billed, Books, bill
from meterhouse.errors import ProjectError
from meterhouse.invoicing import Numbering
from meterhouse.planning.ranges import told_where
from meterhouse.warehouse import commit_together

if TYPE_CHECKING:
    from datetime import datetime

    from meterhouse.catalog import Settings
    from meterhouse.warehouse import Warehouse

_BOOKS: Final = ("subscriptions", "meters", "products", "fixed_prices", "metered_prices", "tiers", "benefits")
_DRAFT_TABLES: Final = {
    "invoices": "draft_invoices",
    "invoice_lines": "draft_invoice_lines",
    "rated_lines": "draft_rated_lines",
    "credit_ledger": "draft_credit_entries",
}


def bill_cycles(settings: Settings, warehouse: Warehouse, as_of: datetime) -> Bill:
    """Bill what `as_of` finds closed, store drafts, estimates and what became final.

    Usage is stored before the invoices that freeze it; the invoices that became final go in as one batch, and what is
    still a draft comes last. Cut off in between, the next run computes the rest again from the same inputs.
    """
    invoices = warehouse.scan("invoices")
    billed = Billed(invoices, warehouse.scan("usage"), warehouse.scan("credit_ledger"))
    books = Books(**{name: warehouse.scan(name) for name in _BOOKS})
    usage_daily = warehouse.scan("usage_daily").filter(pl.col("date") < as_of.date())
    last = invoices.select(pl.col("sequence").max()).collect().item() or 0
    numbering = Numbering(settings.invoice_series, last, settings.grace_days, settings.due_days, settings.timezone)
    with told_where("billing"):
        found = bill(books, usage_daily, billed, numbering, as_of, settings.rounding)
    _refuse_moved_periods(found.periods, warehouse, as_of)
    warehouse.replace("billing_periods", found.periods)
    warehouse.replace("usage", found.usage)
    finalized = found.finalized["invoices"].height
    if finalized:
        commit_together(warehouse, f"invoices {last + 1} to {last + finalized}", last + finalized, found.finalized)
    for name, table in _DRAFT_TABLES.items():
        warehouse.replace(table, found.drafts[name])
    warehouse.replace("estimates", found.estimates)
    return found


def _refuse_moved_periods(periods: pl.DataFrame, warehouse: Warehouse, as_of: datetime) -> None:
    """A cycle that is on a final invoice must stay where it was, or usage would be billed twice or never.

    A subscription whose row is gone altogether is let go: its invoices stay.
    """
    key, bounds = ["subscription_id", "cycle"], ["period_start", "period_end"]
    now = periods.lazy().select(*key, *bounds)
    has_row = warehouse.scan("subscriptions").select("subscription_id")
    compared = _invoiced_periods(warehouse).join(now, on=key, how="left", suffix="_now")
    elsewhere = pl.any_horizontal(pl.col(bound) != pl.col(f"{bound}_now") for bound in bounds)
    nowhere = pl.col("period_end_now").is_null() & (pl.col("period_end") <= as_of)
    moved = compared.join(has_row, on="subscription_id", how="semi").filter(elsewhere | nowhere)
    first = moved.sort(key).head(1).collect()
    if first.is_empty():
        return
    row = first.row(0, named=True)
    said = f"says {row['period_start_now']} to {row['period_end_now']}" if row["period_end_now"] else "ends before that"
    message = (
        f"Subscription '{row['subscription_id']}' was invoiced for {row['period_start'] or 'a period'} to "
        f"{row['period_end']}; its row now {said}. A final invoice does not move: restore the row, or end this "
        "subscription after that period and start another."
    )
    raise ProjectError(message)


def _invoiced_periods(warehouse: Warehouse) -> pl.LazyFrame:
    """Cycles that ended with a final invoice, as that invoice has them; `period_start` is null where no line says it.

    `billing_periods` does not tell: it holds only what the last run's clock and subscriptions gave.
    """
    invoices = warehouse.scan("invoices").filter(pl.col("cycle") > 0)
    ended = warehouse.scan("invoice_lines").select("invoice_id", "period_start", issued_at="period_end").unique()
    return invoices.join(ended, on=["invoice_id", "issued_at"], how="left").select(
        "subscription_id", "period_start", cycle=pl.col("cycle") - 1, period_end="issued_at"
    )
