"""Lago's aggregations, rounding of units, and charge filters (rules 2.1, 2.2, 2.6 and 4.6)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from meterhouse.catalog import Aggregation, Product
from meterhouse.landing import settle
from tests.conformance.adapters.calendars import AN_INSTANT, Row, instant_of
from tests.conformance.adapters.meters import CLOCK, CUSTOMER, always, land, measure, measure_by_group
from tests.conformance.adapters.money import lago_rounding, rounded
from tests.conformance.adapters.prices import price_one
from tests.conformance.cases import Case

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import polars as pl

_FUNCTIONS: Final = {
    "count": "count",
    "sum": "sum",
    "max": "max",
    "latest": "last",
    "unique_count": "unique",
    "weighted_sum": "weighted_sum",
    "sum_prorated": "sum",
    "unique_count_prorated": "unique",
}
_ROUNDED: Final = {"ceil": "up", "floor": "down", "round": "half"}
_PRECISE: Final = "precise_total_amount_cents"
_EVERY_VALUE: Final = ["*"]
_TOTAL: Final = {"func": "sum", "property": "value", "numeric_text": "count"}


def _aggregation(case: Case) -> Row:
    config = case.given["config"]
    refused = _refused(case)
    if refused is not None:
        return {"error": refused}
    for name, answered in (("group_by", "groups"), ("breakdown_by", "breakdown")):
        if config.get(name):
            return {answered: _groups(case, config[name])}
    usage = _measured(case, _meter(case))
    answer = {"value": usage["quantity"], "events_count": usage["events"]}
    if _PRECISE in case.expect:
        answer[_PRECISE] = _measured(case, _sum_of(_PRECISE, case))["quantity"]
    if "variation" in case.expect:
        answer["variation"] = _measured(case, _sum_of(config["field"], case))["quantity"]
        answer["total"] = _measured(case, _sum_of(config["field"], case, carry_over=True))["quantity"]
    if "price" in config:
        priced = price_one({"kind": "unit", "amount": config["price"]}, usage["quantity"], "USD")
        answer["amount_cents"] = rounded(priced.charge["amount_minor_unrounded"])
    return answer


def _refused(case: Case) -> str | None:
    """What the product says to a configuration that it does not take."""
    config = case.given["config"]
    price: Row = {"id": "price", "kind": "unit", "meter": "meter", "amount": "1"}
    try:
        if config.get("prorated") or case.given["aggregation"] not in _FUNCTIONS:
            function = _FUNCTIONS.get(case.given["aggregation"], case.given["aggregation"])
            Aggregation.model_validate({"func": function, "property": "value", "prorated": True})
        if str(config.get("mode")).startswith("pay_in_advance") or config.get("pay_in_advance_current_usage"):
            Product.model_validate({"prices": [{**price, "billed": "in_advance"}]})
    except ValidationError as refused:
        return str(refused)
    return None


def _meter(case: Case) -> Row:
    config = case.given["config"]
    function = _FUNCTIONS[case.given["aggregation"]]
    aggregation: Row = {"func": function}
    if function != "count":
        aggregation["property"] = config["field"]
    if function not in ("count", "unique"):
        aggregation["numeric_text"] = "count"
    if config.get("recurring") or "initial_value" in case.given["input"]:
        aggregation["carry_over"] = True
    if config.get("rounding_function"):
        aggregation["rounding"] = _rounding(config)
    return {"aggregation": aggregation, "filter": _filter(config.get("matching_filters", {}))}


def _sum_of(field: str, case: Case, **options: Any) -> Row:
    return {**_meter(case), "aggregation": {"func": "sum", "property": field, "numeric_text": "count", **options}}


def _rounding(config: Row) -> Row:
    return {
        "direction": _ROUNDED[config["rounding_function"]],
        "to": Decimal(1).scaleb(-(config["rounding_precision"] or 0)),
    }


def _groups(case: Case, group_by: list[str]) -> list[Row]:
    """Lago's groups have no order: here they stand in the case's."""
    (named,) = (answer for answer in case.expect.values() if isinstance(answer, list))
    order = [row["group"] for row in named]
    found = measure_by_group({**_meter(case), "group_by": group_by}, *_given(case))
    groups = [
        {"group": row["group"], "value": row["quantity"], "events_count": row["events"]}
        for row in sorted(found, key=lambda row: (row["group"] not in order, str(row["group"])))
    ]
    return sorted(groups, key=lambda row: order.index(row["group"]) if row["group"] in order else len(order))


def _measured(case: Case, meter: Row) -> Row:
    """The quantity of the case's period."""
    events, period = _given(case)
    return measure(meter, events, [period], _KNOWN)[0]


def _given(case: Case) -> tuple[pl.LazyFrame, tuple[str, datetime, datetime]]:
    """The case's events and its period; Lago names the last instant within it."""
    given = case.given["input"]
    start, end = instant_of(given["period"]["from"]), instant_of(given["period"]["to"]) + AN_INSTANT
    sent = [_sent(event) for event in given["events"]]
    if "initial_value" in given:
        # What earlier periods left is what their events left.
        before = {case.given["config"]["field"]: given["initial_value"]}
        sent.append({"name": "event", "timestamp": (start - timedelta(days=1)).isoformat(), "metadata": before})
    events = land(sent)
    if "deduplicate_on" in case.given["config"]:
        received = events.collect()
        events = settle(received, received.clear(), CLOCK).events.lazy()
    return events, (CUSTOMER, start, end)


