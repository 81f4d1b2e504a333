"""What a batch holds: the final invoices of a month with everything that explains them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.money import currencies
from meterhouse.tables import CreditLedger, InvoiceLines, Invoices, RatedLines, Usage

if TYPE_CHECKING:
    import dataframely as dy

    from meterhouse.warehouse import Warehouse

EXPORTED: Final[dict[str, type[dy.Schema]]] = {
    "invoices": Invoices,
    "invoice_lines": InvoiceLines,
    "rated_lines": RatedLines,
    "usage": Usage,
    "credit_ledger": CreditLedger,
}
"""Files of a batch and the declaration of their columns."""

ADDED: Final[dict[str, dict[str, str]]] = {
    "invoices": {"total": "`total_minor` in major units, with as many digits as the currency has."},
    "invoice_lines": {
        "number": "The invoice's number.",
        "customer_id": "Who pays.",
        "amount": "`amount_minor` in major units, with as many digits as the currency has.",
    },
    "usage": {"invoice_id": "The invoice that bills the cycle."},
}
"""Columns that a batch has beside the declared ones, so that its files can be read one at a time."""

IN_MAJOR_UNITS: Final = {"invoices": ("total_minor", "total"), "invoice_lines": ("amount_minor", "amount")}
"""Amounts that a batch shows in major units as well."""

_LEADING: Final = {
    "invoices": (
        *("invoice_id", "number", "customer_id", "customer_name", "external_id", "subscription_id", "product"),
        *("issued_at", "due_at", "currency", "total", "total_minor"),
    ),
    "invoice_lines": (
        *("invoice_id", "line_no", "number", "customer_id", "kind", "price_id", "description"),
        *("period_start", "period_end", "currency", "amount", "amount_minor"),
    ),
    "usage": ("invoice_id",),
}
"""Columns that come first, so that a person finds what an invoice is about without scrolling."""


def content(warehouse: Warehouse, month: str) -> dict[str, pl.DataFrame]:
    """The tables of a batch, each sorted by its key.

    Made only of what never changes once an invoice is final: a renamed customer makes no new batch of an old month.
    """
    invoices = warehouse.scan("invoices").filter(pl.col("month") == month).collect().lazy()
    mine = invoices.select("invoice_id")
    named = invoices.select("invoice_id", "number", "customer_id")
    billed_cycles = invoices.select("invoice_id", "subscription_id", cycle=pl.col("cycle") - 1)
    tables = {
        "invoices": _with_major(invoices, "invoices"),
        "invoice_lines": _with_major(warehouse.scan("invoice_lines").join(named, on="invoice_id"), "invoice_lines"),
        "rated_lines": warehouse.scan("rated_lines").join(mine, on="invoice_id", how="semi"),
        "usage": warehouse.scan("usage").join(billed_cycles, on=["subscription_id", "cycle"]),
        "credit_ledger": warehouse.scan("credit_ledger").join(mine, on="invoice_id", how="semi"),
    }
    return {
        name: _leading(rows, _LEADING.get(name, ())).sort(EXPORTED[name].primary_key()).collect()
        for name, rows in tables.items()
    }


def months(warehouse: Warehouse) -> list[str]:
    """Months of issue that have final invoices."""
    return sorted(warehouse.scan("invoices").select("month").unique().collect()["month"])


def _leading(rows: pl.LazyFrame, first: tuple[str, ...]) -> pl.LazyFrame:
    return rows.select(*first, pl.all().exclude(first))


def _with_major(rows: pl.LazyFrame, table: str) -> pl.LazyFrame:
    """Add the amount in major units as text: exact, and as many digits as the currency has (rule 6.1)."""
    amount, shown = IN_MAJOR_UNITS[table]
    digits = pl.col("currency").replace_strict(currencies(), return_dtype=pl.Int64)
    whole = pl.col(amount).abs().cast(pl.String).str.zfill(digits + 1)
    sign = pl.when(pl.col(amount) < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    units = whole.str.slice(0, whole.str.len_chars() - digits)
    fraction = pl.when(digits > 0).then(pl.concat_str(pl.lit("."), whole.str.slice(whole.str.len_chars() - digits)))
    return rows.with_columns(pl.concat_str(sign, units, fraction.fill_null("")).alias(shown))
