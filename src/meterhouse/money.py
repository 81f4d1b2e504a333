"""Currencies, their minor units (ISO 4217), and the one rounding (rule 6).

Amounts are whole minor units once rounded, and exact decimals before. No float takes part.
"""

from __future__ import annotations

import csv
from decimal import Decimal, localcontext
from functools import cache
from importlib.resources import files
from typing import Final, Literal

import polars as pl

from meterhouse.errors import ProjectError

AMOUNT_UNROUNDED: Final = pl.Decimal(38, 24)
"""Quantity x unit amount, exact: 12 + 12 places, below 10^14 minor units."""

ENOUGH_DIGITS: Final = 76
"""For any amount that can be kept and still told from one that cannot: twice the digits of a Decimal(38)."""

_WHOLE_DIGITS: Final = 14
"""Digits that `AMOUNT_UNROUNDED` has before the point."""

Rounding = Literal["half_away_from_zero", "half_even"]
_POLARS_ROUNDING: Final[dict[Rounding, Literal["half_away_from_zero", "half_to_even"]]] = {
    "half_away_from_zero": "half_away_from_zero",
    "half_even": "half_to_even",
}


@cache
def currencies() -> dict[str, int]:
    """ISO 4217 codes and how many digits their minor unit has (rule 6.1)."""
    table = files("meterhouse").joinpath("currencies.csv").read_text(encoding="ascii")
    return {row["code"]: int(row["minor_digits"]) for row in csv.DictReader(table.splitlines())}


def minor_digits(currency: str) -> int:
    """Digits after the point of a currency: JPY 0, USD 2, KWD 3. Raises ProjectError for an unknown code."""
    try:
        return currencies()[currency.upper()]
    except KeyError:
        message = (
            f"'{currency}' is not an ISO 4217 currency with a minor unit. Use a code such as USD, EUR, JPY or KWD."
        )
        raise ProjectError(message) from None


def to_minor(amount: Decimal, currency: str) -> Decimal:
    """Major units to minor units, exact: 1.23 USD is 123."""
    with localcontext(prec=ENOUGH_DIGITS):
        return amount.scaleb(minor_digits(currency))


def to_major(amount_minor: int, currency: str) -> str:
    """Minor units as text in major units with the currency's digits: 123 is `1.23` in USD and `123` in JPY."""
    digits = minor_digits(currency)
    return f"{Decimal(amount_minor).scaleb(-digits):.{digits}f}"


def multiply(quantity: pl.Expr, unit_amount_minor: pl.Expr) -> pl.Expr:
    """Quantity (12 places) x unit amount (12 places), exact to 24 places.

    Polars keeps the larger scale of the two, so the unit amount is widened first; widening both would
    leave no room for large quantities. A product of 10^14 minor units or more raises, it does not wrap.
    """
    return quantity * unit_amount_minor.cast(AMOUNT_UNROUNDED)


def total(amount: pl.Expr) -> pl.Expr:
    """The sum of exact amounts in a group; raises at 10^14 minor units or more.

    Polars' own sum of decimals wraps within a group without a word, so the sum of whole units is checked beside it.
    """
    whole_units = amount.cast(pl.Int64).abs().sum() + amount.len()
    return pl.when(whole_units.cast(pl.Decimal(_WHOLE_DIGITS, 0)).is_not_null()).then(amount.sum())


def round_minor(amount: pl.Expr, rounding: Rounding = "half_away_from_zero") -> pl.Expr:
    """The one rounding: an exact amount in minor units to whole minor units (rule 6.2)."""
    return amount.round(0, mode=_POLARS_ROUNDING[rounding]).cast(pl.Int64)
