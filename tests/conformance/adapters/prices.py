"""Quantity and price to amount (rules 4 and 6.2)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl
from pydantic import ValidationError

from meterhouse.catalog import Product
from meterhouse.catalog.rows import product_rows
from meterhouse.invoicing import bill_lines, fees_due
from meterhouse.money import minor_digits
from meterhouse.rating import charge, cover_included, rate
from meterhouse.tables import BilledFees, BillingPeriods, Charges, Meters, Usage, empty, schema_of
from tests.conformance.adapters.calendars import Row, instant_of
from tests.conformance.adapters.money import rounded
from tests.conformance.cases import Case, NotCovered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ZERO: Final = Decimal(0)
PERIOD_END: Final = instant_of("2025-02-01")


class Priced(NamedTuple):
    """What a quantity costs: the row of `Charges`, and those of `RatedSteps`."""

    charge: Row
    steps: list[Row]


def price_quantities(price: Row, quantities: Iterable[Decimal], currency: str) -> list[Priced]:
    """Price each quantity as a cycle of its own. `price` is written as in a catalog, without id, meter and currency."""
    definition = Product.model_validate({"prices": [{"id": "price", "meter": "meter", "currency": currency, **price}]})
    tables = {name: rows.lazy() for name, rows in product_rows({"product": definition}, currency).items()}
    usage, periods = _used(list(quantities))
    billables = cover_included(usage, periods, tables["metered_prices"])
    steps = rate(billables, tables["metered_prices"], tables["tiers"])
    charges = charge(billables, steps, tables["metered_prices"]).sort("cycle").collect().to_dicts()
    rated = steps.sort("cycle", "step").collect().to_dicts()
    return [Priced(row, [step for step in rated if step["cycle"] == row["cycle"]]) for row in charges]


def _used(quantities: list[Decimal]) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    whole = {
        "subscription_id": "s",
        "customer_id": "c",
        "period_start": instant_of("2025-01-01"),
        "period_end": PERIOD_END,
    }
    usage = [
        whole | {"cycle": cycle, "meter": "meter", "quantity": quantity, "events": 1, "skipped": 0}
        for cycle, quantity in enumerate(quantities)
    ]
    periods = [whole | {"cycle": cycle, "product": "product", "is_last": False} for cycle in range(len(quantities))]
    return pl.LazyFrame(usage, schema=schema_of(Usage)), pl.LazyFrame(periods, schema=schema_of(BillingPeriods))


def price_one(price: Row, quantity: str, currency: str) -> Priced:
    """Price one quantity."""
    return price_quantities(price, [Decimal(quantity)], currency)[0]


def _major(amount_minor: Decimal, currency: str) -> Decimal:
    return Decimal(amount_minor).scaleb(-minor_digits(currency))


def _major_text(amount_minor: Any, currency: str) -> str:
    return f"{_major(Decimal(amount_minor or 0), currency):f}"


# --- Polar ------------------------------------------------------------------------------------------------------------


def _polar_amount(case: Case) -> Row:
    currency = case.given.get("currency", "usd")
    try:
        priced = price_one(_polar_price(case.given["price"], currency), case.given["quantity"], currency)
    except ValidationError as refused:
        return {"error": str(refused)}
    return {"amount_minor": rounded(priced.charge["amount_minor_unrounded"])}


def _polar_price(price: Row, currency: str) -> Row:
    cap = price.get("cap_amount_minor")
    capped = {} if cap is None else {"cap": _major_text(cap, currency)}
    if price["model"] == "unit":
        return {"kind": "unit", "amount": _major_text(price["unit_amount_minor"], currency), **capped}
    tiers = [
        {
            "up_to": tier["up_to"],
            "amount": _major_text(tier["unit_amount_minor"], currency),
            "flat": _major_text(tier.get("flat_amount_minor"), currency),
        }
        for tier in price["tiers"]
    ]
    return {"kind": price["model"], "tiers": tiers, **capped}


# --- OpenMeter, Flexprice ---------------------------------------------------------------------------------------------


def catalog_price(price: Row) -> Row:
    """A price of the neutral schema as a catalog writes it."""
    match price:
        case {"minimum_amount": str()}:
            missing = "minimums"
        case {"model": "unit" | "flat_fee", "unit_amount": amount}:
            return {"kind": "unit", "amount": amount} | _cap(price)
        case {"model": "graduated" | "volume" as kind, "tiers": tiers}:
            return {"kind": kind, "tiers": [_catalog_tier(tier) for tier in tiers]} | _cap(price)
        case {"model": model}:
            missing = f"{model} prices"
        case _:
            missing = "a price of this shape"
    raise NotCovered(missing)


def _cap(price: Row) -> Row:
    return {"cap": price["maximum_amount"]} if price.get("maximum_amount") else {}


def _catalog_tier(tier: Row) -> Row:
    return {"up_to": tier["up_to"], "amount": tier.get("unit_amount") or "0", "flat": tier.get("flat_amount") or "0"}


def _total(case: Case) -> Row:
    currency = case.given["currency"]
    priced = price_one(catalog_price(case.given["price"]), case.given["quantity"], currency)
    answer: Row = {"total": _major(priced.charge["amount_minor_unrounded"], currency)}
    if priced.steps:
        last = priced.steps[-1]
        answer["tier_index"] = _tier_index(case.given["price"].get("tiers", []), last)
        answer["effective_unit_amount"] = _major(last["unit_amount_minor"], currency)
    return answer


def _tier_index(tiers: list[Row], step: Row) -> int:
    return sum(tier["up_to"] is not None and Decimal(tier["up_to"]) <= step["over"] for tier in tiers)


def _total_over_buckets(case: Case) -> Row:
    currency = case.given["currency"]
    priced = price_quantities(
        catalog_price(case.given["price"]), map(Decimal, case.given["bucket_quantities"]), currency
    )
    return {"total": sum(_major(each.charge["amount_minor_unrounded"], currency) for each in priced)}


def _find_tier(case: Case) -> Row:
    priced = price_one(catalog_price({"model": "volume", **case.given}), case.given["quantity"], "USD")
    return {"tier_index": _tier_index(case.given["tiers"], priced.steps[0])}


# --- OpenMeter's lines ------------------------------------------------------------------------------------------------


def _lines(case: Case) -> Row:
    given = case.given
    for feature, missing in _LINE_FEATURES.items():
        if given.get(feature):
            raise NotCovered(missing)
    if given["line_mode"] == "mid_period_split" or Decimal(given["prior_quantity"]) != 0:
        missing = "billing a period in several lines"
        raise NotCovered(missing)
    currency = given.get("currency", "USD")
    if given["price"]["model"] == "flat":
        return {
            "lines": [_flat_line(amount_minor, currency) for amount_minor in _fixed_amounts(given["price"], currency)]
        }
    priced = price_one(catalog_price(given["price"]), given["quantity"], currency)
    lines = [line for step in priced.steps for line in _lines_of(step, given["price"]["model"], currency)]
    return {"lines": _with_maximum(lines, priced.charge, currency)}


_LINE_FEATURES: Final = {
    "discounts": "discounts",
    "credits": "money credits",
    "unit_config": "conversion of units",
    "options": "options of a run",
}


def _fixed_amounts(price: Row, currency: str) -> list[int]:
    """Bill one period of a fixed price; OpenMeter's `in_arrears` and `in_advance` are the catalog's."""
    if price.get("minimum_amount") or price.get("maximum_amount"):
        missing = "minimums and maximums of fixed prices"
        raise NotCovered(missing)
    fixed = {"id": "fee", "kind": "fixed", "amount": price["amount"], "billed": price["payment_term"]}
    tables = product_rows({"product": Product.model_validate({"prices": [fixed]})}, currency)
    _, periods = _used([ZERO])
    products, prices = tables["products"].lazy(), tables["fixed_prices"].lazy()
    fees = fees_due(periods, prices, products, empty(BilledFees), PERIOD_END)
    lines = bill_lines(fees, empty(Charges), periods, empty(Meters), PERIOD_END, "half_away_from_zero")
    amounts: list[int] = lines.collect()["amount_minor"].to_list()
    return amounts


def _flat_line(amount_minor: int, currency: str) -> Row:
    amount = _major(Decimal(amount_minor), currency)
    return _line("flat-price", amount, Decimal(1), amount)


def _lines_of(step: Row, model: str, currency: str) -> list[Row]:
    """OpenMeter shows what a tier costs flat, and what its units cost, as two lines."""
    flat, unit = _major(step["flat_amount_minor"], currency), _major(step["unit_amount_minor"], currency)
    names = {
        "unit": ("", "unit-price-usage"),
        "volume": ("volume-flat-price", "volume-tiered-price"),
        "graduated": (
            f"graduated-tiered-{step['step']}-flat-price",
            f"graduated-tiered-{step['step']}-price-usage",
        ),
    }
    flat_name, usage_name = names[model]
    lines = []
    if unit:
        usage_amount = _major(step["amount_minor_unrounded"] - step["flat_amount_minor"], currency)
        lines.append(_line(usage_name, unit, step["quantity"], usage_amount))
    if flat:
        lines.append(_line(flat_name, flat, Decimal(1), flat))
    return lines


def _line(name: str, unit_amount: Decimal, quantity: Decimal, amount: Decimal) -> Row:
    totals = {"amount": amount, "charges": ZERO, "discounts": ZERO, "credits": ZERO, "total": amount}
    return {"ref": name, "unit_amount": unit_amount, "quantity": quantity, "totals": totals}


def _with_maximum(lines: list[Row], charged: Row, currency: str) -> list[Row]:
    """OpenMeter shows what a cap takes off as a discount of the line."""
    over = _major(charged["uncapped_minor_unrounded"] - charged["amount_minor_unrounded"], currency)
    if over and len(lines) > 1:
        missing = "a maximum spread over several lines"
        raise NotCovered(missing)
    for line in lines if over else ():
        line["amount_discounts"] = [{"amount": over, "ref": "maximum-spend"}]
        line["totals"] |= {"discounts": over, "total": line["totals"]["amount"] - over}
    return lines


# --- Meteroid ---------------------------------------------------------------------------------------------------------


def _meteroid_total(case: Case) -> Row:
    currency = case.given["currency"]
    priced = price_one(_meteroid_price(case.given["price"]), case.given["quantity"], currency)
    return {"total": _major(priced.charge["amount_minor_unrounded"], currency)}


def _meteroid_price(price: Row) -> Row:
    """Meteroid's tiers name their first unit; a volume tier ends one unit before the next begins."""
    match price:
        case {"model": "per_unit", "rate": rate_}:
            return {"kind": "unit", "amount": rate_}
        case {"model": "tiered" | "volume" as model, "tiers": tiers}:
            if any(tier.get("flat_cap") for tier in tiers):
                missing = "a cap per tier"
                raise NotCovered(missing)
            firsts = [Decimal(tier["first_unit"]) - (model == "volume") for tier in tiers[1:]]
            catalog_tiers = [
                {"up_to": up_to, "amount": tier["rate"], "flat": tier["flat_fee"] or "0"}
                for tier, up_to in zip(tiers, [*firsts, None], strict=True)
            ]
            return {"kind": "graduated" if model == "tiered" else "volume", "tiers": catalog_tiers}
        case _:
            missing = f"{price['model']} prices"
            raise NotCovered(missing)


