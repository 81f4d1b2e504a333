"""Where meterhouse means to differ from a peer: a rule on the case, the reason, and the book's rule.

Never a list of ids: the same rule must hold for cases that nobody has looked at. A case that a rule names and that does
not differ fails the run.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.conformance.adapters.calendars import instant_of, is_off_the_grid
from tests.conformance.adapters.lago_periods import (
    names_a_fee_after_the_end,
    names_no_period_that_is_over,
    names_periods_that_it_does_not_bill,
)

if TYPE_CHECKING:
    from tests.conformance.cases import Case


class Deviation(NamedTuple):
    """A difference that is meant, among the cases of one kind of one peer."""

    peer: str
    kind: str
    rule: str
    reason: str
    condition: Callable[[Case], bool]
    fields: tuple[str, ...] = ()
    """The answers that may differ; all others have to be the peer's. None: any may."""

    def allows(self, difference: str) -> bool:
        """Whether a difference is in what may differ."""
        return not self.fields or difference.partition(":")[0].partition(".")[0] in self.fields

    def applies(self, case: Case) -> bool:
        """Whether this rule names a case."""
        return (case.peer, case.kind) == (self.peer, self.kind) and self.condition(case)


def _is_above_the_last_tier(case: Case) -> bool:
    price = case.given["price"]
    if price["model"] != "volume":
        return False
    last = price["tiers"][-1]["up_to"]
    return last is not None and Decimal(case.given["quantity"]) > Decimal(last)


def _is_negative_in_tiers(case: Case) -> bool:
    return "tiers" in case.given["price"] and Decimal(case.given["quantity"]) < 0


def _has_a_day_without_quantity(case: Case) -> bool:
    return case.given["aggregation"]["func"] in ("max", "min", "avg", "last") and [] in case.given["events_by_day"]


def _is_unique_of_nothing(case: Case) -> bool:
    aggregation, event = case.given["aggregation"], case.given["event"]
    return aggregation["func"] == "unique" and aggregation["property"] not in event["metadata"]


def _is_beyond_32_bits(case: Case) -> bool:
    value = case.given["value"]
    return isinstance(value, int) and not -(2**31) <= value < 2**31 and abs(value) < 10**15


def _compares_text_with_a_number(case: Case) -> bool:
    """Whether Polar's evaluator in Python meets a text and a value that is none, which compare as texts here."""
    return case.given["evaluated_by"] == "python" and any(
        _holds_for_texts_only(clause["operator"], text, clause["value"])
        for clause in case.given["filter"]["clauses"]
        for event in case.given["events"]
        for name, text in {"name": event["name"], **event["metadata"]}.items()
        if name == clause["property"] and isinstance(text, str) and not isinstance(clause["value"], str)
    )


def _holds_for_texts_only(comparison: str, text: str, value: object) -> bool:
    if comparison not in _COMPARISONS:
        return False
    as_text = str(value).lower() if isinstance(value, bool) else str(value)
    return _COMPARISONS[comparison](text, as_text) != (comparison == "ne")


