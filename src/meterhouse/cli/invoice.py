"""One invoice, explained: every line from its quantity to its amount, and the credits that lowered it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rich.text import Text

from meterhouse.cli.render import (
    Column,
    Grid,
    amounts,
    console,
    counted,
    day_in,
    exact_money,
    instant_text,
    money,
    period,
    price_per,
    print_json,
    quantity,
    safe,
)

if TYPE_CHECKING:
    from meterhouse.warehouse import Warehouse

Row = dict[str, Any]
_KINDS = ("granted", "used", "rolled_over", "forfeited")
_CUSTOMER = {"customer_id": "customer_id", "external_id": "external_id", "name": "customer_name"}


def show_invoice(warehouse: Warehouse, head: Row, books: ZoneInfo, *, as_json: bool) -> None:
    """Show one invoice with everything that explains it.

    It is dated where the seller's books are kept; its service periods are where the subscription counts them.
    """
    lines = _lines(warehouse, head)
    entries = _entries(warehouse, head)
    if as_json:
        print_json(_as_json(warehouse, head, lines, entries))
        return
    zone = ZoneInfo(_timezone(warehouse, head))
    _show_head(head, zone, books)
    _show_lines(head, lines, zone)
    _show_entries(entries)


def _of(warehouse: Warehouse, head: Row, final: str, draft: str, order: list[str]) -> list[Row]:
    import polars as pl

    rows = warehouse.scan(draft if head["status"] == "draft" else final)
    return rows.filter(pl.col("invoice_id") == head["invoice_id"]).sort(order).collect().to_dicts()


def _lines(warehouse: Warehouse, head: Row) -> list[Row]:
    """The invoice's lines, each with its steps and the unit of its meter."""
    meters = warehouse.scan("meters").select("meter", "unit", "unit_multiplier").collect()
    units = {meter: (unit, multiplier) for meter, unit, multiplier in meters.iter_rows()}
    lines = _of(warehouse, head, "invoice_lines", "draft_invoice_lines", ["line_no"])
    steps = _of(warehouse, head, "rated_lines", "draft_rated_lines", ["line_no", "step"])
    return [
        {
            **line,
            **dict(zip(("unit", "unit_multiplier"), units.get(line["meter"], ("", Decimal(1))), strict=True)),
            "steps": [step for step in steps if step["line_no"] == line["line_no"]],
        }
        for line in lines
    ]


def _entries(warehouse: Warehouse, head: Row) -> list[Row]:
    order = {kind: place for place, kind in enumerate(_KINDS)}
    entries = _of(warehouse, head, "credit_ledger", "draft_credit_entries", ["meter", "rank"])
    return sorted(entries, key=lambda entry: (entry["meter"], order.get(entry["kind"], len(order)), entry["rank"]))


def _timezone(warehouse: Warehouse, head: Row) -> str:
    import polars as pl

    same = pl.col("subscription_id") == head["subscription_id"]
    found = warehouse.scan("subscriptions").filter(same).select("timezone").collect()["timezone"]
    return str(found[0]) if len(found) else "UTC"


def _as_json(warehouse: Warehouse, head: Row, lines: list[Row], entries: list[Row]) -> Row:
    return {
        "invoice": {**head, **amounts(head["total_minor"], head["currency"], "total")},
        "customer": {name: head[column] for name, column in _CUSTOMER.items()},
        "timezone": _timezone(warehouse, head),
        "lines": [{**line, **amounts(line["amount_minor"], line["currency"])} for line in lines],
        "credits": entries,
    }


def _show_head(head: Row, zone: ZoneInfo, books: ZoneInfo) -> None:
    screen = console()
    name = f"Invoice {head['number']}" if head["number"] else f"Draft {head['invoice_id']}"
    screen.print(f"{name}   {money(head['total_minor'], head['currency'])} {head['currency']}", style="bold")
    external = "" if head["external_id"] == head["customer_id"] else f", {head['external_id']}"
    screen.print(f"Customer      {safe(head['customer_name'])} ({safe(head['customer_id'] + external)})")
    screen.print(f"Subscription  {safe(head['subscription_id'])}, {safe(head['product'])}, periods in {zone.key}")
    if head["due_at"] is None:
        screen.print(f"Issued        {day_in(head['issued_at'], books)}, a draft: it still follows late events\n")
    else:
        due = day_in(head["due_at"], books)
        screen.print(
            f"Issued        {day_in(head['issued_at'], books)}, final since {instant_text(head['finalized_at'])}"
        )
        screen.print(f"Due           {due}\n")