# --- Lago -------------------------------------------------------------------------------------------------------------


def _lago_charge(case: Case) -> Row:
    config, given = case.given["config"], case.given["input"]
    if config.get("prorated") or "full_units" in given:
        missing = "proration of units"
        raise NotCovered(missing)
    if "groups" in given:
        missing = "prices per group"
        raise NotCovered(missing)
    match case.given["model"]:
        case "standard":
            priced = price_one({"kind": "unit", "amount": config["amount"]}, given["units"], "USD")
        case "graduated" | "volume" as kind:
            tiers = [_lago_tier(tier) for tier in config["ranges"]]
            priced = price_one({"kind": kind, "tiers": tiers}, given["units"], "USD")
        case "graduated_range":
            return _lago_range(config, given["total_units"])
        case model:
            missing = f"{model.removesuffix('_single_event')} prices"
            raise NotCovered(missing)
    return _lago_answer(priced)


def _lago_answer(priced: Priced) -> Row:
    amount, units = _major(priced.charge["amount_minor_unrounded"], "USD"), priced.charge["billed"]
    return {
        "amount": amount,
        "amount_cents": rounded(priced.charge["amount_minor_unrounded"]),
        # Lago shows the average price of a unit.
        "unit_amount": amount / units if units else ZERO,
        "tiers": [_lago_step(step) for step in priced.steps],
    }


