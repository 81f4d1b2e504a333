"""What is sold: products with prices and benefits (rules 4 and 5).

Amounts are written in major units (`12.50` dollars) and kept in minor units. Kinds of price become rows of the same
two tables, so that every price of every customer is one join.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from meterhouse.errors import ProjectError
from meterhouse.money import ENOUGH_DIGITS, minor_digits, to_minor
from meterhouse.periods import Interval

Quantity = Annotated[Decimal, Field(ge=0, lt=Decimal(10) ** 15, decimal_places=12, allow_inf_nan=False)]
Amount = Annotated[Decimal, Field(ge=0, lt=Decimal(10) ** 12, allow_inf_nan=False)]
_PLACES = 12
_AMOUNT_LIMIT = Decimal(10) ** 14
"""In minor units: an exact amount has 24 places, which leaves 14 digits before the point."""


class _Definition(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Price(_Definition):
    id: str = Field(min_length=1, description="The price's name within its product.")
    currency: str | None = Field(None, description="ISO 4217 code; the project's where none is given.")

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, value: str | None) -> str | None:
        return value if value is None else _upper_currency(value)


def _upper_currency(value: str) -> str:
    try:
        minor_digits(value)
    except ProjectError as unknown:
        raise ValueError(str(unknown)) from unknown
    return value.upper()


class FixedPrice(_Price):
    """An amount a period, whatever is used."""

    kind: Literal["fixed"]
    amount: Amount = Field(description="Amount a period, in major units.")
    billed: Literal["in_advance", "in_arrears"] = Field("in_advance", description="When the period starts, or ends.")


class _MeteredPrice(_Price):
    meter: str = Field(description="Which meter's quantity is priced.")
    per: Quantity = Field(Decimal(1), gt=0, description="How many units an amount is for, e.g. 1000000.")
    included: Quantity = Field(Decimal(0), description="Units that cost nothing, each period.")
    cap: Amount | None = Field(None, description="Most that a period can cost, in major units.")


class UnitPrice(_MeteredPrice):
    """Every unit costs the same."""

    kind: Literal["unit"]
    amount: Amount = Field(description="Price of `per` units, in major units.")


class Tier(_Definition):
    """Units above the tier before, up to and with `up_to`."""

    up_to: Quantity | None = Field(None, gt=0, description="Last unit; without one, the tier has no end.")
    amount: Amount = Field(Decimal(0), description="Price of `per` units, in major units.")
    flat: Amount = Field(Decimal(0), description="Paid once when the tier is reached, in major units.")


class TieredPrice(_MeteredPrice):
    """Graduated: each unit at its own tier's price. Volume: all units at the price of the tier of the total."""

    kind: Literal["graduated", "volume"]
    tiers: tuple[Tier, ...] = Field(min_length=1, description="From the lowest; only the last may have no end.")

    @model_validator(mode="after")
    def _tiers_rise(self) -> TieredPrice:
        ends = [tier.up_to for tier in self.tiers]
        bounds = [Decimal(0), *(end for end in ends if end is not None)]
        rising = all(lower < upper for lower, upper in pairwise(bounds))
        if not rising or None in ends[:-1]:
            found = ", ".join("none" if end is None else str(end) for end in ends)
            message = f"tiers must rise, and only the last may have no `up_to`; found {found}"
            raise ValueError(message)
        return self


Price = Annotated[FixedPrice | UnitPrice | TieredPrice, Field(discriminator="kind")]


class MeterCredits(_Definition):
    """Units of a meter, granted at the start of every cycle."""

    id: str = Field(min_length=1, description="The benefit's name within its product.")
    kind: Literal["meter_credits"] = "meter_credits"
    meter: str = Field(description="Whose units.")
    units: Quantity = Field(gt=0, description="How many units a cycle.")
    rollover: bool = Field(default=False, description="Whether unused whole units pass to the next cycle (rule 5.5).")
    priority: int = Field(0, ge=0, description="Lower is used first (rule 5.3).")


class Product(_Definition):
    """A product as its owner writes it."""

    name: str = Field("", description="What it is called on an invoice; its key in the file where none is given.")
    interval: Interval = Field("month", description="How long a period is, where a subscription says nothing else.")
    interval_count: int = Field(1, ge=1, le=1200, description="How many intervals make a period.")
    prices: tuple[Price, ...] = Field(min_length=1, description="Fixed and metered prices.")
    benefits: tuple[MeterCredits, ...] = Field((), description="What a subscription brings besides.")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Product:
        _refuse_repeats("price", [price.id for price in self.prices])
        _refuse_repeats("benefit", [benefit.id for benefit in self.benefits])
        _refuse_repeats("price on meter", [price.meter for price in self.prices if not isinstance(price, FixedPrice)])
        return self

    def metered(self) -> frozenset[str]:
        """Meters that the product prices or grants credits of."""
        priced = {price.meter for price in self.prices if not isinstance(price, FixedPrice)}
        return frozenset(priced | {benefit.meter for benefit in self.benefits})


def _refuse_repeats(what: str, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        message = f"each {what} may stand once in a product; repeated: {', '.join(repeated)}"
        raise ValueError(message)


def unit_amount_minor(amount: Decimal, per: Decimal, currency: str) -> Decimal:
    """Price of one unit in minor units. Raises ValueError where 12 places cannot hold it exactly (rule 4.3)."""
    with localcontext(prec=ENOUGH_DIGITS):
        minor = to_minor(amount, currency)
        unit = (minor / per).quantize(Decimal(1).scaleb(-_PLACES))
        exact = unit * per == minor
    if not exact:
        message = (
            f"{amount} {currency} per {per} units is not exact in {_PLACES} places of a minor unit (rule 4.3). "
            "Choose an amount that divides, or a smaller `per`"
        )
        raise ValueError(message)
    _refuse_too_large(unit, f"{amount} {currency} per {per} units")
    return unit


def whole_minor(amount: Decimal, currency: str) -> int:
    """An amount as whole minor units. Raises ValueError where it has more digits than the currency."""
    minor = to_minor(amount, currency)
    if minor != minor.to_integral_value():
        message = (
            f"{amount} {currency} has more than the currency's {minor_digits(currency)} digits after the point. "
            "Write an amount that can be paid"
        )
        raise ValueError(message)
    _refuse_too_large(minor, f"{amount} {currency}")
    return int(minor)


def _refuse_too_large(minor: Decimal, written: str) -> None:
    if minor >= _AMOUNT_LIMIT:
        message = f"{written} is 10^14 minor units or more, which an exact amount cannot hold. Write a smaller one"
        raise ValueError(message)
