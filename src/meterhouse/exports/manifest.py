"""What a batch says of itself: counts, control totals, checksums, and the batch that it supersedes (rule 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from meterhouse import __version__
from meterhouse.money import to_major

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meterhouse.exports.files import Written


def manifest(batch: dict[str, Any], tables: dict[str, pl.DataFrame], files: Iterable[Written]) -> dict[str, Any]:
    """The manifest: `batch` identifies it, the rest is counted from what was written."""
    return {
        **batch,
        "engine": f"meterhouse {__version__}",
        "invoice_numbers": _numbers(tables["invoices"]),
        "totals_by_currency": _totals(tables["invoices"], tables["invoice_lines"]),
        "quantity_by_meter": _sums(tables["usage"], "meter", "quantity"),
        "credit_units_by_kind": _sums(tables["credit_ledger"], "kind", "units"),
        "files": [file._asdict() for file in files],
    }


def _numbers(invoices: pl.DataFrame) -> dict[str, Any]:
    """First and last number, and the numbers between them that other months have."""
    ordered = invoices.sort("sequence")
    first, last = ordered["sequence"].min(), ordered["sequence"].max()
    return {
        "first": ordered["number"].head(1).to_list()[0],
        "last": ordered["number"].tail(1).to_list()[0],
        "count": ordered.height,
        "issued_in_other_months": int(last) - int(first) + 1 - ordered.height,  # type: ignore[arg-type]
    }


def _totals(invoices: pl.DataFrame, lines: pl.DataFrame) -> dict[str, dict[str, Any]]:
    totals = {}
    for currency in sorted(invoices["currency"].unique()):
        mine = invoices.filter(pl.col("currency") == currency)
        of_lines = lines.filter(pl.col("currency") == currency)
        totals[currency] = {
            "invoices": mine.height,
            "zero_invoices": int(mine["is_zero"].sum()),
            "lines": of_lines.height,
            "total": to_major(int(mine["total_minor"].sum()), currency),
            "total_minor": int(mine["total_minor"].sum()),
            "lines_total_minor": int(of_lines["amount_minor"].sum()),
        }
    return totals


def _sums(table: pl.DataFrame, group: str, quantity: str) -> dict[str, str]:
    sums = table.group_by(group).agg(pl.col(quantity).sum()).sort(group)
    return {name: str(total) for name, total in sums.iter_rows()}