def _lago_range(config: Row, units: str) -> Row:
    """One range alone is the last tier above one that costs nothing."""
    priced = config["range"]
    over = Decimal(priced["from"]) - (0 if config["adjacent"] or Decimal(priced["from"]) == 0 else 1)
    below = [{"up_to": over}] if over else []
    steps = price_one({"kind": "graduated", "tiers": [*below, _lago_tier(priced)]}, units, "USD").steps
    return _lago_step(steps[-1])


def _lago_tier(tier: Row) -> Row:
    return {"up_to": tier["to"], "amount": tier["per_unit_amount"], "flat": tier["flat_amount"]}


def _lago_step(step: Row) -> Row:
    return {
        "units": step["quantity"],
        "per_unit_total": _major(step["amount_minor_unrounded"] - step["flat_amount_minor"], "USD"),
        "total": _major(step["amount_minor_unrounded"], "USD"),
    }


ADAPTERS: Final[dict[tuple[str, str], Callable[[Case], Any]]] = {
    ("polar", "price.amount_minor"): _polar_amount,
    ("flexprice", "price.total"): _total,
    ("flexprice", "price.total_over_buckets"): _total_over_buckets,
    ("openmeter", "price.total"): _total,
    ("openmeter", "price.find_tier"): _find_tier,
    ("openmeter", "price.rate"): _lines,
    ("meteroid", "price.total"): _meteroid_total,
    ("lago", "charge_model"): _lago_charge,
}
