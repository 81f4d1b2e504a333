"""Currencies, exact amounts and the one rounding (rule 6)."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest

from meterhouse.errors import ProjectError
from meterhouse.money import (
    AMOUNT_UNROUNDED,
    Rounding,
    currencies,
    minor_digits,
    multiply,
    round_minor,
    to_major,
    to_minor,
    total,
)
from meterhouse.tables.columns import QUANTITY


def product(quantity: str, unit_amount: str) -> Decimal:
    frame = pl.DataFrame(
        {"quantity": [Decimal(quantity)], "unit_amount": [Decimal(unit_amount)]},
        {"quantity": QUANTITY, "unit_amount": QUANTITY},
    ).select(amount=multiply(pl.col("quantity"), pl.col("unit_amount")))
    assert frame.schema["amount"] == AMOUNT_UNROUNDED
    return Decimal(frame["amount"][0])


def rounded(amounts: list[str], rounding: Rounding) -> list[int]:
    frame = pl.DataFrame({"amount": [Decimal(amount) for amount in amounts]}, {"amount": AMOUNT_UNROUNDED})
    return frame.select(round_minor(pl.col("amount"), rounding))["amount"].to_list()


# --- Currencies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("currency", "digits"), [("JPY", 0), ("KRW", 0), ("USD", 2), ("EUR", 2), ("KWD", 3), ("BHD", 3), ("CLF", 4)]
)
def test_a_currency_has_the_digits_of_iso_4217(currency: str, digits: int) -> None:
    assert minor_digits(currency) == minor_digits(currency.lower()) == digits


def test_every_currency_has_at_most_four_digits() -> None:
    assert len(currencies()) > 150
    assert set(currencies().values()) == {0, 2, 3, 4}


@pytest.mark.parametrize("code", ["XXX", "XAU", "BTC", "", "US", "DOLLAR"])
def test_what_is_no_currency_with_a_minor_unit_is_refused(code: str) -> None:
    with pytest.raises(
        ProjectError, match=f"'{code}' is not an ISO 4217 currency with a minor unit. Use a code such as"
    ):
        minor_digits(code)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("150", "JPY", "150"),
        ("1.23", "USD", "123"),
        ("0.00000000000001", "USD", "0.000000000001"),
        ("1.234", "KWD", "1234"),
        ("-1.5", "EUR", "-150"),
        (
            "12345678901234567890123456789.12345678901234567891",
            "USD",
            "1234567890123456789012345678912.345678901234567891",
        ),
    ],
)
def test_major_units_become_minor_units_exactly(amount: str, currency: str, minor: str) -> None:
    assert to_minor(Decimal(amount), currency) == Decimal(minor)


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [
        (123, "JPY", "123"),
        (123, "USD", "1.23"),
        (5, "USD", "0.05"),
        (0, "USD", "0.00"),
        (-5, "USD", "-0.05"),
        (5, "KWD", "0.005"),
        (10_000, "CLF", "1.0000"),
        (9_223_372_036_854_775_807, "EUR", "92233720368547758.07"),
    ],
)
def test_minor_units_are_shown_with_the_digits_of_the_currency(minor: int, currency: str, shown: str) -> None:
    assert to_major(minor, currency) == shown


# --- Amounts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "unit_amount", "amount"),
    [
        ("3", "0.1", "0.3"),
        ("0.000000000001", "0.000000000001", "0.000000000000000000000001"),
        ("12345.678901234567", "0.000123456789", "1.524157875171467777625363"),
        ("-2", "1.5", "-3"),
        ("99999999999999", "1", "99999999999999"),
        ("999999999999999", "0.099999999999", "99999999998999.900000000001"),
    ],
)
def test_quantity_by_unit_amount_is_exact_to_24_places(quantity: str, unit_amount: str, amount: str) -> None:
    assert product(quantity, unit_amount) == Decimal(amount)


@pytest.mark.parametrize(
    ("quantity", "unit_amount"),
    [
        ("100000000000000", "1"),
        ("-100000000000000", "1"),
        ("999999999999999", "99999999999999"),
        ("99999999999999999999999999", "0.000000000002"),
        ("1", "100000000000000"),
        # 2^127 and a little in units of the 24th place: it would look small if it wrapped.
        ("17014118346046", "10.000000000001"),
    ],
)
def test_an_amount_of_10_to_the_14_or_more_stops_and_never_wraps(quantity: str, unit_amount: str) -> None:
    with pytest.raises(pl.exceptions.PolarsError):
        product(quantity, unit_amount)


def test_a_sum_that_is_too_large_stops_and_never_wraps() -> None:
    amounts = pl.Series("amount", [Decimal(99_999_999_999_999)] * 20, AMOUNT_UNROUNDED)
    with pytest.raises(pl.exceptions.PolarsError):
        amounts.to_frame().select(pl.col("amount").sum())


@pytest.mark.parametrize("amounts", [[90_000_000_000_000] * 2, [-90_000_000_000_000] * 2, [99_999_999_999_999] * 9])
def test_a_sum_within_a_group_stops_where_polars_own_would_wrap(amounts: list[int]) -> None:
    series = pl.Series("amount", [Decimal(amount) for amount in amounts], AMOUNT_UNROUNDED)
    with pytest.raises(pl.exceptions.PolarsError):
        series.to_frame().group_by(pl.lit(1)).agg(total(pl.col("amount")))


def test_a_sum_within_a_group_is_exact() -> None:
    series = pl.Series("amount", [Decimal("0.1")] * 3 + [Decimal(99_999_999_999_990)], AMOUNT_UNROUNDED)
    summed = series.to_frame().group_by(pl.lit(1)).agg(total(pl.col("amount")))
    assert summed["amount"].to_list() == [Decimal("99999999999990.3")]


# --- Rounding ---------------------------------------------------------------------------------------------------------

ROUNDINGS: list[tuple[Rounding, list[int]]] = [
    ("half_away_from_zero", [0, 0, 1, 1, 2, 3, -1, -2, -3]),
    ("half_even", [0, 0, 0, 1, 2, 2, 0, -2, -2]),
]


@pytest.mark.parametrize(("rounding", "expected"), ROUNDINGS)
def test_a_half_is_rounded_as_the_setting_says(rounding: Rounding, expected: list[int]) -> None:
    just_below, just_above = "0.499999999999999999999999", "0.500000000000000000000001"
    amounts = ["0", just_below, "0.5", just_above, "1.5", "2.5", "-0.5", "-1.5", "-2.5"]
    assert rounded(amounts, rounding) == expected


@pytest.mark.parametrize("rounding", [rounding for rounding, _ in ROUNDINGS])
def test_large_amounts_are_rounded_exactly(rounding: Rounding) -> None:
    assert rounded(["99999999999998.500000000000000000000001", "-99999999999999.4"], rounding) == [
        99_999_999_999_999,
        -99_999_999_999_999,
    ]
