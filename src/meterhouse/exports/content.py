"""What a batch holds: the final invoices of a month with everything that explains them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.money import currencies
from meterhouse.tables import CreditLedger, Customers, InvoiceLines, Invoices, Usage

if TYPE_CHECKING:
    import dataframely as dy

    from meterhouse.warehouse import Warehouse

EXPORTED: Final[dict[str, type[dy.Schema]]] = {
    "invoices": Invoices,
    "invoice_lines": InvoiceLines,
    "usage": Usage,
    "credit_ledger": CreditLedger,
    "customers": Customers,
}
"""Files of a batch and the declaration of their columns."""

IN_MAJOR_UNITS: Final = {"invoices": ("total_minor", "total"), "invoice_lines": ("amount_minor", "amount")}
"""Amounts that a batch shows in major units as well, as text with the currency's digits."""


def content(warehouse: Warehouse, month: str) -> dict[str, pl.DataFrame]:
    """The tables of a batch, each sorted by its key."""
    invoices = warehouse.scan("invoices").filter(pl.col("month") == month).collect().lazy()
    mine = invoices.select("invoice_id")
    lines = warehouse.scan("invoice_lines").join(mine, on="invoice_id", how="semi")
    billed_cycles = invoices.select("subscription_id", cycle=pl.col("cycle") - 1)
    tables = {
        "invoices": _with_major(invoices, "invoices"),
        "invoice_lines": _with_major(lines, "invoice_lines"),
        "usage": warehouse.scan("usage").join(billed_cycles, on=["subscription_id", "cycle"], how="semi"),
        "credit_ledger": warehouse.scan("credit_ledger").join(mine, on="invoice_id", how="semi"),
        "customers": warehouse.scan("customers").join(invoices, on="customer_id", how="semi"),
    }
    return {name: rows.sort(EXPORTED[name].primary_key()).collect() for name, rows in tables.items()}


def months(warehouse: Warehouse) -> list[str]:
    """Months of issue that have final invoices."""
    return sorted(warehouse.scan("invoices").select("month").unique().collect()["month"])


def _with_major(rows: pl.LazyFrame, table: str) -> pl.LazyFrame:
    """Add the amount in major units as text: exact, and as many digits as the currency has (rule 6.1)."""
    amount, shown = IN_MAJOR_UNITS[table]
    digits = pl.col("currency").replace_strict(currencies(), return_dtype=pl.Int64)
    whole = pl.col(amount).abs().cast(pl.String).str.zfill(digits + 1)
    sign = pl.when(pl.col(amount) < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    units = whole.str.slice(0, whole.str.len_chars() - digits)
    fraction = pl.when(digits > 0).then(pl.concat_str(pl.lit("."), whole.str.slice(whole.str.len_chars() - digits)))
    return rows.with_columns(pl.concat_str(sign, units, fraction.fill_null("")).alias(shown))
