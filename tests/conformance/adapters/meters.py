"""Events to quantities: filters and aggregations (rule 2)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl
from pydantic import ValidationError

from meterhouse.catalog import Aggregation, Clause, Filter, Meter, Settings
from meterhouse.catalog.rows import meter_rows
from meterhouse.landing import Batch, Origin, read_records
from meterhouse.metering import (
    EventProperties,
    cuts_within_days,
    matches,
    measure_daily,
    measure_groups,
    measure_over_customers,
    measure_periods,
)
from meterhouse.tables import BillingPeriods, Customers, Subscriptions, Usage, empty, schema_of
from tests.conformance.adapters.calendars import Row, instant_of
from tests.conformance.adapters.prices import price_one
from tests.conformance.cases import Case, NotCovered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FIRST_DAY: Final = datetime(2025, 1, 1, tzinfo=UTC)
A_DAY: Final = timedelta(days=1)
CLOCK: Final = datetime(2030, 1, 1, tzinfo=UTC)

_SETTINGS: Final = Settings(name="conformance", missing_customer="unattributed", past_limit_days=36500)
_json: Final = msgspec.json.Encoder(decimal_format="number").encode
CUSTOMER: Final = "c"
_METER: Final = ("filter", "aggregation", "group_by")
_FIELDS: Final = ("event_id", "name", "metadata", "timestamp", "external_customer_id")


def read(records: Iterable[bytes]) -> Batch:
    """Read JSON records, as those of a file."""
    return read_records(records, Origin("file", "events.jsonl", _SETTINGS, CLOCK))


def land(events: list[Row]) -> pl.LazyFrame:
    """Land a peer's events: each has a `name`, else what it needs is added."""
    batch = read(_json(_sent(event, place)) for place, event in enumerate(events))
    if not batch.rejected.is_empty():
        message = f"{batch.rejected['explanation'].to_list()}"
        raise ValueError(message)
    return batch.events.lazy()


def _sent(event: Row, place: int) -> Row:
    customer = {} if "external_customer_id" in event else {"customer_id": event.get("customer", CUSTOMER)}
    given: Row = {name: event[name] for name in _FIELDS if name in event}
    return {"event_id": str(place), "timestamp": FIRST_DAY.isoformat(), **customer, **given}


def measure(
    meter: Row,
    events: list[Row] | pl.LazyFrame,
    periods: list[tuple[str, datetime, datetime]],
    customers: dict[str, str],
) -> list[Row]:
    """Measure each period (customer, start, end), in order. `meter` is written as in a catalog."""
    usage = measure_periods(*_measured(meter, events, periods, customers))
    return usage.sort("cycle").collect().to_dicts()


def measure_by_group(meter: Row, events: list[Row] | pl.LazyFrame, period: tuple[str, datetime, datetime]) -> list[Row]:
    """Measure the groups of a period of one customer: each with its `group`."""
    usage = measure_groups(*_measured(meter, events, [period], {CUSTOMER: CUSTOMER})).sort("group_json")
    return [{**row, "group": json.loads(row["group_json"])} for row in usage.collect().to_dicts()]


def _measured(
    meter: Row,
    events: list[Row] | pl.LazyFrame,
    periods: list[tuple[str, datetime, datetime]],
    customers: dict[str, str],
) -> tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame]:
    """Daily states, the periods, and the meter, as the engine takes them."""
    definitions = {"meter": Meter.model_validate({name: meter[name] for name in _METER if name in meter})}
    landed = events if isinstance(events, pl.LazyFrame) else land(events)
    people = [{"customer_id": own, "external_id": sent, "name": own} for own, sent in customers.items()]
    cycles = pl.LazyFrame(
        [
            {
                "subscription_id": f"s{cycle}",
                "cycle": cycle,
                "customer_id": customer,
                "product": "p",
                "period_start": start,
                "period_end": end,
                "is_last": False,
            }
            for cycle, (customer, start, end) in enumerate(periods)
        ],
        schema=schema_of(BillingPeriods),
    )
    known = pl.LazyFrame(people, schema=schema_of(Customers))
    daily = measure_daily(landed, definitions, known, empty(Subscriptions), cuts_within_days(cycles))
    return daily, cycles.with_columns(meter=pl.lit("meter")), meter_rows(definitions).lazy()


def always(customer: str) -> tuple[str, datetime, datetime]:
    """Return a period of a customer that holds every event."""
    return customer, datetime(2000, 1, 1, tzinfo=UTC), CLOCK


# --- Kinds ------------------------------------------------------------------------------------------------------------


def _filter(case: Case) -> Row:
    events = land(case.given["events"])
    rule = Filter.model_validate(case.given["filter"])
    matched = events.select("position", matched=matches(rule, EventProperties(events.collect_schema().names())))
    return {"matched": matched.sort("position").collect()["matched"].to_list()}


