"""Random books: products with every kind of price, fee and benefit, drawn from a seed."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from meterhouse.catalog import FixedPrice, MeterCredits, Product, Tier, TieredPrice, UnitPrice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

PRODUCTS: Final = ("basic", "plus", "pro")

# On and beside the bounds of tiers; prices that end in a half minor unit, or far below one.
UNITS: Final = tuple(map(Decimal, ("0", "0.5", "1", "2.5", "3", "7", "10", "10.000000000001", "1000")))
AMOUNTS: Final = tuple(map(Decimal, ("0", "0.005", "0.01", "0.015", "0.0000000001", "0.3333333333", "1", "99.99")))


def draw_tiers(draw: Random) -> tuple[Tier, ...]:
    ends: list[Decimal | None] = [*sorted(draw.sample(UNITS[1:], draw.randint(1, 3)))]
    if draw.random() < 0.5:
        ends.append(None)
    return tuple(Tier(up_to=end, amount=draw.choice(AMOUNTS), flat=draw.choice(AMOUNTS)) for end in ends)


def draw_price(draw: Random, meter: str) -> UnitPrice | TieredPrice:
    common: dict[str, Any] = {
        "id": meter,
        "meter": meter,
        "included": draw.choice((Decimal(0), *UNITS)),
        "cap": draw.choice((None, None, Decimal(0), Decimal("0.01"), Decimal("2.50"), Decimal(50))),
    }
    match draw.choice(("unit", "graduated", "volume")):
        case "unit":
            return UnitPrice(kind="unit", amount=draw.choice(AMOUNTS), **common)
        case "graduated":
            return TieredPrice(kind="graduated", tiers=draw_tiers(draw), **common)
        case _:
            return TieredPrice(kind="volume", tiers=draw_tiers(draw), **common)


def draw_product(draw: Random, meters: Sequence[str]) -> Product:
    fees = [
        FixedPrice(id=f"fee {billed}", kind="fixed", amount=draw.choice((Decimal(0), Decimal("9.99"))), billed=billed)
        for billed in ("in_advance", "in_arrears")
        if draw.random() < 0.5
    ]
    used = [draw_price(draw, meter) for meter in draw.sample(meters, draw.randint(1, len(meters)))]
    benefits = tuple(
        MeterCredits(
            id=name,
            meter=draw.choice(meters),
            units=draw.choice(UNITS[1:]),
            rollover=draw.random() < 0.6,
            priority=draw.randint(0, 1),
        )
        for name in draw.sample(("gift", "plan", "trial"), draw.randint(0, 3))
    )
    return Product(prices=(*fees, *used), benefits=benefits)


def draw_books(draw: Random, meters: Sequence[str]) -> dict[str, Product]:
    return {name: draw_product(draw, meters) for name in PRODUCTS}
