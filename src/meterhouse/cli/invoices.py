"""`invoices list` and `invoices show`: what was billed, and how each amount came about."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

import typer

from meterhouse.cli.invoice import show_invoice
from meterhouse.cli.reading import all_invoices, customer_id_of
from meterhouse.cli.render import Column, amounts, console, counted, day_in, hints, money, print_json, show_rows
from meterhouse.cli.session import AsJson, CustomerOption, Limit, Session, read_month, rows_to_show, session_of
from meterhouse.errors import ProjectError

if TYPE_CHECKING:
    import polars as pl

    from meterhouse.warehouse import Warehouse

app = typer.Typer(name="invoices", help="Invoices and drafts.", no_args_is_help=True)

MonthOption = Annotated[
    str | None,
    typer.Option("--month", parser=read_month, metavar="YYYY-MM", help="Only invoices issued in this month."),
]
StatusOption = Annotated[
    Literal["draft", "finalized"] | None, typer.Option("--status", help="Only drafts, or only final invoices.")
]


LargestOption = Annotated[bool, typer.Option("--largest", help="The largest totals first, whatever their currency.")]


@app.command("list")
def list_invoices(
    context: typer.Context,
    *,
    customer: CustomerOption = None,
    month: MonthOption = None,
    status: StatusOption = None,
    largest: LargestOption = False,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """List invoices and drafts, the newest or the largest first."""
    session = session_of(context)
    project = session.project()
    warehouse = session.warehouse(project)
    found = _found(warehouse, customer, month, status)
    by_total = found.sort(_face_value(), "invoice_id", descending=[True, False])
    found = by_total if largest else found
    shown = rows_to_show(limit, as_json=as_json)
    if as_json:
        rows = [_row_json(row) for row in found.head(found.height if shown is None else shown).to_dicts()]
        print_json({"count": found.height, "totals": _totals(found), "invoices": rows})
        return
    if found.is_empty():
        console().print("No invoices. " + session.command("status") + " shows what there is.", soft_wrap=True)
        return
    columns = [
        Column("Invoice"),
        Column("Customer"),
        Column("Product"),
        Column("Issued", keep=True),
        Column("Due", keep=True),
        Column("Total", number=True),
        Column(""),
    ]
    books = ZoneInfo(project.settings.timezone)
    show_rows(columns, [_cells(row, books) for row in found.to_dicts()], shown)
    _show_totals(found)
    shown_next = by_total.to_dicts()[0]
    name = shlex.quote(shown_next["number"] or shown_next["invoice_id"])
    hints([(session.command(f"invoices show {name}"), "how each of its amounts came about")])


@app.command("show")
def show(
    context: typer.Context,
    invoice: Annotated[str, typer.Argument(metavar="INVOICE", help="A number such as INV-000001, or an invoice id.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Explain one invoice, line by line.

    Quantities, what was included and credited, each price step, the cap, the rounding, and the credits.
    """
    session = session_of(context)
    project = session.project()
    warehouse = session.warehouse(project)
    head = _head(warehouse, invoice, session)
    show_invoice(warehouse, head, ZoneInfo(project.settings.timezone), as_json=as_json)


def _found(warehouse: Warehouse, customer: str | None, month: str | None, status: str | None) -> pl.DataFrame:
    import polars as pl

    invoices = all_invoices(warehouse).rename({"customer_name": "customer"})
    if customer is not None:
        invoices = invoices.filter(pl.col("customer_id") == customer_id_of(warehouse, customer))
    if month is not None:
        invoices = invoices.filter(pl.col("month") == month)
    if status is not None:
        invoices = invoices.filter(pl.col("status") == status)
    newest_first = ["issued_at", "sequence", "invoice_id"]
    return invoices.sort(newest_first, descending=[True, True, False], nulls_last=[False, False, False]).collect()


def _face_value() -> pl.Expr:
    """What totals are ordered by: 700 JPY before 9.00 EUR before 8.00 USD."""
    import polars as pl

    from meterhouse.money import currencies

    most = max(currencies().values())
    units = {code: 10 ** (most - digits) for code, digits in currencies().items()}
    return pl.col("total_minor").cast(pl.Int128) * pl.col("currency").replace_strict(units, return_dtype=pl.Int128)


def _cells(row: dict[str, Any], books: ZoneInfo) -> list[str]:
    return [
        row["number"] or row["invoice_id"],
        row["customer"],
        row["product"],
        day_in(row["issued_at"], books),
        day_in(row["due_at"], books) if row["due_at"] else "",
        f"{money(row['total_minor'], row['currency'])} {row['currency']}",
        "draft" if row["status"] == "draft" else "",
    ]


def _row_json(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, **amounts(row["total_minor"], row["currency"], "total")}


def _totals(found: pl.DataFrame) -> list[dict[str, Any]]:
    import polars as pl

    totals = found.group_by("status", "currency").agg(invoices=pl.len(), total=pl.col("total_minor").sum())
    return [
        {"status": status, "invoices": invoices, **amounts(total, currency, "total")}
        for status, currency, invoices, total in totals.sort("status", "currency", descending=[True, False]).iter_rows()
    ]


def _show_totals(found: pl.DataFrame) -> None:
    screen = console()
    screen.print()
    for total in _totals(found):
        invoices = counted(total["invoices"], total["status"] + " invoice")
        screen.print(f"{invoices}: {money(total['total_minor'], total['currency'])} {total['currency']}")


def _head(warehouse: Warehouse, named: str, session: Session) -> dict[str, Any]:
    import polars as pl

    same = (pl.col("invoice_id") == named) | (pl.col("number") == named.upper())
    found = all_invoices(warehouse).filter(same).collect().to_dicts()
    if not found:
        message = f"There is no invoice '{named}', by number or id. List them: {session.command('invoices list')}"
        raise ProjectError(message)
    return found[0]
