"""`credits`: balances, and the entries that they are sums of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from meterhouse.cli.reading import customer_id_of, meter_named
from meterhouse.cli.render import Column, console, instant_cell, print_json, quantity, show_rows
from meterhouse.cli.session import AsJson, CustomerOption, Limit, MeterOption, rows_to_show, session_of

if TYPE_CHECKING:
    import polars as pl

    from meterhouse.warehouse import Warehouse

_KINDS = ("granted", "used", "rolled_over", "forfeited")
EntriesOption = Annotated[bool, typer.Option("--entries", help="The entries of the ledger instead of balances.")]


def credits(
    context: typer.Context,
    *,
    customer: CustomerOption = None,
    meter: MeterOption = None,
    entries: EntriesOption = False,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Show balances of credits, or their entries.

    Drafts are in both, and marked.
    """
    session = session_of(context)
    warehouse = session.warehouse(session.project())
    found = _entries(warehouse, customer, meter)
    rows = found.collect().to_dicts() if entries else _balances(found).to_dicts()
    shown = rows_to_show(limit, as_json=as_json)
    if as_json:
        print_json({"rows": len(rows), "entries" if entries else "balances": rows[:shown]})
    elif not rows:
        console().print("No credits. A product grants them with `benefits` in the catalog.", soft_wrap=True)
    elif entries:
        _show_entries(rows, shown)
    else:
        _show_balances(rows, shown)


def _entries(warehouse: Warehouse, customer: str | None, meter: str | None) -> pl.LazyFrame:
    import polars as pl

    final = warehouse.scan("credit_ledger").with_columns(status=pl.lit("finalized"))
    drafts = warehouse.scan("draft_credit_entries").with_columns(status=pl.lit("draft"))
    found = pl.concat([final, drafts])
    if customer is not None:
        found = found.filter(pl.col("customer_id") == customer_id_of(warehouse, customer))
    if meter is not None:
        found = found.filter(pl.col("meter") == meter_named(warehouse, meter))
    place = pl.col("kind").replace_strict({kind: n for n, kind in enumerate(_KINDS)}, default=len(_KINDS))
    return found.sort("customer_id", "subscription_id", "meter", "cycle", place, "rank", "entry_id")


def _balances(entries: pl.LazyFrame) -> pl.DataFrame:
    """One row per customer and meter; `balance` has the drafts in it, `balance_final` has not."""
    import polars as pl

    def of(kind: str) -> pl.Expr:
        return pl.col("units").filter(pl.col("kind") == kind).sum().alias(kind)

    units = pl.col("units")
    return (
        entries.group_by("customer_id", "meter")
        .agg(
            of("granted"),
            *(-of(kind) for kind in _KINDS[1:]),
            units.sum().alias("balance"),
            units.filter(pl.col("status") == "finalized").sum().alias("balance_final"),
            draft_entries=(pl.col("status") == "draft").sum(),
        )
        .sort("customer_id", "meter")
        .collect()
    )


def _show_balances(rows: list[dict[str, Any]], limit: int | None) -> None:
    columns = [
        Column("Customer"),
        Column("Meter"),
        Column("Granted", number=True),
        Column("Used", number=True),
        Column("Rolled over", number=True),
        Column("Forfeited", number=True),
        Column("Balance", number=True),
        Column("Of it final", number=True),
    ]
    kinds = (*_KINDS, "balance", "balance_final")
    cells = [[row["customer_id"], row["meter"], *(quantity(row[kind]) for kind in kinds)] for row in rows]
    show_rows(columns, cells, limit)
    console().print(
        "\nUnits carried over are granted again in the next cycle, so `granted` counts them again. Entries of cycles "
        "that are not final yet are drafts: they can still change."
    )


def _show_entries(rows: list[dict[str, Any]], limit: int | None) -> None:
    columns = [
        Column("Customer"),
        Column("Meter"),
        Column("When (UTC)", keep=True),
        Column("Entry"),
        Column("Grant"),
        Column("Units", number=True),
        Column("Balance", number=True),
        Column(""),
    ]
    show_rows(columns, [_entry_cells(row) for row in rows], limit)


def _entry_cells(row: dict[str, Any]) -> list[str]:
    return [
        row["customer_id"],
        row["meter"],
        instant_cell(row["occurred_at"]),
        row["kind"].replace("_", " "),
        "carried over" if row["origin"] == "rollover" else row["benefit_id"],
        quantity(row["units"]),
        quantity(row["balance_after"]),
        "draft" if row["status"] == "draft" else "",
    ]
