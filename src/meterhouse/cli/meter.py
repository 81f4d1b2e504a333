"""A meter's preview: what it would measure, on a screen and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from meterhouse.catalog.wording import meter_words
from meterhouse.cli.render import Column, console, counted, instant_text, quantity, safe, show_rows

if TYPE_CHECKING:
    import polars as pl

    from meterhouse.catalog import Meter
    from meterhouse.planning import Asked, Preview

_LABEL: Final = 14
_BAR: Final = 24
_MOST_DAYS: Final = 31
_MOST_CUSTOMERS: Final = 10
EXAMPLES: Final = 5

_REASONS: Final = {
    "missing": ("has no '{}', or null", "have no '{}', or null"),
    "text": ("has a text as '{}'", "have a text as '{}'"),
    "flag": ("has true or false as '{}'", "have true or false as '{}'"),
    "number": ("has a number as '{}'", "have a number as '{}'"),
    "array": ("has an array as '{}'", "have an array as '{}'"),
    "object": ("has an object as '{}'", "have an object as '{}'"),
}


def show_preview(name: str, meter: Meter, shown: Preview, asked: Asked, limit: int | None) -> None:
    """Everything that it found; of long tables the beginning."""
    screen = console()
    screen.print(f"{safe(name)}: {safe(meter_words(meter))}", style="bold", soft_wrap=True)
    if not shown.events:
        screen.print("No events in these days. Land some, or name other days.", style="yellow")
        return
    _line("Matches", f"{shown.matched:,} of {counted(shown.events, 'event')}{_days(asked)}")
    for finding in shown.odd:
        if not finding.is_notice:
            _line("Mind", finding.says, "bold red")
    _show_skipped(meter, shown)
    _show_total(shown)
    if shown.matched:
        _show_days(shown.by_day, shown.unit, _or(limit, _MOST_DAYS))
        _show_customers(shown.by_customer, _or(limit, _MOST_CUSTOMERS))
        if meter.group_by:
            _show_groups(shown.by_group, _or(limit, _MOST_CUSTOMERS))
        _show_examples(shown.examples)
    if shown.change is not None:
        _show_change(shown, limit)


def _or(limit: int | None, usual: int) -> int | None:
    return usual if limit is None else limit or None


def _line(label: str, text: str, style: str | None = None) -> None:
    console().print(f"{label:<{_LABEL}}{safe(text)}", style=style, soft_wrap=True)


def _days(asked: Asked) -> str:
    match asked.first, asked.through:
        case None, None:
            return ""
        case first, None:
            return f" from {first} on"
        case None, through:
            return f" through {through}"
        case first, through:
            return f" from {first} through {through}"


def _show_skipped(meter: Meter, shown: Preview) -> None:
    for place, (reason, events, event_id, metadata) in enumerate(shown.skipped.iter_rows()):
        words = _REASONS[reason][events != 1].format(meter.aggregation.property)
        style = "bold red" if shown.skipped["events"].sum() == shown.matched else "yellow"
        _line("" if place else "Skipped", f"{counted(events, 'event')} {words}, e.g. {event_id}:", style)
        _line("", _shortened(metadata, console().width - _LABEL))


def _shortened(metadata: str, width: int) -> str:
    return metadata if len(metadata) <= width else f"{metadata[: width - 3]}..."


def _show_total(shown: Preview) -> None:
    for row in shown.total.iter_rows(named=True):
        label, style = ("Measures", None) if row["attributed"] else ("Unattributed", "yellow")
        _line(label, f"{quantity(row['quantity'])} {shown.unit} from {counted(row['events'], 'event')}", style)


def _show_days(by_day: pl.DataFrame, unit: str, most: int | None) -> None:
    console().print()
    largest = max((abs(value) for value in by_day["quantity"] if value is not None), default=Decimal(0))
    columns = [
        Column("Day", keep=True),
        Column(f"Quantity ({unit})", number=True),
        Column("Events", number=True),
        Column("Skipped", number=True),
        Column("", keep=True),
    ]
    rows = [
        [str(day), quantity(measured), quantity(events), quantity(skipped) if skipped else "", _bar(measured, largest)]
        for day, measured, events, skipped in by_day.select("date", "quantity", "events", "skipped").iter_rows()
    ]
    show_rows(columns, rows, most)


def _bar(value: Decimal | None, largest: Decimal) -> str:
    """A bar of whole blocks; a value below zero has none."""
    return "█" * round(_BAR * value / largest) if value and value > 0 else ""


def _show_customers(by_customer: pl.DataFrame, most: int | None) -> None:
    console().print()
    columns = [
        Column("Customer"),
        Column("External id"),
        Column("Quantity", number=True),
        Column("Events", number=True),
        Column("Skipped", number=True),
    ]
    rows = [
        [
            _customer(row),
            row["external_id"] or "",
            quantity(row["quantity"]),
            quantity(row["events"]),
            quantity(row["skipped"]) if row["skipped"] else "",
        ]
        for row in by_customer.iter_rows(named=True)
    ]
    show_rows(columns, rows, most)


def _show_groups(by_group: pl.DataFrame, most: int | None) -> None:
    console().print()
    columns = [Column("Group"), Column("Quantity", number=True), Column("Events", number=True)]
    rows = [
        [
            _group(json.loads(group)),
            quantity(measured),
            quantity(events),
        ]
        for group, measured, events in by_group.select("group_json", "quantity", "events").iter_rows()
    ]
    show_rows(columns, rows, most)


def _group(values: dict[str, object]) -> str:
    return ", ".join(f"{name} {'(none)' if value is None else value}" for name, value in values.items())


def _customer(row: dict[str, Any]) -> str:
    name = row["customer_id"] or "(none sent)"
    return name if row["attributed"] else f"{name} (unattributed)"


def _show_examples(examples: pl.DataFrame) -> None:
    if examples.is_empty():
        return
    console().print()
    columns = [Column("First events"), Column("When", keep=True), Column("Customer"), Column("Value", number=True)]
    rows = [
        [row["event_id"], instant_text(row["timestamp"]).removesuffix(" UTC"), _customer(row), _value(row["value"])]
        for row in examples.iter_rows(named=True)
    ]
    show_rows(columns, rows, None)


def _value(value: Decimal | str | int | None) -> str:
    if value is None:
        return "skipped"
    return value if isinstance(value, str) else quantity(value)


def _show_change(shown: Preview, limit: int | None) -> None:
    change = shown.change
    if change is None:
        return
    screen = console()
    screen.print("\nThe last run measured another definition of this name:", style="bold")
    if change.by_customer.is_empty() and change.by_day.is_empty():
        screen.print("no quantity changes on the days that it metered.")
        return
    for row in change.total.iter_rows(named=True):
        _line("Total" if row["attributed"] else "Unattributed", _differs(row))
    _show_differences(change.by_day, "Day", [str(day) for day in change.by_day["date"]], _or(limit, _MOST_DAYS))
    names = [_customer(row) for row in change.by_customer.iter_rows(named=True)]
    _show_differences(change.by_customer, "Customer", names, _or(limit, _MOST_CUSTOMERS))


def _differs(row: dict[str, Any]) -> str:
    return f"{quantity(row['before'])} -> {quantity(row['after'])} ({_signed(row['difference'])})"


def _signed(value: Decimal) -> str:
    return f"+{quantity(value)}" if value > 0 else quantity(value)


def _show_differences(rows: pl.DataFrame, title: str, names: list[str], most: int | None) -> None:
    if rows.is_empty():
        return
    console().print()
    columns = [
        Column(title),
        Column("Before", number=True),
        Column("Now", number=True),
        Column("Difference", number=True),
    ]
    figures = rows.select("before", "after", "difference").iter_rows()
    cells = [
        [name, quantity(before), quantity(after), _signed(difference)]
        for name, (before, after, difference) in zip(names, figures, strict=True)
    ]
    show_rows(columns, cells, most)


def preview_json(name: str, meter: Meter, shown: Preview, limit: int | None) -> dict[str, Any]:
    """Everything that it found; tables whole unless a limit is given."""
    change = shown.change
    return {
        "meter": name,
        "measures": meter_words(meter),
        "unit": shown.unit,
        "events": shown.events,
        "matched": shown.matched,
        "skipped": shown.skipped.to_dicts(),
        "total": shown.total.to_dicts(),
        "by_day": _first(shown.by_day, limit),
        "by_customer": _first(shown.by_customer, limit),
        "by_group": _first(shown.by_group, limit),
        "examples": shown.examples.to_dicts(),
        "odd": [asdict(finding) for finding in shown.odd],
        "change": None
        if change is None
        else {
            "total": change.total.to_dicts(),
            "by_day": _first(change.by_day, limit),
            "by_customer": _first(change.by_customer, limit),
        },
    }


def _first(rows: pl.DataFrame, limit: int | None) -> list[dict[str, Any]]:
    return (rows.head(limit) if limit else rows).to_dicts()