def _show_lines(head: Row, lines: list[Row], zone: ZoneInfo) -> None:
    currency = head["currency"]
    columns = [
        Column("", number=True),
        Column("What"),
        Column("Quantity", number=True),
        Column("Price"),
        Column(f"Amount {currency}", number=True),
    ]
    rows: list[list[str | Text]] = []
    for line in lines:
        rows.append(_title(line, zone, currency))
        rows.extend(_explained(line, currency))
    rows.append(["", Text("Total", style="bold"), "", "", Text(money(head["total_minor"], currency), style="bold")])
    Grid(columns, rows).print()


def _title(line: Row, zone: ZoneInfo, currency: str) -> list[str | Text]:
    when = period(line["period_start"], line["period_end"], zone)
    what = Text.assemble(safe(line["description"]), "\n", (when, "dim"))
    amount = Text(money(line["amount_minor"], currency), style="bold")
    if line["kind"] == "fixed":
        return [str(line["line_no"]), what, "", "", amount]
    measured = "nothing" if line["quantity"] is None else quantity(line["quantity"])
    return [str(line["line_no"]), what, Text(measured), Text(safe(line["unit"]), style="dim"), amount]


def _explained(line: Row, currency: str) -> list[list[str | Text]]:
    """From the quantity to the amount, in the order in which it is computed; only what changes something."""
    rows = [
        _dim(name, f"-{quantity(line[column])}")
        for name, column in (("included", "included"), ("from credits", "credited"))
        if line[column]
    ]
    if rows and line["billed"]:
        rows.append(_dim("billed", quantity(line["billed"])))
    rows.extend(_step(step, line, currency) for step in line["steps"])
    if line["unpriced"]:
        rows.append(_dim("above the last tier, not billed", quantity(line["unpriced"])))
    uncapped, exact = line["uncapped_minor_unrounded"], line["amount_minor_unrounded"]
    if uncapped != exact:
        rows.append(_dim(f"capped: {exact_money(uncapped, currency)} to", "", "", exact_money(exact, currency)))
    if exact != line["amount_minor"] and not (len(line["steps"]) == 1 and uncapped == exact):
        rows.append(_dim("before rounding", "", "", exact_money(exact, currency)))
    return rows


def _step(step: Row, line: Row, currency: str) -> list[str | Text]:
    price = price_per(step["unit_amount_minor"], currency, line["unit_multiplier"])
    if step["flat_amount_minor"]:
        price = f"{price} + {exact_money(step['flat_amount_minor'], currency)} flat"
    return _dim(
        _tier(step, line),
        quantity(step["quantity"]),
        f"x {price}",
        exact_money(step["amount_minor_unrounded"], currency),
    )


def _tier(step: Row, line: Row) -> str:
    """Which units a step prices. A volume price takes all of them, at the tier that their total falls in."""
    over, up_to = step["over"], step["up_to"]
    if over and step["quantity"] == line["billed"]:
        return f"all, being above {quantity(over)}"
    if up_to is not None:
        return f"then up to {quantity(up_to)}" if over else f"up to {quantity(up_to)}"
    return f"above {quantity(over)}" if over else "priced"


def _dim(name: str, number: str = "", price: str = "", amount: str = "") -> list[str | Text]:
    return ["", *(Text(cell, style="dim") for cell in (f"  {name}", number, price, amount))]


def _show_entries(entries: list[Row]) -> None:
    if not entries:
        return
    screen = console()
    screen.print(f"\nCredits of the cycle ({counted(len(entries), 'entry', 'entries')})", style="bold")
    columns = [
        Column("Meter"),
        Column("Entry"),
        Column("Grant"),
        Column("Units", number=True),
        Column("Balance", number=True),
    ]
    rows = [
        [
            entry["meter"],
            entry["kind"].replace("_", " "),
            "carried over" if entry["origin"] == "rollover" else entry["benefit_id"],
            quantity(entry["units"]),
            quantity(entry["balance_after"]),
        ]
        for entry in entries
    ]
    Grid(columns, rows).print()
