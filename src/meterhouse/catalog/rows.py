"""Definitions as rows: prices of every kind in the same two tables."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, assert_never

import polars as pl

from meterhouse.catalog.filters import filter_json, number_text
from meterhouse.catalog.products import FixedPrice, Tier, TieredPrice, UnitPrice, unit_amount_minor, whole_minor
from meterhouse.tables import Benefits, FixedPrices, MeteredPrices, Meters, MeterVersions, Products, Tiers, schema_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import dataframely as dy

    from meterhouse.catalog.meters import Meter, MeterVersion
    from meterhouse.catalog.products import Product

Rows = list[dict[str, Any]]

_OF_PERIODS: Final = ("percent", "carry_over", "rounding", "rounding_to")
"""What makes a quantity of a period's states, and leaves the states as they are; the same in all versions."""


def meter_rows(meters: Mapping[str, Meter]) -> pl.DataFrame:
    """One row per meter."""
    return _frame(Meters, (_meter_row(key, meter) for key, meter in meters.items()))


def _meter_row(key: str, meter: Meter) -> dict[str, Any]:
    measures = _measures(meter.versions()[0])
    return {
        "meter": key,
        "name": meter.name or key,
        "unit": meter.unit.label,
        "unit_multiplier": meter.unit.multiplier,
        **measures,
        "definition": _definition(meter),
    }


def meter_version_rows(meters: Mapping[str, Meter]) -> pl.DataFrame:
    """One row per meter and stretch of time in which it measures one thing (rule 2.5), without `first_used_at`."""
    rows = (row for key, meter in meters.items() for row in _version_rows(key, meter))
    return _frame(MeterVersions, rows).drop("first_used_at")


def _version_rows(key: str, meter: Meter) -> Iterator[dict[str, Any]]:
    for number, version in enumerate(meter.versions(), 1):
        states = {name: value for name, value in _measures(version).items() if name not in _OF_PERIODS}
        yield {
            "meter": key,
            "definition": _definition(meter),
            "version": number,
            "valid_from": version.since,
            "valid_until": version.until,
            **states,
            "group_by_json": json.dumps(meter.group_by, ensure_ascii=False),
            "measures": _digest(states | _grouping(meter)),
        }


def _measures(version: MeterVersion) -> dict[str, Any]:
    aggregation = version.aggregation
    return {
        "aggregation": aggregation.func,
        "property": aggregation.property,
        "percent": aggregation.percent,
        "numeric_text": aggregation.numeric_text == "count",
        "carry_over": aggregation.carry_over,
        "rounding": aggregation.rounding and aggregation.rounding.direction,
        "rounding_to": aggregation.rounding and aggregation.rounding.to,
        "filter_json": filter_json(version.rule),
    }


def _grouping(meter: Meter) -> dict[str, Any]:
    return {"group_by": list(meter.group_by) or None}


def _definition(meter: Meter) -> str:
    first, *later = meter.versions()
    changes = [{"from": str(version.since)} | _said(_measures(version)) for version in later]
    return _digest(_measures(first) | _grouping(meter) | {"changes": changes or None})


def _digest(measures: Mapping[str, object]) -> str:
    """What a meter measures as one digest; what a new version of meterhouse can add changes none of those before."""
    return hashlib.sha256(json.dumps(_said(measures), default=number_text).encode()).hexdigest()[:16]


def _said(measures: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in measures.items() if value not in (None, False) or name == "property"}


def product_rows(products: Mapping[str, Product], currency: str) -> dict[str, pl.DataFrame]:
    """The tables `products`, `fixed_prices`, `metered_prices`, `tiers` and `benefits`.

    Raises ValueError naming price and fault.
    """
    fixed: Rows = []
    metered: Rows = []
    tiers: Rows = []
    for product, definition in products.items():
        for price in definition.prices:
            key = {"product": product, "price_id": price.id}
            try:
                if isinstance(price, FixedPrice):
                    fixed.append(key | _fixed_row(price, price.currency or currency))
                else:
                    metered.append(key | _metered_row(price, price.currency or currency))
                    tiers.extend(key | row for row in _tier_rows(price, price.currency or currency))
            except ValueError as fault:
                message = f"product '{product}', price '{price.id}': {fault}"
                raise ValueError(message) from fault
    benefits = (
        {"product": product, "benefit_id": benefit.id} | benefit.model_dump(exclude={"id", "kind"})
        for product, definition in products.items()
        for benefit in definition.benefits
    )
    named = (
        {"product": key, "name": product.name or key, "currency": product.prices[0].currency or currency}
        for key, product in products.items()
    )
    return {
        "products": _frame(Products, named),
        "fixed_prices": _frame(FixedPrices, fixed),
        "metered_prices": _frame(MeteredPrices, metered),
        "tiers": _frame(Tiers, tiers),
        "benefits": _frame(Benefits, benefits),
    }


def _fixed_row(price: FixedPrice, currency: str) -> dict[str, Any]:
    return {
        "currency": currency,
        "amount_minor": whole_minor(price.amount, currency),
        "in_advance": price.billed == "in_advance",
    }


def _metered_row(price: UnitPrice | TieredPrice, currency: str) -> dict[str, Any]:
    return {
        "meter": price.meter,
        "currency": currency,
        "volume": price.kind == "volume",
        "included": price.included,
        "cap_minor": None if price.cap is None else whole_minor(price.cap, currency),
    }


def _tier_rows(price: UnitPrice | TieredPrice, currency: str) -> Rows:
    rows: Rows = []
    over = Decimal(0)
    for tier in _tiers(price):
        rows.append(
            {
                "over": over,
                "up_to": tier.up_to,
                "unit_amount_minor": unit_amount_minor(tier.amount, price.per, currency),
                "flat_amount_minor": unit_amount_minor(tier.flat, Decimal(1), currency),
            }
        )
        over = tier.up_to if tier.up_to is not None else over
    return rows


def _tiers(price: UnitPrice | TieredPrice) -> tuple[Tier, ...]:
    match price:
        case UnitPrice(amount=amount):
            return (Tier(amount=amount),)
        case TieredPrice(tiers=tiers):
            return tiers
        case _:
            assert_never(price)


def _frame(table: type[dy.Schema], rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=schema_of(table), orient="row")
