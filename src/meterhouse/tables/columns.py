"""The column kinds that tables are made of: one constructor a kind, so that a unit has one type everywhere."""

from __future__ import annotations

from typing import Final

import dataframely as dy
import polars as pl

QUANTITY: Final = pl.Decimal(38, 12)
"""Units of a meter: 12 places (rule 1.7)."""

INSTANT: Final = pl.Datetime("us", "UTC")


def identifier(description: str, *, key: bool = False, nullable: bool = False) -> dy.String:
    """A name or an id, kept as text."""
    return dy.String(primary_key=key, nullable=nullable, description=description)


def text(description: str, *, key: bool = False, nullable: bool = False) -> dy.String:
    """Free text."""
    return dy.String(primary_key=key, nullable=nullable, description=description)


def flag(description: str, *, key: bool = False) -> dy.Bool:
    """Yes or no."""
    return dy.Bool(primary_key=key, description=description)


def count(description: str, *, key: bool = False) -> dy.Int64:
    """A whole number of things."""
    return dy.Int64(min=0, primary_key=key, description=description)


def quantity(description: str, *, nullable: bool = False, key: bool = False) -> dy.Decimal:
    """Units of a meter, exact to 12 places."""
    return dy.Decimal(38, 12, nullable=nullable, primary_key=key, description=description)


def unit_amount_minor(description: str, *, nullable: bool = False) -> dy.Decimal:
    """Price of one unit in minor units of the currency, exact to 12 places."""
    return dy.Decimal(38, 12, nullable=nullable, description=description)


def amount_minor_unrounded(description: str) -> dy.Decimal:
    """An exact amount in minor units of the currency, 24 places."""
    return dy.Decimal(38, 24, description=description)


def amount_minor(description: str, *, nullable: bool = False) -> dy.Int64:
    """A rounded amount: whole minor units of the currency."""
    return dy.Int64(nullable=nullable, description=description)


def instant(description: str, *, key: bool = False, nullable: bool = False) -> dy.Datetime:
    """A point in time, UTC, microseconds."""
    return dy.Datetime(time_unit="us", time_zone="UTC", primary_key=key, nullable=nullable, description=description)


def day(description: str, *, key: bool = False) -> dy.Date:
    """A calendar day in UTC."""
    return dy.Date(primary_key=key, description=description)
