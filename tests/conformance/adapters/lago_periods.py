"""Lago's billing days and the periods that an invoice names (rules 3 and 7.1)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from meterhouse.periods import calendar_anchor, midnight_anchor
from tests.conformance.adapters.calendars import AN_INSTANT, Row, cycles_until, grid_between, instant_of
from tests.conformance.cases import Case, NotCovered

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERVALS: Final = {
    "weekly": ("week", 1),
    "monthly": ("month", 1),
    "quarterly": ("quarter", 1),
    "semiannual": ("month", 6),
    "yearly": ("year", 1),
}
_A_SECOND: Final = timedelta(seconds=1)


def _subscription(config: Row, anchor: str, started_at: str | None, *, monthly: bool = False) -> Row:
    """Lago bills by whole local days: the anchor is a midnight."""
    interval, count = ("month", 1) if monthly else _INTERVALS[config["interval"]]
    timezone = config["timezone"]
    calendar = config["billing_time"] == "calendar"
    return {
        "interval": interval,
        "interval_count": count,
        "timezone": timezone,
        "anchor": calendar_anchor(timezone) if calendar else midnight_anchor(instant_of(anchor), timezone),
        "started_at": instant_of(started_at or anchor),
    }


# --- Which period -----------------------------------------------------------------------------------------------------


def _period(case: Case) -> Any:
    question = case.given["question"]
    if question == "invoice_boundaries":
        return _invoice(case)
    if case.given["input"]["started_at"] is None:
        return None
    if case.given["input"].get("previous_invoice"):
        missing = "a subscription whose timezone changes"
        raise NotCovered(missing)
    if question not in _QUESTIONS:
        missing = "proration by days" if "day" in question else question
        raise NotCovered(missing)
    return _QUESTIONS[question](case)


def _fee_period(case: Case) -> Row | None:
    return _cycle(case, _fee_cycles, current=case.given["config"]["plan_pay_in_advance"])


def _usage_period(case: Case) -> Row | None:
    return _cycle(case, _usage_cycles)


def _fixed_charge_period(case: Case) -> Row | None:
    return _cycle(case, _fixed_charge_cycles)


def _cycle(case: Case, cycles_of: Callable[[Case, datetime], list[Row]], *, current: bool = False) -> Row | None:
    """The cycle that holds the instant of billing, or the one that is billed then since it is over."""
    at = instant_of(case.given["input"]["billing_at"])
    cycles = cycles_of(case, at)
    if not current and not case.given["input"]["current_usage"]:
        last_invoice = _period_of_invoices(case)["start"]
        cycles = [cycle for cycle in cycles if cycle["period_end"] <= at]
        if cycles_of is not _fee_cycles:
            cycles = [cycle for cycle in cycles if cycle["is_last"] or cycle["period_end"] >= last_invoice]
    return cycles[-1] if cycles else None


def _fee_cycles(case: Case, at: datetime) -> list[Row]:
    """Cycles of the fee: it is counted in whole days, from the midnight before the start."""
    subscription = _subscribed(case)
    started_at = midnight_anchor(subscription["started_at"], subscription["timezone"])
    return cycles_until(subscription | {"started_at": started_at}, at + AN_INSTANT)


def _usage_cycles(case: Case, at: datetime) -> list[Row]:
    return cycles_until(_subscribed(case, monthly=_splits(case, "bill_charges_monthly")), at + AN_INSTANT)


def _fixed_charge_cycles(case: Case, at: datetime) -> list[Row]:
    return cycles_until(_subscribed(case, monthly=_splits(case, "bill_fixed_charges_monthly")), at + AN_INSTANT)


def _subscribed(case: Case, *, monthly: bool = False) -> Row:
    given = case.given["input"]
    anchor = given.get("subscription_at") or given["subscription_created_at"]
    subscription = _subscription(case.given["config"], anchor, given.get("started_at"), monthly=monthly)
    terminated_at = given.get("terminated_at")
    return subscription | {"ends_at": terminated_at and instant_of(terminated_at)}


def _splits(case: Case, *settings: str) -> bool:
    """Whether something is settled every month within a longer period (rule 3.3)."""
    config = case.given["config"]
    return config["interval"] in ("yearly", "semiannual") and any(config[setting] for setting in settings)


def _period_of_invoices(case: Case) -> Row:
    """The period between two invoices that holds the instant of billing."""
    monthly = _splits(case, "bill_charges_monthly", "bill_fixed_charges_monthly")
    return _grid_period(case, monthly=monthly)


def _grid_period(case: Case, *, monthly: bool = False) -> Row:
    at = instant_of(case.given["input"]["billing_at"])
    return grid_between(_subscribed(case, monthly=monthly), at, at + AN_INSTANT)[0]


def _reference_period(case: Case) -> Row:
    period = _grid_period(case)
    if case.given["input"].get("current_period", True):
        return period
    return grid_between(_subscribed(case), period["start"] - AN_INSTANT, period["start"])[0]


def _start(cycle: Row | None) -> datetime | None:
    return None if cycle is None else cycle["period_start"]


def _end(cycle: Row | None) -> datetime | None:
    """Lago's end is the last whole second; a cut is the instant itself."""
    if cycle is None:
        return None
    end: datetime = cycle["period_end"]
    return end if cycle["is_last"] else end - _A_SECOND


