"""When periods begin and end (rule 3)."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import ValidationError

from meterhouse.catalog import Product
from meterhouse.invoicing import billing_periods
from meterhouse.periods import grid_periods
from meterhouse.tables import Subscriptions, schema_of
from tests.conformance.cases import Case, NotCovered

if TYPE_CHECKING:
    from collections.abc import Callable

Row = dict[str, Any]

INSTANT: Final = pl.Datetime("us", "UTC")
AN_INSTANT: Final = timedelta(microseconds=1)

_INTERVALS: Final = {"D": "day", "W": "week", "M": "month", "Y": "year"}
_INTERVAL_MONTHS: Final = {"P1M": 1, "P3M": 3, "P6M": 6, "P1Y": 12}


def interval_of(duration: str) -> tuple[str, int]:
    """Read an ISO 8601 duration, `P3M`, as interval and count."""
    found = re.fullmatch(r"P(\d+)([DWMY])", duration)
    if found is None:
        missing = f"intervals like {duration}"
        raise NotCovered(missing)
    return _INTERVALS[found[2]], int(found[1])


def instant_of(text: str) -> datetime:
    """Read an instant, or a date as its midnight in UTC."""
    instant = datetime.fromisoformat(text)
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


def grid_between(grid: Row, first: datetime, last: datetime) -> list[Row]:
    """Periods of a grid (`interval`, `interval_count`, `anchor`, `timezone`) that overlap [first, last), in order."""
    span = {"timezone": "UTC", "interval_count": 1} | grid | {"first": first, "last": last}
    frame = pl.LazyFrame([span], schema_overrides=dict.fromkeys(("anchor", "first", "last"), INSTANT))
    return grid_periods(frame).sort("start").collect().to_dicts()


def cycles_until(subscription: Row, as_of: datetime) -> list[Row]:
    """Cycles of one subscription that began before an instant, in order."""
    rest = {
        "subscription_id": "s",
        "customer_id": "c",
        "product": "p",
        "ends_at": None,
        "end": "at_once",
        "interval_count": 1,
        "timezone": "UTC",
    }
    frame = pl.LazyFrame([rest | subscription], schema=schema_of(Subscriptions))
    return billing_periods(frame, as_of).sort("cycle").collect().to_dicts()


# --- OpenMeter, Flexprice ---------------------------------------------------------------------------------------------


def _containing_anchored(case: Case) -> Row:
    interval, count = interval_of(case.given["interval"])
    at = instant_of(case.given["at"])
    grid = {"interval": interval, "interval_count": count, "anchor": instant_of(case.given["anchor"])}
    period = grid_between(grid, at, at + AN_INSTANT)[0]
    return {"from": period["start"], "to": period["end"]}


def _next_start(case: Case) -> Row:
    interval, count = interval_of(case.given["interval"])
    definition = {
        "interval": interval,
        "interval_count": count * case.given["unit"],
        "prices": [{"id": "fee", "kind": "fixed", "amount": "1"}],
    }
    try:
        Product.model_validate(definition)
    except ValidationError as refused:
        return {"error": str(refused)}
    return {"next": _next_period(case)["end"]}


def _next_period(case: Case) -> Row:
    interval, count = interval_of(case.given["interval"])
    start = instant_of(case.given["current_period_start"])
    grid = {
        "interval": interval,
        "interval_count": count * case.given["unit"],
        "anchor": instant_of(case.given["billing_anchor"]),
        "timezone": case.given["timezone"],
    }
    return grid_between(grid, start, start + AN_INSTANT)[0]


def is_off_the_grid(case: Case) -> bool:
    """Whether a period starts so far off its anchor's grid that a boundary comes before the interval has passed."""
    if "error" in case.expect:
        return False
    interval, count = interval_of(case.given["interval"])
    count *= case.given["unit"]
    zone = ZoneInfo(case.given["timezone"])
    start = instant_of(case.given["current_period_start"]).astimezone(zone)
    end = _next_period(case)["end"].astimezone(zone)
    if interval in ("month", "year"):
        months = (end.year - start.year) * 12 + end.month - start.month
        return bool(months < count * (12 if interval == "year" else 1))
    days = (end.date() - start.date()).days
    return bool(days <= 7 * (count - 1) if interval == "week" else days < count)


def _add_month(case: Case) -> Row:
    start = instant_of(case.given["from"])
    grid = {"interval": "month", "anchor": _on_day(start, case.given["anchor_day"], 1)}
    return {"to": grid_between(grid, start, start + AN_INSTANT)[0]["end"]}


def _month_starts(case: Case) -> Row:
    first, last = instant_of(case.given["from"]), instant_of(case.given["to"])
    anchor = instant_of(case.given["anchor"] or case.given["from"])
    grid = {"interval": "month", "anchor": anchor, "timezone": case.given["timezone"]}
    return {"starts": [period["start"] for period in grid_between(grid, first, last)]}


# --- Meteroid ---------------------------------------------------------------------------------------------------------


def _advance(case: Case) -> Row:
    start = instant_of(case.given["invoice_date"])
    return _bounds(cycles_until(_meteroid_subscription(case, start), start + AN_INSTANT)[-1])


def _arrear(case: Case) -> Row:
    start, end = instant_of(case.given["billing_start"]), instant_of(case.given["invoice_date"])
    return _bounds(_closed(cycles_until(_meteroid_subscription(case, start), end), end)[-1])


def _elapsed(case: Case) -> Row:
    start, at = instant_of(case.given["billing_start"]), instant_of(case.given["at"])
    return {"cycles": len(_closed(cycles_until(_meteroid_subscription(case, start), at), at))}


def _containing_cycle(case: Case) -> Row:
    start = instant_of(case.given["billing_start"])
    at = max(start, instant_of(case.given["at"]))
    return _bounds(cycles_until(_meteroid_subscription(case, start), at + AN_INSTANT)[-1])


def _meteroid_subscription(case: Case, start: datetime) -> Row:
    interval, count = interval_of(case.given["interval"])
    anchor = _on_day(start, case.given["billing_day"], _INTERVAL_MONTHS.get(case.given["interval"], 1))
    return {"started_at": start, "anchor": anchor, "interval": interval, "interval_count": count}


def _closed(cycles: list[Row], at: datetime) -> list[Row]:
    return [cycle for cycle in cycles if cycle["period_end"] <= at]


def _on_day(start: datetime, day: int, step: int) -> datetime:
    """An anchor on a day of the month, in the month of `start` or so many whole steps before, where it has that day."""
    for back in range(12 // step + 1):
        year, month = divmod(start.year * 12 + start.month - 1 - back * step, 12)
        if day <= monthrange(year, month + 1)[1]:
            return datetime(year, month + 1, day, tzinfo=UTC)
    return datetime(start.year, start.month, monthrange(start.year, start.month)[1], tzinfo=UTC)


def _bounds(cycle: Row) -> Row:
    return {"from": cycle["period_start"], "to": cycle["period_end"]}


ADAPTERS: Final[dict[tuple[str, str], Callable[[Case], Any]]] = {
    ("openmeter", "period.containing"): _containing_anchored,
    ("flexprice", "period.next_start"): _next_start,
    ("flexprice", "period.add_month_clamped"): _add_month,
    ("flexprice", "period.month_bucket_starts"): _month_starts,
    ("meteroid", "period.advance"): _advance,
    ("meteroid", "period.arrear"): _arrear,
    ("meteroid", "period.elapsed"): _elapsed,
    ("meteroid", "period.containing"): _containing_cycle,
}
