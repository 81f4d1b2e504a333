"""Lago's aggregations (rule 2.2)."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from tests.conformance.adapters.calendars import AN_INSTANT, Row, instant_of
from tests.conformance.adapters.meters import CUSTOMER, measure
from tests.conformance.adapters.money import rounded
from tests.conformance.adapters.prices import price_one
from tests.conformance.cases import Case, NotCovered

if TYPE_CHECKING:
    from collections.abc import Callable

_FUNCTIONS: Final = {"count": "count", "sum": "sum", "max": "max", "latest": "last", "unique_count": "unique"}
_ANSWERED: Final = {"value", "events_count", "amount_cents"}
_CONFIGURED: Final = {"field", "recurring", "matching_filters", "price"}
_MISSING: Final = {
    "group_by": "quantities by group",
    "breakdown_by": "quantities by group",
    "recurring": "recurring meters",
    "deduplicate_on": "other identities of events",
    "rounding_function": "rounding of quantities",
    "mode": "usage in advance",
}


def _aggregation(case: Case) -> Row:
    config, given = case.given["config"], case.given["input"]
    _refuse_what_is_missing(case)
    function, field = _FUNCTIONS[case.given["aggregation"]], config.get("field")
    aggregation = {"func": function} if function == "count" else {"func": function, "property": field}
    meter = {"aggregation": aggregation, "filter": _filter(config.get("matching_filters", {}))}
    period = (CUSTOMER, instant_of(given["period"]["from"]), instant_of(given["period"]["to"]) + AN_INSTANT)
    events = [_sent(event, field if function in ("sum", "max", "last") else None) for event in given["events"]]
    usage = measure(meter, events, [period], {CUSTOMER: CUSTOMER})[0]
    answer = {"value": usage["quantity"], "events_count": usage["events"]}
    if "price" in config:
        priced = price_one({"kind": "unit", "amount": config["price"]}, usage["quantity"], "USD")
        answer["amount_cents"] = rounded(priced.charge["amount_minor_unrounded"])
    return answer


def _refuse_what_is_missing(case: Case) -> None:
    config = case.given["config"]
    if case.given["aggregation"] not in _FUNCTIONS:
        missing = f"the aggregation {case.given['aggregation']}"
        raise NotCovered(missing)
    used = {name for name, value in config.items() if value and not (name in _CONFIGURED and name != "recurring")}
    if used or not case.expect.keys() <= _ANSWERED:
        reasons = [reason for name, reason in _MISSING.items() if name in used]
        missing = reasons[0] if reasons else "what is charged per event"
        raise NotCovered(missing)


def _filter(values: dict[str, list[str]]) -> Row:
    return {
        "conjunction": "and",
        "clauses": [
            {
                "conjunction": "or",
                "clauses": [{"property": name, "operator": "eq", "value": value} for value in accepted],
            }
            for name, accepted in values.items()
        ],
    }


def _sent(event: Row, number: str | None) -> Row:
    """An event; the cases write numbers as text, so that what is summed is a number again."""
    properties = {name: _number(value) if name == number else value for name, value in event["properties"].items()}
    return {"name": "event", "timestamp": event["timestamp"], "metadata": properties}


def _number(value: Any) -> Any:
    try:
        return Decimal(value)
    except (InvalidOperation, TypeError):
        return value


ADAPTERS: Final[dict[tuple[str, str], Callable[[Case], Any]]] = {("lago", "aggregation"): _aggregation}
