"""How values look: numbers, money, instants, tables on a screen, and JSON for programs."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

NOTHING: Final = "-"
_WIDTH_OF_FILES: Final = 200
_LEAST_UNIT_PRICE: Final = Decimal("0.001")
_LEAST_PRICE_OF_MANY: Final = Decimal("0.1")
_MOST_UNITS: Final = 10**9
_MOST_DIGITS: Final = 100
"""Of a price times a multiplier, and far more."""
SOME: Final = 5
"""Shown of many things that are alike: a screen is for what is going on, `--json` for all of it."""

_GAP: Final = 2
_LEAST_TEXT: Final = 8
"""Text columns become narrower on a narrow screen, but not narrower than this."""

_LINE_BELOW_HEAD: Final = box.Box("    \n    \n ── \n    \n    \n    \n    \n    \n")


class Screen(Console):
    """A console that leaves it to the caller what a reader that went away means."""

    def on_broken_pipe(self) -> None:
        """Raise: Rich would end the process as if a fault had happened."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console(*, err: bool = False) -> Console:
    """Where text goes. What is not a screen gets wide lines, so that no table breaks in a pipe."""
    stream = sys.stderr if err else sys.stdout
    wide = None if stream.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_FILES
    return Screen(file=stream, width=wide, markup=False, emoji=False, highlight=False)


def safe(text: str) -> str:
    """Text of users and senders without control characters, which could steer a terminal."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def quantity(value: Decimal | int | None) -> str:
    """A quantity with thousands separators and without trailing zeros."""
    if value is None:
        return NOTHING
    text = f"{value:,f}" if isinstance(value, Decimal) else f"{value:,}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def money(minor: int, currency: str) -> str:
    """An amount in major units with the currency's digits and thousands separators."""
    from meterhouse.money import to_major

    return f"{Decimal(to_major(minor, currency)):,}"


def exact_money(minor: Decimal, currency: str) -> str:
    """An amount before rounding, in major units: at least the currency's digits, and all further ones that it has."""
    from meterhouse.money import minor_digits

    digits = minor_digits(currency)
    text = f"{minor.scaleb(-digits):,f}"
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0").ljust(digits, "0")
    return f"{whole}.{fraction}" if fraction else whole


def price_per(minor: Decimal, currency: str, multiplier: Decimal) -> str:
    """A price of one unit as its meter has it shown: for so many; else as people say it (rule 2.4)."""
    if multiplier == 1:
        return unit_price(minor, currency)
    with localcontext(prec=_MOST_DIGITS):
        return f"{exact_money(minor * multiplier, currency)} per {quantity(multiplier)}"


def unit_price(minor: Decimal, currency: str) -> str:
    """A price as people say it: `5.00 per 1,000,000` instead of `0.000005`."""
    from meterhouse.money import minor_digits

    major = minor.scaleb(-minor_digits(currency))
    units = 1
    if 0 < major < _LEAST_UNIT_PRICE:
        while major * units < _LEAST_PRICE_OF_MANY and units < _MOST_UNITS:
            units *= 1000
    price = exact_money(minor * units, currency)
    return price if units == 1 else f"{price} per {units:,}"


def day_in(instant: datetime, zone: ZoneInfo) -> str:
    """The local day of an instant."""
    return instant.astimezone(zone).date().isoformat()


