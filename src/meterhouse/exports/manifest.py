"""What a batch says of itself: counts, control totals, checksums, and the batch that it supersedes (rule 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from meterhouse import __version__
from meterhouse.errors import WarehouseError
from meterhouse.money import to_major

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meterhouse.exports.files import Written


def refuse_unbalanced(month: str, tables: Mapping[str, pl.DataFrame]) -> None:
    """Raise WarehouseError where an invoice has not as many lines as it says, or they add up to something else.

    Then totals of invoices and of lines agree in each currency too.
    """
    of_lines = (
        tables["invoice_lines"]
        .group_by("invoice_id", "currency")
        .agg(lines_found=pl.len().cast(pl.Int64), total_found=pl.col("amount_minor").sum())
    )
    compared = tables["invoices"].join(of_lines, on=["invoice_id", "currency"], how="left").fill_null(0)
    unequal = (pl.col("lines") != pl.col("lines_found")) | (pl.col("total_minor") != pl.col("total_found"))
    broken = compared.filter(unequal).sort("sequence").to_dicts()
    if broken:
        first = broken[0]
        message = (
            f"Month {month} is not exported: {len(broken)} of its invoices do not have the lines that they say, first "
            f"{first['number']}: expected {first['lines']} lines of together {first['total_minor']} minor units of "
            f"{first['currency']}, found {first['lines_found']} of together {first['total_found']}. Tables `invoices` "
            "or `invoice_lines` were damaged: put the warehouse back from a copy; `meterhouse audit` says what differs."
        )
        raise WarehouseError(message)


def manifest(
    batch: Mapping[str, Any], tables: Mapping[str, pl.DataFrame], issued: pl.DataFrame, files: Iterable[Written]
) -> dict[str, Any]:
    """The manifest: `batch` identifies it, the rest is counted from what was written.

    `issued` has the numbers and sequences of all final invoices, of all months.
    """
    return {
        **batch,
        "engine": f"meterhouse {__version__}",
        "invoice_numbers_by_series": _numbers(tables["invoices"], issued),
        "totals_by_currency": _totals(tables["invoices"], tables["invoice_lines"]),
        "quantity_by_meter": _sums(tables["usage"], "meter", "quantity"),
        "credit_units_by_kind": _sums(tables["credit_ledger"], "kind", "units"),
        "files": [file._asdict() for file in files],
    }


def _numbers(invoices: pl.DataFrame, issued: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """First and last number, and whose the numbers between them are that the batch does not have.

    Each series counts for itself; a month in which the setting changed has two.
    """
    series = pl.col("number").str.replace(r"-\d+$", "")
    numbers = {}
    for (name,), mine in invoices.sort("sequence").group_by(series, maintain_order=True):
        first, last = mine.row(0, named=True), mine.row(-1, named=True)
        between = pl.col("sequence").is_between(first["sequence"], last["sequence"])
        given_out = issued.filter(series == name, between).height
        numbers[str(name)] = {
            "first": first["number"],
            "last": last["number"],
            "count": mine.height,
            "issued_in_other_months": given_out - mine.height,
            "missing": last["sequence"] - first["sequence"] + 1 - given_out,
        }
    return dict(sorted(numbers.items()))


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
    return {name: f"{total:f}" for name, total in sums.iter_rows()}