_QUESTIONS: Final[dict[str, Callable[[Case], Any]]] = {
    "fee_period_start": lambda case: _start(_fee_period(case)),
    "fee_period_end": lambda case: _end(_fee_period(case)),
    "usage_period_start": lambda case: _start(_usage_period(case)),
    "usage_period_end": lambda case: _end(_usage_period(case)),
    "fixed_charge_period_start": lambda case: _start(_fixed_charge_period(case)),
    "fixed_charge_period_end": lambda case: _end(_fixed_charge_period(case)),
    "end_of_period_containing": lambda case: _grid_period(case)["end"] - _A_SECOND,
    "start_of_reference_period": lambda case: _reference_period(case)["start"],
}


def names_no_period_that_is_over(case: Case) -> bool:
    """Whether something billed in arrears is asked for before any of its periods is over."""
    question, given = case.given["question"], case.given["input"]
    if given.get("started_at") is None or given["current_usage"] or question not in _SETTINGS:
        return False
    setting = _SETTINGS[question]
    if setting is None and case.given["config"]["plan_pay_in_advance"]:
        return False
    monthly = setting is not None and _splits(case, setting)
    return bool(instant_of(given["started_at"]) >= _grid_period(case, monthly=monthly)["start"])


def names_a_fee_after_the_end(case: Case) -> bool:
    """Whether a fee in advance is asked for whose period would begin after the subscription has ended."""
    given = case.given["input"]
    return (
        case.given["question"] in ("fee_period_start", "fee_period_end")
        and case.given["config"]["plan_pay_in_advance"]
        and given["terminated_at"] is not None
        and instant_of(given["terminated_at"]) <= _grid_period(case)["start"]
    )


_SETTINGS: Final = {
    "fee_period_start": None,
    "fee_period_end": None,
    "usage_period_start": "bill_charges_monthly",
    "usage_period_end": "bill_charges_monthly",
    "fixed_charge_period_start": "bill_fixed_charges_monthly",
    "fixed_charge_period_end": "bill_fixed_charges_monthly",
}
"""What splits the period that a question is about into months; a fee is never split."""


# --- Which invoice ----------------------------------------------------------------------------------------------------


def _invoice(case: Case) -> Row:
    """What a run bills that finds a boundary on its own local day."""
    fee = _on_the_day(
        case, _fee_cycles, "period_start" if case.given["config"]["plan_pay_in_advance"] else "period_end"
    )
    usage = _on_the_day(case, _usage_cycles, "period_end")
    fixed = _on_the_day(case, _fixed_charge_cycles, "period_end")
    return {
        "new_invoice": any((fee, usage, fixed)),
        "fee_period_start": _start(fee),
        "fee_period_end": _end(fee),
        "usage_period_start": _start(usage),
        "usage_period_end": _end(usage),
        "fixed_charge_period_start": _start(fixed),
        "fixed_charge_period_end": _end(fixed),
    }


def _on_the_day(case: Case, cycles_of: Callable[[Case, datetime], list[Row]], bound: str) -> Row | None:
    run = instant_of(case.given["input"]["billing_run_at"])
    today = midnight_anchor(run, case.given["config"]["timezone"])
    return next((cycle for cycle in cycles_of(case, run) if today <= cycle[bound] <= run), None)


def names_periods_that_it_does_not_bill(case: Case) -> bool:
    """Whether Lago writes a period on an invoice that bills nothing for it."""
    if case.given["question"] != "invoice_boundaries":
        return False
    first = case.given["input"]["first_invoice"]
    usage = any(case.expect.get(f"{part}_period_start") for part in ("usage", "fixed_charge"))
    fee = case.expect.get("fee_period_start") is not None
    return (first and usage) or (fee and _on_the_day(case, _fee_cycles, "period_start") is None)


# --- Which day --------------------------------------------------------------------------------------------------------


def _billing_day(case: Case) -> Row:
    given = case.given["input"]
    if "billing_run_at" in given:
        return {"billed": bool(_boundaries(case, [given["billing_run_at"]]))}
    on_billing_day = _boundaries(case, given["runs_on_billing_day"])
    if "runs_before" not in given:
        return {"invoices_created": len(on_billing_day)}
    return {
        "invoices_before": len(_boundaries(case, given["runs_before"])),
        "invoices_on_billing_day": len(on_billing_day),
        "invoices_after": len(_boundaries(case, given["runs_after"]) - on_billing_day),
    }


def _boundaries(case: Case, runs: list[str]) -> set[datetime]:
    """Ends of cycles, each billed once, that daily runs find: those of the run's own local day until then."""
    subscription = _subscribed(case, monthly=_splits(case, "bill_charges_monthly"))
    found: set[datetime] = set()
    for run in map(instant_of, runs):
        today = midnight_anchor(run, subscription["timezone"])
        cycles = cycles_until(subscription, run + AN_INSTANT)
        found |= {cycle["period_end"] for cycle in cycles if today <= cycle["period_end"] <= run}
    return found


ADAPTERS: Final[dict[tuple[str, str], Callable[[Case], Any]]] = {
    ("lago", "period"): _period,
    ("lago", "billing_day"): _billing_day,
}
