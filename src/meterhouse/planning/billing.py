"""Cycles into invoices, stored so that a run that dies at any instant is mended by the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.bill import Bill, Billed, Books, bill
from meterhouse.invoicing import Numbering, number
from meterhouse.planning.ranges import told_where
from meterhouse.warehouse import commit_together

if TYPE_CHECKING:
    from datetime import datetime

    from meterhouse.catalog import Settings
    from meterhouse.warehouse import Warehouse

_BOOKS: Final = (
    *("customers", "subscriptions"),
    *("meters", "products", "fixed_prices", "metered_prices", "tiers", "benefits"),
)
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
    billed = Billed(*(warehouse.scan(name) for name in ("invoices", "invoice_lines", "usage", "credit_ledger")))
    books = Books(**{name: warehouse.scan(name) for name in _BOOKS})
    usage_daily = warehouse.scan("usage_daily").filter(pl.col("date") < as_of.date())
    of_series = pl.col("sequence").filter(pl.col("number") == number(settings.invoice_series))
    given = invoices.select(pl.len(), of_series.max().fill_null(0), pl.col("finalized_at").max())
    stored, last, given_at = given.collect().row(0)
    numbering = Numbering(
        settings.invoice_series, last, settings.grace_days, settings.due_days, settings.timezone, given_at
    )
    with told_where("billing"):
        found = bill(books, usage_daily, billed, numbering, as_of, settings.rounding)
    warehouse.replace("billing_periods", found.periods)
    warehouse.replace("usage", found.usage)
    finalized = found.finalized["invoices"].height
    if finalized:
        named = f"{settings.invoice_series} {last + 1} to {last + finalized}"
        commit_together(warehouse, named, stored + finalized, found.finalized)
    for name, table in _DRAFT_TABLES.items():
        warehouse.replace(table, found.drafts[name])
    warehouse.replace("estimates", found.estimates)
    return found
