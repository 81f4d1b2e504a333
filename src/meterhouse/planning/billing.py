"""Cycles into invoices, stored so that a run that dies at any instant is mended by the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.bill import Bill, Billed, Books, bill
from meterhouse.invoicing import Numbering, number
from meterhouse.planning.ranges import told_where
from meterhouse.planning.steps import inputs_of, is_done, note_done
from meterhouse.tables import Invoices, empty
from meterhouse.warehouse import commit_together

if TYPE_CHECKING:
    from datetime import datetime

    from meterhouse.catalog import Settings
    from meterhouse.warehouse import Warehouse

_STEP: Final = "billing"
_BOOKS: Final = (
    *("customers", "subscriptions"),
    *("meters", "products", "fixed_prices", "metered_prices", "tiers", "benefits"),
)
_BILLED: Final = ("invoices", "invoice_lines", "usage", "credit_ledger", "usage_by_group")
_DRAFT_TABLES: Final = {
    "invoices": "draft_invoices",
    "invoice_lines": "draft_invoice_lines",
    "rated_lines": "draft_rated_lines",
    "credit_ledger": "draft_credit_entries",
}


@dataclass(frozen=True)
class Summary:
    """What some invoices come to."""

    invoices: int
    totals: dict[str, int]
    """Minor units by currency."""
    largest: str | None = None
    """The largest of them: a final one by its number, a draft by its id."""


@dataclass(frozen=True)
class BillingReport:
    """What billing made final, and what stands beside it now."""

    finalized: Summary
    drafts: Summary
    estimates: int


def bill_cycles(settings: Settings, warehouse: Warehouse, as_of: datetime) -> BillingReport:
    """Bill what `as_of` finds closed, store drafts, estimates and what became final.

    Where nothing changed that it is made from, it is not made again.
    """
    finalized = empty(Invoices)
    if not is_done(warehouse, _STEP, _inputs(settings, warehouse, as_of)):
        finalized = _bill_and_store(settings, warehouse, as_of).finalized["invoices"].lazy()
        note_done(warehouse, _STEP, _inputs(settings, warehouse, as_of))
    estimates = warehouse.scan("estimates").select(pl.len()).collect().item()
    return BillingReport(
        _summary(finalized, "number"), _summary(warehouse.scan("draft_invoices"), "invoice_id"), int(estimates)
    )


def _inputs(settings: Settings, warehouse: Warehouse, as_of: datetime) -> str:
    """What bills are made from, and what they were made into: someone may have changed the tables."""
    tables = (
        *_BOOKS,
        "usage_daily",
        "billing_periods",
        "usage",
        "usage_by_group",
        *_DRAFT_TABLES,
        *_DRAFT_TABLES.values(),
        "estimates",
    )
    return inputs_of(warehouse, tables, settings.model_dump_json(), as_of.isoformat())


def _summary(invoices: pl.LazyFrame, name: str) -> Summary:
    totals = invoices.group_by("currency").agg(pl.len(), pl.col("total_minor").sum()).sort("currency").collect()
    largest = invoices.sort("total_minor", "invoice_id", descending=[True, False]).select(name).head(1).collect()
    return Summary(
        int(totals["len"].sum()),
        dict(totals.select("currency", "total_minor").iter_rows()),
        None if largest.is_empty() else str(largest.item()),
    )


def _bill_and_store(settings: Settings, warehouse: Warehouse, as_of: datetime) -> Bill:
    """Usage is stored before the invoices that freeze it, what is final as one batch, what is still a draft last.

    Cut off in between, the next run computes the rest again from the same inputs.
    """
    invoices = warehouse.scan("invoices")
    billed = Billed(*(warehouse.scan(name) for name in _BILLED))
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
    warehouse.replace("usage_by_group", found.usage_by_group)
    finalized = found.finalized["invoices"].height
    if finalized:
        named = f"{settings.invoice_series} {last + 1} to {last + finalized}"
        commit_together(warehouse, named, stored + finalized, found.finalized)
        for table in found.finalized:
            warehouse.compact(table)
    for name, table in _DRAFT_TABLES.items():
        warehouse.replace(table, found.drafts[name])
    warehouse.replace("estimates", found.estimates)
    return found
