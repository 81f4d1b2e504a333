"""Catalog, customers and subscriptions into the warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from meterhouse.catalog import read_people
from meterhouse.invoicing import billing_periods

if TYPE_CHECKING:
    from meterhouse.catalog import Project
    from meterhouse.warehouse import Warehouse


def define(project: Project, warehouse: Warehouse) -> dict[str, pl.DataFrame]:
    """Store the definitions as the project's files say them now; tables by name."""
    tables = read_definitions(project, warehouse)
    for name, frame in tables.items():
        warehouse.replace(name, frame)
    return tables


def read_definitions(project: Project, warehouse: Warehouse) -> dict[str, pl.DataFrame]:
    """The definitions as the project's files say them now; rows refused are one of the tables.

    A subscription's row that would move what was invoiced is refused as well, and bills nothing until it is mended.
    """
    people = read_people(project)
    moved = _moved(people["subscriptions"].lazy(), warehouse)
    return {**project.definitions, **(read_people(project, refused=moved) if moved else people)}


def _moved(subscriptions: pl.LazyFrame, warehouse: Warehouse) -> dict[str, str]:
    """Subscriptions whose rows would put a cycle elsewhere that is on a final invoice, each with what is wrong.

    Billed there, usage would be billed twice or never.
    """
    invoiced = _invoiced_periods(warehouse).collect()
    if invoiced.is_empty():
        return {}
    key, bounds = ["subscription_id", "cycle"], ["period_start", "period_end"]
    last = invoiced.select(pl.col("period_end").max()).item()
    known = subscriptions.join(invoiced.lazy(), on="subscription_id", how="semi")
    now = billing_periods(known, last).select(*key, *bounds)
    elsewhere = pl.any_horizontal(pl.col(bound) != pl.col(f"{bound}_now") for bound in bounds)
    moved = (
        invoiced.lazy()
        .join(known, on="subscription_id", how="semi")
        .join(now, on=key, how="left", suffix="_now")
        .filter(elsewhere | pl.col("period_end_now").is_null())
        .sort(key)
        .unique("subscription_id", keep="first", maintain_order=True)
    )
    return {row["subscription_id"]: _explain(row) for row in moved.collect().iter_rows(named=True)}


def _invoiced_periods(warehouse: Warehouse) -> pl.LazyFrame:
    """Cycles that ended with a final invoice, as that invoice has them; `period_start` is null where no line says it.

    `billing_periods` does not tell: it holds only what the last run's clock and subscriptions gave.
    """
    invoices = warehouse.scan("invoices").filter(pl.col("cycle") > 0)
    ended = warehouse.scan("invoice_lines").select("invoice_id", "period_start", issued_at="period_end").unique()
    return invoices.join(ended, on=["invoice_id", "issued_at"], how="left").select(
        "subscription_id", "period_start", cycle=pl.col("cycle") - 1, period_end="issued_at"
    )


def _explain(row: dict[str, object]) -> str:
    invoiced = f"{row['period_start'] or 'a period'} to {row['period_end']}"
    said = f"says {row['period_start_now']} to {row['period_end_now']}" if row["period_end_now"] else "ends before that"
    return (
        f"'{row['subscription_id']}' was invoiced for {invoiced}; this row {said}. A final invoice does not move: "
        "restore the row, or end the subscription after that period and start another"
    )