def period(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    """A half-open period: first and last day where it holds whole days, else both instants."""
    first, after = start.astimezone(zone), end.astimezone(zone)
    if first.time() == after.time() == time():
        last = after.date() - timedelta(days=1)
        return first.date().isoformat() if first.date() >= last else f"{first.date()} to {last}"
    return f"{first:%Y-%m-%d %H:%M} until {after:%Y-%m-%d %H:%M}"


def instant_text(instant: datetime) -> str:
    """An instant in UTC, as short as it can be."""
    moment = instant.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment.second else f"{moment:%Y-%m-%d %H:%M} UTC"


def instant_cell(instant: datetime) -> str:
    """An instant in UTC for a table: the day alone where it is midnight."""
    return instant_text(instant).removesuffix(" UTC").removesuffix(" 00:00")


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


@dataclass(frozen=True)
class Column:
    """A column of a table on the screen. Numbers stand to the right and are never broken."""

    title: str
    number: bool = False
    keep: bool = False
    """Never broken, though no number."""


Rows = Sequence[Sequence[str | Text]]


class Grid:
    """A table in which nothing is cut off: text that is too long goes on in the next line."""

    def __init__(self, columns: Sequence[Column], rows: Rows) -> None:
        cells = [[cell if isinstance(cell, Text) else Text(safe(cell)) for cell in row] for row in rows]
        # A column without any value says nothing.
        held = [place for place in range(len(columns)) if not cells or any(row[place].plain for row in cells)]
        self._columns = [columns[place] for place in held]
        self._cells = [[row[place] for place in held] for row in cells]
        self._widths = [
            max(len(column.title), *(_width(row[place]) for row in self._cells), 1)
            for place, column in enumerate(self._columns)
        ]

    def fits(self, width: int) -> bool:
        """Whether it needs no more than this, without a broken line."""
        return _total(self._widths) <= width

    def print(self) -> None:
        """Draw it. Where not even broken text makes it narrow enough, the screen breaks the lines."""
        screen = console()
        widths = self._shrunk(screen.width)
        drawn = Table(box=_LINE_BELOW_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        for column, width in zip(self._columns, widths, strict=True):
            drawn.add_column(column.title, justify="right" if column.number else "left", width=width, overflow="fold")
        for row in self._cells:
            drawn.add_row(*row)
        screen.width = max(screen.width, _total(widths))
        if screen.is_terminal:
            screen.print(drawn, crop=False)
            return
        with screen.capture() as captured:
            screen.print(drawn, crop=False)
        for line in captured.get().splitlines():
            print(line.rstrip())  # noqa: T201 - Rich fills lines up, which files and pipes do not want

    def _shrunk(self, available: int) -> list[int]:
        """Widths of the columns, the widest text made narrower until all fit."""
        widths = list(self._widths)
        breakable = [place for place, column in enumerate(self._columns) if not (column.number or column.keep)]
        while _total(widths) > available:
            widest = max(breakable, key=widths.__getitem__, default=None)
            if widest is None or widths[widest] <= max(_LEAST_TEXT, len(self._columns[widest].title)):
                break
            widths[widest] -= 1
        return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _width(cell: Text) -> int:
    return max((line.cell_len for line in cell.split()), default=0)


def show_rows(columns: Sequence[Column], rows: Rows, limit: int | None) -> None:
    """A table of at most so many rows, and how many there are."""
    Grid(columns, rows if limit is None else rows[:limit]).print()
    if limit is not None and len(rows) > limit:
        console().print(f"... and {counted(len(rows) - limit, 'more row')}: --limit 0 shows all", style="dim")


def show_some(label: str, lines: Sequence[str], more: str, width: int, style: str | None = None) -> None:
    """The first of many lines, the label before the first, and how many more there are."""
    screen = console()
    for place, line in enumerate(lines[:SOME]):
        screen.print(f"{'' if place else label:<{width}}{line}", style=style, soft_wrap=True)
    if len(lines) > SOME:
        screen.print(f"{'':<{width}}and {counted(len(lines) - SOME, more)}")


def hints(lines: Iterable[tuple[str, str]]) -> None:
    """What to look at next: commands, and what each shows. Kept on one line each, so that they can be copied."""
    listed = list(lines)
    widest = max((len(command) for command, _ in listed), default=0)
    screen = console()
    screen.print("\nWhat to look at next", style="bold")
    for command, what in listed:
        screen.print(f"  {command.ljust(widest)}  {what}", soft_wrap=True)


def amounts(minor: int, currency: str, name: str = "amount") -> dict[str, Any]:
    """An amount as JSON has it: in minor units, and as text in major units."""
    from meterhouse.money import to_major

    return {f"{name}_minor": minor, name: to_major(minor, currency), "currency": currency}


def print_json(value: Any) -> None:  # noqa: ANN401 - any value of JSON
    """One JSON document on stdout."""
    print(json.dumps(_plain(value), ensure_ascii=False, indent=2))  # noqa: T201 - this is the output


def _plain(value: Any) -> Any:  # noqa: ANN401, PLR0911 - a table of types reads best as one
    """A value as JSON can hold it: decimals as text, so that no reader makes floats of them."""
    match value:
        case dict():
            return {str(key): _plain(held) for key, held in value.items()}
        case list() | tuple():
            return [_plain(held) for held in value]
        case Decimal():
            return decimal_text(value)
        case datetime():
            moment = value.astimezone(UTC) if value.tzinfo else value
            return moment.isoformat().replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case None | bool() | int() | str():
            return value
        case float():
            return value if value == value and abs(value) != float("inf") else str(value)  # noqa: PLR0124 - not a number
        case _:
            return str(value)


def decimal_text(value: Decimal) -> str:
    """A decimal without exponent and without trailing zeros."""
    if not value.is_finite():
        return str(value)
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