def _filter_value(case: Case) -> Row:
    try:
        Clause(property="value", operator="eq", value=case.given["value"])
    except ValidationError:
        return {"valid": False}
    return {"valid": True}


def _quantity(case: Case) -> Row:
    """The quantity of one customer, or of all events where the case asks for none."""
    events, query = case.given["events"], case.given.get("query")
    if query is None:
        events = [{name: value for name, value in event.items() if "customer" not in name} for event in events]
        query = {"customer_id": CUSTOMER}
    if not isinstance(query.get("customer_id"), str):
        missing = "a quantity of some customers together"
        raise NotCovered(missing)
    customers = {row["id"]: row["external_id"] for row in case.given.get("customers", [])}
    customers.setdefault(query["customer_id"], query["customer_id"])
    usage = measure(case.given, events, [always(query["customer_id"])], customers)
    return {"quantity": usage[0]["quantity"]}


def _quantities_by_day(case: Case) -> Row:
    days = case.given["events_by_day"]
    starts = [FIRST_DAY + A_DAY * day for day in range(len(days))]
    events = [
        {**event, "timestamp": start.isoformat()}
        for start, of_day in zip(starts, days, strict=True)
        for event in of_day
    ]
    periods = [(CUSTOMER, start, start + A_DAY) for start in starts]
    usage = measure(case.given, events, [*periods, always(CUSTOMER)], {CUSTOMER: CUSTOMER})
    *by_day, total = [row["quantity"] for row in usage]
    return {"by_day": by_day, "total": total}


def _quantity_over_customers(case: Case) -> Row:
    names = sorted({event["customer"] for event in case.given["events"]})
    usage = measure(case.given, case.given["events"], [always(name) for name in names], {name: name for name in names})
    frame = pl.LazyFrame(usage, schema=schema_of(Usage))
    over = measure_over_customers(frame, case.given["customer_aggregation"]).collect()["quantity"]
    return {"quantity": None if over.is_empty() else over[0]}


def _accepts(case: Case) -> Row:
    usage = measure(case.given, [case.given["event"]], [always(CUSTOMER)], {CUSTOMER: CUSTOMER})
    return {"accepted": usage[0]["events"] == 1}


def _summable(case: Case) -> Row:
    return {"summable": Aggregation.model_validate(case.given["aggregation"]).is_summable()}


def _convert(case: Case) -> Row:
    """A quantity in units of a factor is what a price of 1 for so many comes to, in a currency without minor units."""
    unit = case.given["unit_config"]
    factor = Decimal(unit["factor"])
    aggregation: Row = {"func": "sum", "property": "value", "numeric_text": "count"}
    if unit["rounding"] != "none":
        to = factor.scaleb(-unit["precision"])
        aggregation["rounding"] = {"direction": _DIRECTIONS[unit["rounding"]], "to": to}
    price = {"amount": "1", "per": factor} if unit["operation"] == "divide" else {"amount": factor}
    sent = [{"name": "event", "metadata": {"value": case.given["quantity"]}}]
    usage = measure({"aggregation": aggregation}, sent, [always(CUSTOMER)], {CUSTOMER: CUSTOMER})
    converted = price_one({"kind": "unit", **price}, usage[0]["quantity"], "JPY").charge["amount_minor_unrounded"]
    return {"billed_quantity": converted, "exact_quantity": converted}


_DIRECTIONS: Final = {"floor": "down", "ceiling": "up", "half_up": "half"}


def _rollup(case: Case) -> Row:
    """Kill Bill sums what was recorded per day and unit; records are events here."""
    sent = [
        {"name": record["unit"], "timestamp": record["at"], "metadata": {"amount": record["amount"]}}
        for record in case.given["records"]
    ]
    period = (CUSTOMER, instant_of(case.given["from"]), instant_of(case.given["to"]))
    return {
        unit: measure(_amounts_of(unit), sent, [period], {CUSTOMER: CUSTOMER})[0]["quantity"]
        for unit in sorted({record["unit"] for record in case.given["records"]})
    }


def _amounts_of(unit: str) -> Row:
    return {
        "aggregation": {"func": "sum", "property": "amount", "numeric_text": "count"},
        "filter": {"clauses": [{"property": "name", "operator": "eq", "value": unit}]},
    }


ADAPTERS: Final[dict[tuple[str, str], Callable[[Case], Any]]] = {
    ("killbill", "usage.rollup"): _rollup,
    ("openmeter", "quantity.convert"): _convert,
    ("polar", "meter.filter"): _filter,
    ("polar", "meter.filter_value_validation"): _filter_value,
    ("polar", "meter.quantity"): _quantity,
    ("polar", "meter.quantities_by_day"): _quantities_by_day,
    ("polar", "meter.quantity_over_customers"): _quantity_over_customers,
    ("polar", "meter.aggregation_accepts"): _accepts,
    ("polar", "meter.aggregation_summable"): _summable,
}
