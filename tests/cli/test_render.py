"""How values look on a screen and in JSON."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from meterhouse.cli.render import (
    Column,
    counted,
    exact_money,
    instant_cell,
    money,
    period,
    price_per,
    print_json,
    quantity,
    safe,
    show_rows,
    unit_price,
)
from meterhouse.cli.screen import Drawn, Lines

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("4873373.000000000000"), "4,873,373"),
        (Decimal("0.000000000001"), "0.000000000001"),
        (Decimal("1200.500000000000"), "1,200.5"),
        (Decimal("0E-12"), "0"),
        (Decimal("-0.0"), "0"),
        (Decimal(-30), "-30"),
        (100, "100"),
        (None, "-"),
    ],
)
def test_quantities(value: Decimal | int | None, shown: str) -> None:
    assert quantity(value) == shown


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [(123456789, "USD", "1,234,567.89"), (1234, "JPY", "1,234"), (1234, "KWD", "1.234"), (-5, "USD", "-0.05")],
)
def test_money(minor: int, currency: str, shown: str) -> None:
    assert money(minor, currency) == shown


def test_money_before_rounding_keeps_every_digit() -> None:
    assert exact_money(Decimal("123456.750000000000000000000000"), "USD") == "1,234.5675"
    assert exact_money(Decimal("100.000"), "USD") == "1.00"
    assert exact_money(Decimal("100.5"), "JPY") == "100.5"
    assert exact_money(Decimal("100.0"), "JPY") == "100"


@pytest.mark.parametrize(
    ("minor", "shown"),
    [
        ("0.000500000000", "5.00 per 1,000,000"),
        ("0.001500000000", "15.00 per 1,000,000"),
        ("0.075", "0.75 per 1,000"),
        ("0.5", "0.005"),
        ("25", "0.25"),
        ("0", "0.00"),
        ("0.000000000001", "0.00001 per 1,000,000,000"),
    ],
)
def test_prices_of_a_unit(minor: str, shown: str) -> None:
    assert unit_price(Decimal(minor), "USD") == shown


@pytest.mark.parametrize(
    ("minor", "multiplier", "shown"),
    [
        ("0.0005", "1", "5.00 per 1,000,000"),
        ("0.0005", "1000", "0.005 per 1,000"),
        ("0.0005", "3600000", "18.00 per 3,600,000"),
        ("150", "0.001", "0.0015 per 0.001"),
        ("0.000000000001", "999999999999999", "9.99999999999999 per 999,999,999,999,999"),
    ],
)
def test_a_price_is_shown_for_as_many_as_the_meters_unit_says(minor: str, multiplier: str, shown: str) -> None:
    assert price_per(Decimal(minor), "USD", Decimal(multiplier)) == shown


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        ("2026-01-31T23:00Z", "2026-02-28T23:00Z", "2026-02-01 to 2026-02-28"),
        ("2026-03-28T23:00Z", "2026-03-29T22:00Z", "2026-03-29"),
        ("2026-01-31T12:00Z", "2026-02-28T12:30Z", "2026-01-31 13:00 until 2026-02-28 13:30"),
        ("2026-01-31T23:00Z", "2026-02-28T12:30Z", "2026-02-01 00:00 until 2026-02-28 13:30"),
    ],
)
def test_periods(start: str, end: str, shown: str) -> None:
    assert period(datetime.fromisoformat(start), datetime.fromisoformat(end), BERLIN) == shown


def test_instants_in_tables() -> None:
    assert instant_cell(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01"
    assert instant_cell(datetime(2026, 1, 1, 8, 30, tzinfo=UTC)) == "2026-01-01 08:30"


def test_text_cannot_steer_the_terminal() -> None:
    assert safe("Ada\x1b[2J\n\u202e") == "Ada\\x1b[2J\\n\\u202e"
    assert safe("Zoë, 東京 🙂") == "Zoë, 東京 🙂"


def test_counting_words() -> None:
    assert [counted(1, "file"), counted(1200, "file"), counted(2, "entry", "entries")] == [
        "1 file",
        "1,200 files",
        "2 entries",
    ]


def test_nothing_of_a_table_is_cut_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    columns = [Column("Customer"), Column("Empty"), Column("Quantity", number=True), Column("Id", keep=True)]
    show_rows(columns, [["[bold]a very long name of a customer", "", "1,234,567,890.123456", "x" * 12]], None)
    shown = capsys.readouterr().out
    assert "1,234,567,890.123456" in shown
    assert "x" * 12 in shown
    assert "Empty" not in shown
    names = "".join(line.split("  ")[0] for line in shown.splitlines()[2:])
    assert names.replace(" ", "") == "[bold]averylongnameofacustomer"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("1.500000000000"), '"1.5"'),
        (Decimal("1E+3"), '"1000"'),
        (Decimal("NaN"), '"NaN"'),
        (datetime(2026, 1, 1, 8, tzinfo=UTC), '"2026-01-01T08:00:00Z"'),
        (datetime(2026, 1, 1, 8, tzinfo=BERLIN), '"2026-01-01T07:00:00Z"'),
        (datetime(2026, 1, 1, 8), '"2026-01-01T08:00:00"'),  # noqa: DTZ001 - as DuckDB's TIMESTAMP has it
        (date(2026, 1, 1), '"2026-01-01"'),
        (time(8, 30), '"08:30:00"'),
        (timedelta(days=1), '"1 day, 0:00:00"'),
        (b"\x00\xff", '"00ff"'),
        (float("inf"), '"inf"'),
        (0.5, "0.5"),
        (True, "true"),
        (None, "null"),
        ((), "[]"),
    ],
)
def test_json_of_every_kind_of_value(value: Any, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_json(value)
    assert capsys.readouterr().out == f"{shown}\n"


def _screen() -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, force_terminal=True, width=100, markup=False, highlight=False), written


def test_progress_draws_a_bar_and_leaves_nothing() -> None:
    screen, written = _screen()
    with Drawn(screen).running() as drawn:
        drawn.begin("Landing", 2)
        drawn.advance("a\x1b[2J.jsonl")
        drawn.advance("b.jsonl")
        drawn.within("b.jsonl: 5 of 9 MiB", 5 / 9)
        drawn.end("2 files")
        drawn.begin("Metering", 0)
        drawn.end("0 days")
    lines = written.getvalue()
    assert "Landing" in lines
    assert "2 files" not in lines
    assert "a\x1b[2J" not in lines


def test_progress_in_a_log_is_a_line_a_step() -> None:
    written = io.StringIO()
    lines = Lines(Console(file=written, markup=False))
    lines.begin("Landing", 2)
    lines.advance("a.jsonl")
    lines.within("a.jsonl: 1 of 9 MiB", 1 / 9)
    lines.end("2 files [all]")
    assert written.getvalue() == "Landing ...\n"


def test_a_log_is_told_now_and_then_how_far_a_step_is() -> None:
    written = io.StringIO()
    seconds = count(0, 4)
    lines = Lines(Console(file=written, markup=False), lambda: next(seconds))
    lines.begin("Landing", 2)
    lines.advance("a.jsonl")
    for part in range(1, 9):
        lines.within(f"a.jsonl: {part} of 8 MiB", part / 8)
    told = written.getvalue().splitlines()
    assert told[:2] == ["Landing ...", "Landing 1 of 2: a.jsonl: 2 of 8 MiB (25%)"]
    assert len(told) == 4
