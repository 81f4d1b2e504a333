"""When periods begin and end (rule 3)."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from meterhouse.invoicing import billing_periods
from meterhouse.periods import calendar_anchor, grid_periods, midnight_anchor
from meterhouse.tables import Subscriptions
from tests.tables import assert_rows, rows


def starts(interval: str, anchor: str, first: str, last: str, *, timezone: str = "UTC", count: int = 1) -> list[str]:
    """When the periods of a grid that overlap [first, last) begin, as UTC."""
    span = pl.LazyFrame(
        {
            "interval": [interval],
            "interval_count": [count],
            "timezone": [timezone],
            "anchor": [instant(anchor)],
            "first": [instant(first)],
            "last": [instant(last)],
        }
    )
    found = grid_periods(span).sort("start").select(pl.col("start").dt.strftime("%Y-%m-%d %H:%M")).collect()
    return [start.removesuffix(" 00:00") for start in found["start"].to_list()]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_month_end_is_clamped_and_never_drifts() -> None:
    assert starts("month", "2024-01-31", "2024-01-31", "2024-06-01") == [
        "2024-01-31",
        "2024-02-29",
        "2024-03-31",
        "2024-04-30",
        "2024-05-31",
    ]


def test_29_february_yearly_is_28_february_in_common_years() -> None:
    assert starts("year", "2024-02-29", "2024-02-29", "2028-03-01") == [
        "2024-02-29",
        "2025-02-28",
        "2026-02-28",
        "2027-02-28",
        "2028-02-29",
    ]


@pytest.mark.parametrize(
    ("interval", "count", "expected"),
    [
        ("day", 10, ["2024-02-25", "2024-03-06", "2024-03-16", "2024-03-26"]),
        ("week", 2, ["2024-02-23", "2024-03-08", "2024-03-22"]),
        ("month", 2, ["2024-01-26", "2024-03-26"]),
        ("quarter", 1, ["2024-01-26"]),
        ("year", 1, ["2024-01-26"]),
    ],
)
def test_a_period_is_so_many_intervals(interval: str, count: int, expected: list[str]) -> None:
    assert starts(interval, "2024-01-26", "2024-03-01", "2024-03-26 00:01", count=count) == expected


def test_a_grid_goes_on_before_its_anchor() -> None:
    assert starts("month", "2024-05-31", "2024-02-01", "2024-04-01") == ["2024-01-31", "2024-02-29", "2024-03-31"]


def test_a_span_that_ends_on_a_boundary_does_not_reach_the_next_period() -> None:
    assert starts("month", "2024-01-01", "2024-02-01", "2024-03-01") == ["2024-02-01"]


def test_boundaries_keep_the_local_time_of_day_when_clocks_change() -> None:
    assert starts("month", "2024-01-15 08:30", "2024-02-15 08:30", "2024-05-01", timezone="Europe/Berlin") == [
        "2024-02-15 08:30",
        "2024-03-15 08:30",
        "2024-04-15 07:30",
    ]


def test_the_day_of_the_month_is_that_of_the_timezone() -> None:
    # 31 January 20:00 in UTC is 1 February in Tokyo.
    assert starts("month", "2024-01-31 20:00", "2024-01-31 20:00", "2024-04-01", timezone="Asia/Tokyo") == [
        "2024-01-31 20:00",
        "2024-02-29 20:00",
        "2024-03-31 20:00",
    ]


def test_a_local_time_that_is_skipped_moves_on_by_the_gap() -> None:
    # 31 March 2024 has no 02:30 in Berlin: the period begins at 03:30, which is 01:30 in UTC.
    assert starts("day", "2024-03-29 01:30", "2024-03-30 01:30", "2024-04-02", timezone="Europe/Berlin") == [
        "2024-03-30 01:30",
        "2024-03-31 01:30",
        "2024-04-01 00:30",
    ]


def test_a_local_time_that_comes_twice_is_the_earlier_one() -> None:
    # 27 October 2024 has 02:30 twice in Berlin: at 00:30 and at 01:30 in UTC.
    assert starts("day", "2024-10-26 00:30", "2024-10-26 00:30", "2024-10-29", timezone="Europe/Berlin") == [
        "2024-10-26 00:30",
        "2024-10-27 00:30",
        "2024-10-28 01:30",
    ]


def test_a_day_that_a_timezone_skipped_is_no_period() -> None:
    # Samoa went from 29 to 31 December 2011 at midnight.
    assert starts("day", "2011-12-28 20:00", "2011-12-28 20:00", "2011-12-31 20:00", timezone="Pacific/Apia") == [
        "2011-12-28 20:00",
        "2011-12-29 20:00",
        "2011-12-30 20:00",
    ]


@pytest.mark.parametrize(
    ("interval", "expected"),
    [("week", "2024-05-13"), ("month", "2024-05-01"), ("quarter", "2024-04-01"), ("year", "2024-01-01")],
)
def test_calendar_billing_begins_on_mondays_and_on_the_first_of_months(interval: str, expected: str) -> None:
    anchor = calendar_anchor("UTC").strftime("%Y-%m-%d %H:%M")
    assert starts(interval, anchor, "2024-05-15", "2024-05-16") == [expected]


def test_calendar_billing_is_local_to_the_timezone() -> None:
    anchor = calendar_anchor("America/New_York").strftime("%Y-%m-%d %H:%M")
    assert starts("month", anchor, "2024-05-15", "2024-05-16", timezone="America/New_York") == ["2024-05-01 04:00"]


def test_billing_by_whole_days_begins_at_the_local_midnight() -> None:
    assert midnight_anchor(instant("2024-05-15 03:00"), timezone="America/New_York") == instant("2024-05-14 04:00")


# --- Cycles of subscriptions ------------------------------------------------------------------------------------------


def subscription(started_at: str, ends_at: str, end: str, anchor: str = "2024-01-31") -> pl.LazyFrame:
    table = f"""
        subscription_id | customer_id | product | started_at   | ends_at   | end   | interval_count | anchor
        s1              | ada         | pro     | {started_at} | {ends_at} | {end} | 1              | {anchor}
    """
    return rows(Subscriptions, table, interval="month", timezone="UTC")


def assert_cycles(subscriptions: pl.LazyFrame, as_of: str, expected: str) -> None:
    assert_rows(billing_periods(subscriptions, instant(as_of)), expected)


def test_cycles_begin_before_the_clock_and_the_last_may_be_open() -> None:
    assert_cycles(
        subscription("2024-01-31", "-", "period_end"),
        "2024-03-31 00:00:01",
        """
        cycle | period_start | period_end | is_last
        0     | 2024-01-31   | 2024-02-29 | false
        1     | 2024-02-29   | 2024-03-31 | false
        2     | 2024-03-31   | 2024-04-30 | false
        """,
    )


def test_a_cycle_that_begins_at_the_clock_has_begun() -> None:
    assert_cycles(
        subscription("2024-01-31", "-", "period_end"),
        "2024-02-29",
        """
        cycle | period_start | period_end | is_last
        0     | 2024-01-31   | 2024-02-29 | false
        1     | 2024-02-29   | 2024-03-31 | false
        """,
    )


def test_a_subscription_that_starts_off_the_grid_has_a_short_first_cycle() -> None:
    assert_cycles(
        subscription("2024-02-10", "-", "period_end", anchor="2024-01-01"),
        "2024-03-02",
        """
        cycle | period_start | period_end | is_last
        0     | 2024-02-10   | 2024-03-01 | false
        1     | 2024-03-01   | 2024-04-01 | false
        """,
    )


def test_ending_at_once_cuts_the_cycle() -> None:
    assert_cycles(
        subscription("2024-01-31", "2024-03-10 12:00", "at_once"),
        "2025-01-01",
        """
        cycle | period_start | period_end       | is_last
        0     | 2024-01-31   | 2024-02-29       | false
        1     | 2024-02-29   | 2024-03-10 12:00 | true
        """,
    )


def test_ending_at_period_end_lets_the_cycle_run_out() -> None:
    assert_cycles(
        subscription("2024-01-31", "2024-03-10 12:00", "period_end"),
        "2025-01-01",
        """
        cycle | period_start | period_end | is_last
        0     | 2024-01-31   | 2024-02-29 | false
        1     | 2024-02-29   | 2024-03-31 | true
        """,
    )


@pytest.mark.parametrize("end", ["at_once", "period_end"])
def test_an_end_on_a_boundary_is_that_boundary(end: str) -> None:
    assert_cycles(
        subscription("2024-01-31", "2024-02-29", end),
        "2025-01-01",
        """
        cycle | period_start | period_end | is_last
        0     | 2024-01-31   | 2024-02-29 | true
        """,
    )


def test_a_subscription_that_has_not_started_has_no_cycle() -> None:
    not_yet = billing_periods(subscription("2024-01-31", "-", "period_end"), instant("2024-01-30"))
    assert not_yet.collect().is_empty()
