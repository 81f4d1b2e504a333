"""Records to events: what is refused, what is a resend (rule 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from meterhouse.landing import settle
from tests.conformance.adapters.calendars import Row
from tests.conformance.adapters.meters import CLOCK, CUSTOMER, FIRST_DAY, always, measure, measure_by_group, read
from tests.conformance.cases import Case

if TYPE_CHECKING:
    from collections.abc import Callable


def _cloud_event(name: str, **attributes: object) -> bytes:
    """OpenMeter's events are CloudEvents."""
    event = {"specversion": "1.0", "id": "1", "source": "test", "type": name, "subject": CUSTOMER, "time": FIRST_DAY}
    return msgspec.json.encode({**event, **attributes})


def _dedupe(case: Case) -> Row:
    records = [_cloud_event(event["type"], id=event["id"], source=event["source"]) for event in case.given["events"]]
    batch = read(records)
    kept = settle(batch.events, batch.events.clear(), CLOCK).events
    return {"kept_indexes": [position - 1 for position in sorted(kept["position"].to_list())]}


def _parse(case: Case) -> Row:
    """OpenMeter refuses an event whose value it cannot use; here it is landed, and skipped by the meter."""
    meter = case.given["meter"]
    batch = read([_cloud_event(meter["event_type"], data=msgspec.Raw(case.given["data"].encode()))])
    if not batch.rejected.is_empty():
        return {"error": batch.rejected["explanation"][0]}
    aggregation = {"func": meter["aggregation"]}
    if "value_property" in meter:
        aggregation["property"] = meter["value_property"].removeprefix("$.")
        aggregation |= {} if meter["aggregation"] in ("count", "unique") else {"numeric_text": "count"}
    usage = measure({"aggregation": aggregation}, batch.events.lazy(), [always(CUSTOMER)], {CUSTOMER: CUSTOMER})[0]
    if usage["skipped"]:
        return {"error": "skipped, and counted as such"}
    by = {name: path.removeprefix("$.") for name, path in meter.get("group_by", {}).items()}
    if not by:
        return {"value": usage["quantity"], "group_by": {}}
    grouped = {"aggregation": aggregation, "group_by": sorted(by.values())}
    (found,) = measure_by_group(grouped, batch.events.lazy(), always(CUSTOMER))
    return {"value": found["quantity"], "group_by": {name: found["group"][held] for name, held in by.items()}}


ADAPTERS: Final[dict[tuple[str, str], Callable[[Case], Any]]] = {
    ("openmeter", "event.dedupe"): _dedupe,
    ("openmeter", "event.parse"): _parse,
}