_COMPARISONS: Final[dict[str, Callable[[str, str], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def _comes_in_after_a_reset(case: Case) -> bool:
    """Whether usage that occurred before a reset was received after it."""
    events = case.given["events"]
    resets = [event["timestamp"] for event in events if event["type"] == "reset"]
    return any(
        event["timestamp"] < reset <= event["ingested_at"]
        for event in events
        if event["type"] == "usage"
        for reset in resets
    )


def _is_the_largest_or_last_of_nothing(case: Case) -> bool:
    return case.given["aggregation"] in ("max", "latest") and case.expect.get("events_count") == 0


def _is_in_advance(config: dict[str, Any]) -> bool:
    return str(config.get("mode")).startswith("pay_in_advance") or bool(config.get("pay_in_advance_current_usage"))


def _removes_a_value(case: Case) -> bool:
    removed = [
        event["properties"]
        for event in case.given["input"]["events"]
        if event["properties"].get("operation_type") == "remove"
    ]
    return case.given["aggregation"] == "unique_count" and bool(removed)


def _is_a_level_of_a_cut_period(case: Case) -> bool:
    period = case.given["input"]["period"]
    return case.given["aggregation"] == "weighted_sum" and instant_of(period["to"]) - instant_of(
        period["from"]
    ) < timedelta(days=period["days"] - 1)


def _matches_several_filters(case: Case) -> bool:
    declared = case.given["config"]["metric_filters"]
    given = case.given["input"]
    accepting = [
        {name: declared[name] if values == ["*"] else values for name, values in rule["values"].items()}
        for rule in case.given["config"]["filters"]
    ]
    return any(
        sum(all(str(event.get(name)) in values for name, values in rule.items()) for rule in accepting) > 1
        for event in given.get("events", [given.get("event")])
    )


DEVIATIONS: Final = (
    Deviation(
        "killbill",
        "usage.rollup",
        "3.4",
        "Kill Bill counts usage at the instant of a cancellation in the period that it ends; here every interval is "
        "half-open, without exception",
        lambda case: any(record["at"] == case.given["to"] for record in case.given["records"]),
    ),
    Deviation(
        "openmeter",
        "event.parse",
        "2.3",
        "OpenMeter's group of what is missing is the empty text; here it is null, a group of its own",
        lambda case: "" in case.expect.get("group_by", {}).values(),
        fields=("group_by",),
    ),
    Deviation(
        "lago",
        "aggregation",
        "7.1",
        "Lago bills a charge in advance event by event, or shows it as if; here usage is billed when its period is "
        "over, and a metered price in advance is refused",
        lambda case: _is_in_advance(case.given["config"]),
    ),
    Deviation(
        "lago",
        "aggregation",
        "2.2",
        "Lago prorates sums and unique values by days, and rounds up to 5 places; here what lasts is a level, "
        "`weighted_sum`, over real seconds, and other aggregations refuse to be prorated",
        lambda case: bool(case.given["config"].get("prorated")),
    ),
    Deviation(
        "lago",
        "aggregation",
        "2.2",
        "Lago runs a program of its user for each event; here aggregations are a closed set, and others are refused",
        lambda case: case.given["aggregation"] == "custom",
    ),
    Deviation(
        "lago",
        "aggregation",
        "2.2",
        "Lago takes an event as the removal of a unique value; here a value that was there counts",
        _removes_a_value,
    ),
    Deviation(
        "lago",
        "aggregation",
        "2.2",
        "Lago divides a level by the seconds of the whole calendar period although the subscription began within it; "
        "here by the real seconds of the period",
        _is_a_level_of_a_cut_period,
    ),
    Deviation(
        "lago",
        "aggregation",
        "2.2",
        "Lago keeps what earlier periods left apart from events; here it is what their events left, which count",
        lambda case: "events_count" in case.expect and Decimal(case.given["input"].get("initial_value", 0)) != 0,
        fields=("events_count",),
    ),
    Deviation(
        "lago",
        "aggregation",
        "2.6",
        "Lago also tells what stood after each event, or what each event brought; here quantities are of periods",
        lambda case: bool(case.expect.keys() & {"running_total", "per_event"}),
        fields=("running_total", "per_event"),
    ),
    Deviation(
        "lago",
        "filters",
        "2.1",
        "Lago gives an event to the one filter with most keys, or to the oldest of equal ones; here each filter is a "
        "meter, and an event counts in every meter that it matches",
        _matches_several_filters,
    ),
    Deviation(
        "lago",
        "aggregation",
        "2.2",
        "Lago's max of nothing is 0; here max and last of nothing have no quantity and bill nothing",
        _is_the_largest_or_last_of_nothing,
    ),
    Deviation(
        "polar",
        "meter.filter",
        "2.1",
        "Polar's Python evaluator finds nothing where a text meets a number; here, as in the SQL that Polar bills "
        "with, a text compares with the value as text",
        _compares_text_with_a_number,
    ),
    Deviation(
        "polar",
        "meter.filter_value_validation",
        "1.7",
        "Polar's numbers have 32 bits; here numbers are below 10^15, as those of events",
        _is_beyond_32_bits,
    ),
    Deviation(
        "polar",
        "meter.quantities_by_day",
        "2.2",
        "Polar shows 0 for a day without events; here max, min, avg and last of nothing have no quantity",
        _has_a_day_without_quantity,
    ),
    Deviation(
        "polar",
        "meter.aggregation_accepts",
        "2.2",
        "Polar counts a missing property as one of the unique values; here a missing value does not count",
        _is_unique_of_nothing,
    ),
    Deviation(
        "polar",
        "credit.meter_balance",
        "3.7",
        "Polar's usage belongs to the period that received it; here to the one that it occurred in",
        _comes_in_after_a_reset,
    ),
    Deviation(
        "polar",
        "price.amount_minor",
        "8.6",
        "Polar stops at a quantity above the last tier; here it is listed as unbilled usage and the run goes on",
        _is_above_the_last_tier,
    ),
    Deviation(
        "polar",
        "price.amount_minor",
        "4.3",
        "Polar stops at a negative quantity in tiers, but bills 0 for it at a unit price; here both bill 0",
        _is_negative_in_tiers,
    ),
    Deviation(
        "flexprice",
        "period.next_start",
        "3.2",
        "Flexprice counts from the current start and takes only the day from the anchor, so that a period off the grid "
        "may last longer than its interval; here every boundary is counted from the anchor",
        is_off_the_grid,
    ),
    Deviation(
        "lago",
        "period",
        "7.1",
        "Lago names a period that begins with the subscription although none is over; here a run closes periods whose "
        "end is at or before its clock",
        names_no_period_that_is_over,
    ),
    Deviation(
        "lago",
        "period",
        "3.4",
        "Lago names the period after the one that a subscription ended in; here no period begins after the end",
        names_a_fee_after_the_end,
    ),
    Deviation(
        "lago",
        "period",
        "7.3",
        "Lago writes empty or foreign periods on an invoice for what it does not bill; here an invoice has a line, "
        "with the line's period, only for what it bills",
        names_periods_that_it_does_not_bill,
    ),
)


def deviation_of(case: Case) -> Deviation | None:
    """Return the deviation that names a case, if any."""
    return next((deviation for deviation in DEVIATIONS if deviation.applies(case)), None)
