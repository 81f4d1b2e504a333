"""Groups that split a quantity, and changes of a meter that hold from an instant on (rules 2.3, 2.5)."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from meterhouse.catalog import Meter
from meterhouse.catalog.rows import meter_rows, meter_version_rows
from meterhouse.errors import ProjectError
from meterhouse.metering import cuts_within_days, measure_daily, measure_days, measure_groups, measure_periods
from meterhouse.tables import BillingPeriods, Customers, Events, Subscriptions, empty
from meterhouse.tables.properties import TYPES, column_of
from tests.tables import assert_rows, rows

CUSTOMERS = rows(Customers, "customer_id | external_id | name\nada | ext-ada | Ada")
JANUARY = rows(
    BillingPeriods,
    """
    subscription_id | cycle | customer_id | period_start | period_end | is_last
    s               | 0     | ada         | 2026-01-01   | 2026-02-01 | no
    """,
    product="p",
)


def events(text: str) -> pl.LazyFrame:
    """Events of `size`, a number, and of `model` as its kind says: `text:`, `number:`, `flag:`, or `-` for none."""
    header, *lines = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    held = [dict(zip(header, line, strict=True)) for line in lines]
    frame = rows(
        Events,
        "event_id | timestamp\n" + "\n".join(f"e{place} | {row['timestamp']}" for place, row in enumerate(held)),
        source="user",
        name="call",
        customer_id="ada",
        received_at=datetime.fromisoformat("2026-02-01T00:00+00:00"),
        metadata="{}",
        file_id="file",
        position=1,
        date=date(2026, 1, 1),
    )
    models = [row.get("model", "-").partition(":")[::2] for row in held]
    return frame.with_columns(
        pl.Series("number_size", [Decimal(row["size"]) for row in held], TYPES["number"]),
        _model("text", [value if kind == "text" else None for kind, value in models]),
        _model("number", [Decimal(value) if kind == "number" else None for kind, value in models]),
        _model("flag", [value == "true" if kind == "flag" else None for kind, value in models]),
        date=pl.col("timestamp").dt.date(),
    )


def _model(kind: Any, values: list[Any]) -> pl.Series:
    return pl.Series(column_of(kind, "model"), values, TYPES[kind])


def meter(**said: Any) -> dict[str, Meter]:
    aggregation = {"aggregation": {"func": "sum", "property": "size"}}
    return {"tokens": Meter.model_validate(aggregation | said)}


def daily(of: pl.LazyFrame, meters: dict[str, Meter], periods: pl.LazyFrame = JANUARY) -> pl.LazyFrame:
    return measure_daily(of, meters, CUSTOMERS, empty(Subscriptions), cuts_within_days(periods))


# --- Groups -----------------------------------------------------------------------------------------------------------

MODELS = events(
    """
    timestamp        | size | model
    2026-01-01T10:00 | 1    | text:large
    2026-01-01T11:00 | 2    | text:large
    2026-01-02T10:00 | 4    | text:large
    2026-01-01T12:00 | 8    | text:5
    2026-01-01T12:00 | 16   | number:5.00
    2026-01-01T12:00 | 32   | flag:true
    2026-01-01T12:00 | 64   | -
    2026-01-01T12:00 | 128  | text:a"b
    """
)


def test_a_group_is_the_value_of_each_property_as_json() -> None:
    """A number and a text of its digits are two groups; an event without the property is in a group of its own."""
    assert_rows(
        daily(MODELS, meter(group_by=["model"])),
        """
        date       | group_json       | sum
        2026-01-01 | {"model":"large"} | 3
        2026-01-02 | {"model":"large"} | 4
        2026-01-01 | {"model":"5"}     | 8
        2026-01-01 | {"model":5}       | 16
        2026-01-01 | {"model":true}    | 32
        2026-01-01 | {"model":null}    | 64
        2026-01-01 | {"model":"a\\"b"}  | 128
        """,
    )


def test_several_properties_stand_in_the_order_of_their_names() -> None:
    grouped = daily(MODELS.head(1), meter(group_by=["source", "model"]))
    assert_rows(grouped, 'group_json\n{"model":"large","source":"user"}')


def test_a_meter_without_groups_has_one() -> None:
    assert_rows(daily(MODELS.head(2), meter()), "group_json | sum\n{} | 3")


@pytest.mark.parametrize(
    ("function", "quantity", "large"), [("sum", 255, 7), ("max", 128, 4), ("unique", 8, 3), ("last", 4, 4)]
)
def test_groups_come_to_the_quantity_that_is_billed(function: str, quantity: int, large: int) -> None:
    """The quantity of all groups is that of a meter without: no aggregation is spoiled by being split."""
    meters = meter(aggregation={"func": function, "property": "size"}, group_by=["model"])
    states, periods = daily(MODELS, meters), JANUARY.with_columns(meter=pl.lit("tokens"))
    assert_rows(measure_periods(states, periods, meter_rows(meters).lazy()), f"quantity | events\n{quantity} | 8")
    by_group = measure_groups(states, periods, meter_rows(meters).lazy())
    assert_rows(
        by_group.filter(pl.col("group_json") == '{"model":"large"}'),
        f"subscription_id | cycle | meter | quantity | events\ns | 0 | tokens | {large} | 3",
    )


def test_a_meter_without_groups_has_no_rows_by_group() -> None:
    states, periods = daily(MODELS, meter()), JANUARY.with_columns(meter=pl.lit("tokens"))
    assert measure_groups(states, periods, meter_rows(meter()).lazy()).collect().is_empty()


def test_too_many_groups_are_refused_with_what_to_do() -> None:
    with pytest.raises(
        ProjectError, match=r"Meter 'tokens' has 6 groups by model on 2026-01-01, such as .*`max_groups`"
    ):
        daily(MODELS, meter(group_by=["model"], max_groups=5))
    daily(MODELS, meter(group_by=["model"], max_groups=6))


def test_a_property_is_named_once() -> None:
    with pytest.raises(ValidationError, match="names a property twice: model, model"):
        meter(group_by=["model", "metadata.model"])


# --- Versions ---------------------------------------------------------------------------------------------------------

LARGE = {"clauses": [{"property": "size", "operator": "gt", "value": 2}]}
NOON = "2026-01-02T12:00:00Z"
AROUND_NOON = events(
    """
    timestamp               | size
    2026-01-01T12:00        | 1
    2026-01-02T11:59:59.999 | 2
    2026-01-02T12:00        | 2
    2026-01-02T12:00        | 4
    2026-01-03T00:00        | 8
    2026-01-03T00:00        | 1
    """
)


def test_a_change_holds_from_its_instant_on() -> None:
    """The instant cuts the day, so that the quantity of a period is what each version measured while it held."""
    meters = meter(changes=[{"from": NOON, "filter": LARGE}])
    states = daily(AROUND_NOON, meters)
    assert_rows(
        states,
        """
        date       | slice_start      | sum | events
        2026-01-01 | 2026-01-01       | 1   | 1
        2026-01-02 | 2026-01-02       | 2   | 1
        2026-01-02 | 2026-01-02T12:00 | 4   | 1
        2026-01-03 | 2026-01-03       | 8   | 1
        """,
    )
    usage = measure_periods(states, JANUARY.with_columns(meter=pl.lit("tokens")), meter_rows(meters).lazy())
    assert_rows(usage, "quantity | events\n15 | 4")


def test_a_change_and_a_period_may_cut_the_same_day() -> None:
    periods = rows(
        BillingPeriods,
        """
        subscription_id | cycle | customer_id | period_start     | period_end       | is_last
        s               | 0     | ada         | 2026-01-01       | 2026-01-02T11:30 | no
        s               | 1     | ada         | 2026-01-02T11:30 | 2026-02-01       | no
        """,
        product="p",
    )
    meters = meter(changes=[{"from": NOON, "filter": LARGE}])
    states = daily(AROUND_NOON, meters, periods)
    usage = measure_periods(states, periods.with_columns(meter=pl.lit("tokens")), meter_rows(meters).lazy())
    assert_rows(usage, "cycle | quantity\n0 | 1\n1 | 14")


def test_what_a_change_does_not_say_stays() -> None:
    changes = [{"from": NOON, "filter": LARGE}, {"from": "2026-01-03T00:00:00+01:00", "event": "other"}]
    assert_rows(
        meter_version_rows(meter(event="call", changes=changes)).lazy().with_columns(clauses=pl.col("filter_json")),
        """
        meter  | version | valid_from       | valid_until
        tokens | 1       | -                | 2026-01-02T12:00
        tokens | 2       | 2026-01-02T12:00 | 2026-01-02T23:00
        tokens | 3       | 2026-01-02T23:00 | -
        """,
    )
    rules = [str(version.rule) for version in meter(event="call", changes=changes)["tokens"].versions()]
    assert ["call" in rule for rule in rules] == [True, True, False]
    assert ["size" in rule for rule in rules] == [False, True, True]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ([{"from": NOON, "aggregation": {"func": "max", "property": "size"}}], "has `func` max and the meter has sum"),
        ([{"from": NOON}, {"from": NOON}], "must be in the order of time"),
        ([{"from": "2026-01-02T12:00:00"}], "timezone"),
        ([{"filter": LARGE}], "from"),
    ],
)
def test_changes_that_cannot_be_are_refused(changes: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        meter(changes=changes)


def test_only_what_changes_a_state_makes_days_stale() -> None:
    """A meter that is rounded otherwise has another definition, and the same daily states."""
    rounding = {"func": "sum", "property": "size", "rounding": {"direction": "up", "to": 10}}
    before, after = meter(), meter(aggregation=rounding)
    assert meter_rows(before)["definition"].item() != meter_rows(after)["definition"].item()
    assert meter_version_rows(before)["measures"].item() == meter_version_rows(after)["measures"].item()


# --- Hours ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["sum", "max", "unique", "last"])
def test_hours_are_slices_that_come_to_the_day(function: str) -> None:
    meters = meter(aggregation={"func": function, "property": "size"}, changes=[{"from": "2026-01-02T11:59:59.999Z"}])
    people = (CUSTOMERS, empty(Subscriptions), cuts_within_days(empty(BillingPeriods)))
    hours = measure_days(AROUND_NOON, meters, *people, by_hour=True).usage_daily.lazy()
    assert_rows(
        hours.select("date", "slice_start", "events"),
        """
        date       | slice_start             | events
        2026-01-01 | 2026-01-01T12:00        | 1
        2026-01-02 | 2026-01-02T11:59:59.999 | 1
        2026-01-02 | 2026-01-02T12:00        | 2
        2026-01-03 | 2026-01-03              | 2
        """,
    )
    periods, rows_ = JANUARY.with_columns(meter=pl.lit("tokens")), meter_rows(meters).lazy()
    whole = measure_periods(daily(AROUND_NOON, meters), periods, rows_).collect()
    assert measure_periods(hours, periods, rows_).collect().equals(whole)
