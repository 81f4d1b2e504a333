"""Records to events: what is refused, what is a resend (rule 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meterhouse.landing import settle
from tests.conformance.adapters.calendars import Row
from tests.conformance.adapters.meters import CLOCK, CUSTOMER, FIRST_DAY, always, measure, read
from tests.conformance.cases import Case, NotCovered

if TYPE_CHECKING:
    from collections.abc import Callable


def _dedupe(case: Case) -> Row:
    """OpenMeter's events are CloudEvents: `id`, `source`, `type`."""
    records = [
        b'{"event_id": "%b", "source": "%b", "name": "%b", "customer_id": "c", "timestamp": "%b"}'
        % tuple(text.encode() for text in (event["id"], event["source"], event["type"], FIRST_DAY.isoformat()))
        for event in case.given["events"]
    ]
    batch = read(records)
    kept = settle(batch.events, batch.events.clear(), CLOCK).events
    return {"kept_indexes": [position - 1 for position in sorted(kept["position"].to_list())]}


def _parse(case: Case) -> Row:
    """OpenMeter refuses an event whose value it cannot use; here it is landed, and skipped by the meter."""
    meter = case.given["meter"]
    record = b'{"event_id": "1", "name": "%b", "customer_id": "%b", "timestamp": "%b", "metadata": %b}' % tuple(
        text.encode() for text in (meter["event_type"], CUSTOMER, FIRST_DAY.isoformat(), case.given["data"])
    )
    batch = read([record])
    if not batch.rejected.is_empty():
        return {"error": batch.rejected["explanation"][0]}
    aggregation = {"func": meter["aggregation"]}
    if "value_property" in meter:
        aggregation["property"] = meter["value_property"].removeprefix("$.")
    usage = measure({"aggregation": aggregation}, batch.events.lazy(), [always(CUSTOMER)], {CUSTOMER: CUSTOMER})[0]
    if usage["skipped"]:
        return {"error": "skipped, and counted as such"}
    if meter.get("group_by"):
        missing = "quantities by group"
        raise NotCovered(missing)
    return {"value": usage["quantity"], "group_by": {}}


ADAPTERS: Final[dict[tuple[str, str], Callable[[Case], Any]]] = {
    ("openmeter", "event.dedupe"): _dedupe,
    ("openmeter", "event.parse"): _parse,
}