def _sent(event: Row) -> Row:
    known = {"event_id": event["transaction_id"]} if "transaction_id" in event else {}
    precise = {_PRECISE: event[_PRECISE]} if _PRECISE in event else {}
    return {"name": "event", "timestamp": event["timestamp"], "metadata": {**event["properties"], **precise}, **known}


def _filter(values: dict[str, list[str]]) -> Row:
    return {
        "clauses": [{"property": name, "operator": "in", "value": accepted} for name, accepted in values.items()],
    }


def _rounding_case(case: Case) -> Row:
    """Units are rounded by the meter, amounts as all amounts are."""
    if case.given.get("aggregation") != "unit_rounding":
        return lago_rounding(case)
    config = case.given["config"]
    aggregation: Row = {"func": "sum", "property": "units", "numeric_text": "count"}
    if config["rounding_function"]:
        aggregation["rounding"] = _rounding(config)
    sent = [{"name": "event", "metadata": case.given["input"]}]
    usage = measure({"aggregation": aggregation}, sent, [always(CUSTOMER)], _KNOWN)
    return {"units": usage[0]["quantity"]}


# --- Charge filters: a meter of its own for each ----------------------------------------------------------------------


def _matching(case: Case) -> Row:
    """Each filter is a meter; an event counts in every one that matches."""
    event = {"name": "event", "metadata": case.given["input"]["event"]}
    matched = [
        rule["name"]
        for rule in case.given["config"]["filters"]
        if _used(rule, case, {"func": "count"}, [event])["events"]
    ]
    return {"filter": matched[0] if len(matched) == 1 else matched or None}


def _buckets(case: Case) -> Row:
    """Each filter is a meter with a price; what no filter takes is a meter, where one filter has to be left out."""
    config = case.given["config"]
    events = [{"name": "event", "metadata": event} for event in case.given["input"]["events"]]
    if "fees" in case.expect:
        return _fees(case, events)
    priced = {
        rule["name"]: (_used(rule, case, _TOTAL, events), rule["amount"])
        for rule in [*config["filters"], {"name": "__default__", "amount": config["default_amount"]}]
    }
    buckets = {name: _bucket(usage, amount) for name, (usage, amount) in priced.items()}
    return {"buckets": buckets, "total_amount_cents": sum(bucket["amount_cents"] for bucket in buckets.values())}


def _bucket(usage: Row, amount: str) -> Row:
    charge = price_one({"kind": "unit", "amount": amount}, usage["quantity"], "USD").charge
    return {
        "units": usage["quantity"],
        "events_count": usage["events"],
        "amount_cents": rounded(charge["amount_minor_unrounded"]),
    }


def _fees(case: Case, events: list[Row]) -> Row:
    """One fee for each filter and group; what no filter takes is not grouped."""
    config = case.given["config"]
    fees = []
    for rule in [*config["filters"], {"name": None, "amount": config["default_amount"]}]:
        meter = {"aggregation": _TOTAL, "filter": _taken(rule, case), "group_by": rule.get("pricing_group_keys", [])}
        found = measure_by_group(meter, events, always(CUSTOMER)) if meter["group_by"] else []
        whole = [] if found else measure(meter, events, [always(CUSTOMER)], _KNOWN)
        fees += [
            {"bucket": rule["name"], "group": usage.get("group", {}), **_bucket(usage, rule["amount"])}
            for usage in [*found, *whole]
        ]
    order = [(fee["bucket"], fee["group"]) for fee in case.expect["fees"]]
    fees.sort(key=lambda fee: order.index((fee["bucket"], fee["group"])))
    return {"fees": fees, "total_amount_cents": sum(fee["amount_cents"] for fee in fees)}


def _used(rule: Row, case: Case, aggregation: Row, events: list[Row]) -> Row:
    meter = {"aggregation": aggregation, "filter": _taken(rule, case)}
    return measure(meter, events, [always(CUSTOMER)], _KNOWN)[0]


def _taken(rule: Row, case: Case) -> Row:
    """The filter of a bucket."""
    config = case.given["config"]
    declared = config["metric_filters"]
    accepted = {
        name: declared[name] if values == _EVERY_VALUE else values for name, values in rule.get("values", {}).items()
    }
    return _filter(accepted) if accepted else _left_out(config["filters"], declared)


def _left_out(filters: list[Row], declared: dict[str, list[str]]) -> Row:
    """Whatever no filter takes: for each of them, some property that has none of its values."""
    return {
        "clauses": [
            {
                "conjunction": "or",
                "clauses": [_none_of(name, values, declared) for name, values in rule["values"].items()],
            }
            for rule in filters
        ]
    }


def _none_of(name: str, values: list[str], declared: dict[str, list[str]]) -> Row:
    return {"property": name, "operator": "not_in", "value": declared[name] if values == _EVERY_VALUE else values}


def _filters(case: Case) -> Row:
    return _matching(case) if case.given["model"] == "charge_filter_match" else _buckets(case)


_KNOWN: Final = {CUSTOMER: CUSTOMER}

ADAPTERS: Final[dict[tuple[str, str], Callable[[Case], Any]]] = {
    ("lago", "aggregation"): _aggregation,
    ("lago", "rounding"): _rounding_case,
    ("lago", "filters"): _filters,
}
