"""What holds for any timezone, anchor and interval (rule 3)."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from meterhouse.invoicing import billing_periods
from meterhouse.periods import grid_periods
from meterhouse.tables import BillingPeriods, Subscriptions, schema_of, verify

TIMEZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # its clocks changed at midnight
    "Asia/Kolkata",
    "Asia/Beirut",
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Apia",  # skipped 30 December 2011
    "Pacific/Kiritimati",
)
MONTHS = {"month": 1, "quarter": 3, "year": 12}
DAYS = {"day": 1, "week": 7}

instants = st.datetimes(datetime(2008, 1, 1), datetime(2032, 12, 31)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001  the zone follows
minutes = instants.map(lambda moment: moment.replace(second=0, microsecond=0))


@st.composite
def subscriptions(draw: st.DrawFn) -> dict[str, object]:
    started_at = draw(instants)
    ends_after = draw(st.none() | st.timedeltas(timedelta(seconds=1), timedelta(days=700)))
    return {
        "customer_id": "ada",
        "product": "pro",
        "started_at": started_at,
        "ends_at": None if ends_after is None else started_at + ends_after,
        "end": draw(st.sampled_from(["at_once", "period_end"])),
        "interval": draw(st.sampled_from(["day", "week", "month", "quarter", "year"])),
        "interval_count": draw(st.integers(1, 4)),
        "anchor": draw(st.just(started_at) | instants),
        "timezone": draw(st.sampled_from(TIMEZONES)),
    }


def boundary(anchor: datetime, timezone: str, interval: str, steps: int) -> datetime:
    """Count a boundary the plain way: the anchor's wall clock, so many intervals on."""
    local = anchor.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
    if interval in DAYS:
        moved = local + timedelta(days=DAYS[interval] * steps)
    else:
        month = local.year * 12 + local.month - 1 + MONTHS[interval] * steps
        year, month = month // 12, month % 12 + 1
        moved = local.replace(year=year, month=month, day=min(local.day, monthrange(year, month)[1]))
    return moved.replace(tzinfo=ZoneInfo(timezone), fold=0).astimezone(UTC)


@given(st.lists(subscriptions(), min_size=1, max_size=12), st.timedeltas(timedelta(0), timedelta(days=600)))
@settings(max_examples=60, deadline=None)
def test_cycles_lie_end_to_end_from_start_to_end(drawn: list[dict[str, object]], age: timedelta) -> None:
    listed = [{"subscription_id": f"s{number}", **each} for number, each in enumerate(drawn)]
    frame = pl.LazyFrame(listed, schema=schema_of(Subscriptions))
    as_of = min(each["started_at"] for each in drawn if isinstance(each["started_at"], datetime)) + age
    periods = billing_periods(frame, as_of).collect()

    verify(periods, BillingPeriods)
    for each in listed:
        cycles = periods.filter(subscription_id=each["subscription_id"]).sort("cycle").to_dicts()
        assert_tiles(each, cycles, as_of)


def assert_tiles(subscription: dict[str, object], cycles: list[dict[str, object]], as_of: datetime) -> None:
    started_at, ends_at = subscription["started_at"], subscription["ends_at"]
    assert isinstance(started_at, datetime)
    assert bool(cycles) == (started_at <= as_of)
    assert [cycle["cycle"] for cycle in cycles] == list(range(len(cycles)))
    assert [cycle["period_start"] for cycle in cycles] == [started_at, *(cycle["period_end"] for cycle in cycles)][
        : len(cycles)
    ]
    if not cycles:
        return
    end = cycles[-1]["period_end"]
    assert isinstance(end, datetime)
    assert [cycle["is_last"] for cycle in cycles[:-1]] == [False] * (len(cycles) - 1)
    assert cycles[-1]["is_last"] == (isinstance(ends_at, datetime) and end >= ends_at)
    assert cycles[-1]["is_last"] or end > as_of
    if cycles[-1]["is_last"] and subscription["end"] == "at_once":
        assert end == ends_at


@given(
    minutes,
    st.sampled_from(TIMEZONES),
    st.sampled_from([*DAYS, *MONTHS]),
    st.integers(1, 4),
    st.integers(-12, 12),  # until 2099: Polars knows no summer time after that
)
@settings(max_examples=300, deadline=None)
def test_a_boundary_is_the_anchor_so_many_intervals_on(
    anchor: datetime, timezone: str, interval: str, count: int, number: int
) -> None:
    start = boundary(anchor, timezone, interval, number * count)
    end = boundary(anchor, timezone, interval, (number + 1) * count)
    span = {
        "anchor": anchor,
        "timezone": timezone,
        "interval": interval,
        "interval_count": count,
        "first": start,
        "last": start + timedelta(microseconds=1),
    }
    instant = pl.Datetime("us", "UTC")
    frame = pl.LazyFrame([span], schema_overrides=dict.fromkeys(("anchor", "first", "last"), instant))
    found = grid_periods(frame).collect().to_dicts()
    skipped_day = start == end
    assert skipped_day or [(row["n"], row["start"], row["end"]) for row in found] == [(number, start, end)]
