"""Grants, use and rollover of meter credits (rule 5)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from meterhouse.credits import burn_down, carried_over
from meterhouse.tables import Benefits, CreditDemand, CreditsCarried, empty, schema_of
from tests.conformance.adapters.calendars import Row, instant_of
from tests.conformance.adapters.meters import CLOCK, FIRST_DAY, measure
from tests.conformance.cases import Case, NotCovered

if TYPE_CHECKING:
    from collections.abc import Callable

_METER: Final = {"subscription_id": "s", "meter": "meter", "customer_id": "c"}
_NOTHING: Final = Decimal(0)


def _demand(cycle: int, wanted: Decimal, *, is_closed: bool) -> Row:
    """One cycle's demand. Each cycle has a product of its own, so that its grants are those that the case names."""
    return {
        **_METER,
        "cycle": cycle,
        "product": f"p{cycle}",
        "period_start": FIRST_DAY,
        "period_end": CLOCK,
        "is_closed": is_closed,
        "is_last": False,
        "wanted": wanted,
    }


def _benefits(cycle: int, grants: list[Row]) -> list[Row]:
    if any(grant["units"] < 0 for grant in grants):
        missing = "revoking credits"
        raise NotCovered(missing)
    return [
        {
            "product": f"p{cycle}",
            "benefit_id": str(place),
            "meter": "meter",
            "units": Decimal(grant["units"]),
            "rollover": grant["rollover"],
            "priority": 0,
        }
        for place, grant in enumerate(grants)
    ]


def _ledger(demand: list[Row], benefits: list[Row]) -> pl.LazyFrame:
    return burn_down(
        pl.LazyFrame(demand, schema=schema_of(CreditDemand)),
        pl.LazyFrame(benefits, schema=schema_of(Benefits)),
        empty(CreditsCarried),
    )


def _balance(ledger: pl.LazyFrame, cycle: int) -> Decimal:
    """The balance after the last entry of a cycle."""
    after = ledger.filter(pl.col("cycle") == cycle).collect()["balance_after"]
    return _NOTHING if after.is_empty() else after[-1]


def _units(ledger: pl.LazyFrame, cycle: int, kind: str) -> Decimal:
    of_kind = ledger.filter(pl.col("cycle") == cycle, pl.col("kind") == kind)
    units: Decimal = of_kind.select(pl.col("units").sum()).collect().item()
    return abs(units)


def _rollover_units(case: Case) -> Row:
    demand = [_demand(0, Decimal(case.given["usage"]), is_closed=True)]
    carried = carried_over(_ledger(demand, _benefits(0, case.given["credits"]))).collect()["units"]
    return {"rollover_units": _NOTHING if carried.is_empty() else carried[0]}


def _steps(case: Case) -> Row:
    """Grants make the first cycle; `cycle` begins the next one, with the units that it names."""
    cycles: list[list[Row]] = [[]]
    answers = {}
    for place, step in enumerate(case.given["steps"]):
        match step["op"]:
            case "grant":
                cycles[-1].append(step)
            case "cycle":
                cycles.append([step])
            case operation:
                missing = f"credits: {operation}"
                raise NotCovered(missing)
        answers[str(place)] = _after(cycles)
    return {"after_step": answers}


def _after(cycles: list[list[Row]]) -> Row:
    last = len(cycles) - 1
    demand = [_demand(cycle, _NOTHING, is_closed=cycle < last) for cycle in range(len(cycles))]
    ledger = _ledger(demand, [row for cycle, grants in enumerate(cycles) for row in _benefits(cycle, grants)])
    return {
        "credited_units": _units(ledger, last, "granted"),
        "consumed_units": _units(ledger, last, "used"),
        "balance": _balance(ledger, last),
    }


def _meter_balance(case: Case) -> Row:
    """A reset begins a new cycle; the balance is that of the last cycle."""
    if Decimal(case.expect.get("balance", 0)) < 0:
        missing = "a balance below zero: overage is invoiced, not kept as a balance (rule 5.5)"
        raise NotCovered(missing)
    events = case.given["events"]
    resets = [instant_of(event["timestamp"]) for event in events if event["type"] == "reset"]
    start = max(resets, default=FIRST_DAY.replace(year=2000))
    used = [event for event in events if event["type"] == "usage"]
    sent = [_sent_by(event) for event in used]
    consumed = measure(case.given, sent, [("c", start, CLOCK)], {"c": "external"})[0]["quantity"] or _NOTHING
    grants = [
        {"units": event["units"], "rollover": False}
        for event in events
        if event["type"] == "credit" and _is_in(instant_of(event["timestamp"]), start)
    ]
    ledger = _ledger([_demand(0, max(consumed, _NOTHING), is_closed=False)], _benefits(0, grants))
    return {
        "consumed_units": consumed,
        "credited_units": _units(ledger, 0, "granted"),
        "balance": _balance(ledger, 0),
    }


def _is_in(instant: datetime, start: datetime) -> bool:
    return start <= instant < CLOCK


def _sent_by(event: Row) -> Row:
    return {**event, "external_customer_id": "external"} if event.get("by") == "external_id" else event


ADAPTERS: Final[dict[tuple[str, str], Callable[[Case], Any]]] = {
    ("polar", "credit.rollover_units"): _rollover_units,
    ("polar", "credit.steps"): _steps,
    ("polar", "credit.meter_balance"): _meter_balance,
}
