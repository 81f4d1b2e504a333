"""What holds for any events and every aggregation: order, parts of time and repeats change nothing (rule 2.2)."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import msgspec
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meterhouse.catalog import Aggregation, Meter
from meterhouse.catalog.rows import meter_rows
from meterhouse.landing import settle
from meterhouse.metering import cuts_within_days, measure_daily, measure_periods
from meterhouse.tables import BillingPeriods, Customers, Subscriptions, empty, schema_of
from tests.records import CLOCK, read

if TYPE_CHECKING:
    from meterhouse.landing import Batch

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
DAYS: Final = 6
CUSTOMERS: Final = pl.LazyFrame(
    {"customer_id": ["ada", "bob"], "external_id": ["x-ada", "bob"], "name": ["Ada", "Bob"]}, schema_of(Customers)
)
METERS: Final = {
    f"{function} {place}": Meter(
        aggregation=Aggregation(func=function, property=None if function == "count" else "size", **options)
    )
    for place, (function, options) in enumerate[tuple[Any, dict[str, Any]]](
        [
            ("count", {}),
            ("min", {}),
            ("max", {"numeric_text": "count"}),
            ("avg", {}),
            *((name, {"carry_over": carry_over}) for name in ("sum", "unique", "last") for carry_over in (False, True)),
            *(("weighted_sum", {"carry_over": carry_over, "numeric_text": "count"}) for carry_over in (False, True)),
            ("percentile", {"percent": Decimal(95)}),
            ("percentile", {"percent": Decimal("33.3"), "numeric_text": "count"}),
        ]
    )
}

instants = st.integers(0, DAYS * 86_400_000_000 - 1).map(lambda place: START + timedelta(microseconds=place))
few_instants = st.sampled_from([START + timedelta(hours=hours) for hours in range(0, DAYS * 24, 6)]) | instants
sizes = st.one_of(
    st.none(),
    st.integers(-9, 9),
    st.decimals("-1000", "1000", places=3, allow_nan=False),
    st.sampled_from(["1", "-2.5e-1", "one", "", True, 10**15 - 1]),
)
events = st.lists(st.tuples(few_instants, sizes, st.sampled_from(["ada", "bob", "x-ada"])), max_size=25)
bounds = st.sets(few_instants, min_size=2, max_size=5)


def landed(sent: list[tuple[datetime, object, str]]) -> Batch:
    encode = msgspec.json.Encoder(decimal_format="number").encode
    return read(
        *(
            encode(
                {
                    "event_id": str(place),
                    "name": "call",
                    ("external_customer_id" if customer == "x-ada" else "customer_id"): customer,
                    "timestamp": at.isoformat(),
                    "metadata": {"size": size},
                }
            ).decode()
            for place, (at, size, customer) in enumerate(sent)
        )
    )


def cycles_of(instants: set[datetime]) -> pl.LazyFrame:
    rows = [
        (f"sub-{customer}", cycle, customer, "plan", start, end, False)
        for customer in ("ada", "bob")
        for cycle, (start, end) in enumerate(pairwise(sorted(instants)))
    ]
    return pl.LazyFrame(rows, schema_of(BillingPeriods), orient="row")


def daily(used: pl.DataFrame, cycles: pl.LazyFrame) -> pl.DataFrame:
    cuts = cuts_within_days(cycles)
    return measure_daily(used.lazy(), METERS, CUSTOMERS, empty(Subscriptions).lazy(), cuts).collect()


def quantities(states: pl.DataFrame, cycles: pl.LazyFrame) -> pl.DataFrame:
    wanted = cycles.join(pl.LazyFrame({"meter": list(METERS)}), how="cross")
    return measure_periods(states.lazy(), wanted, meter_rows(METERS).lazy()).collect()


def assert_same(left: pl.DataFrame, right: pl.DataFrame) -> None:
    assert_frame_equal(left, right, check_row_order=False)


@settings(max_examples=25, deadline=None)
@given(events, bounds, st.integers(0, 2**32))
def test_shuffled_rows_change_nothing(sent: list[tuple[datetime, object, str]], ends: set[datetime], seed: int) -> None:
    used, cycles = landed(sent).events, cycles_of(ends)
    assert_same(daily(used.sample(fraction=1, shuffle=True, seed=seed), cycles), daily(used, cycles))


@settings(max_examples=25, deadline=None)
@given(events, bounds, st.integers(0, 2**32))
def test_duplicates_change_nothing(sent: list[tuple[datetime, object, str]], ends: set[datetime], seed: int) -> None:
    used, cycles = landed(sent).events, cycles_of(ends)
    places = Random(seed).choices(range(used.height), k=used.height) if used.height else []
    resent = pl.concat([used, used[places].with_columns(position=pl.col("position") + used.height)])
    kept = settle(resent, resent.clear(), CLOCK).events
    assert_same(daily(kept, cycles), daily(used, cycles))


@settings(max_examples=25, deadline=None)
@given(events, bounds, st.lists(st.integers(0, 2), min_size=DAYS, max_size=DAYS))
def test_states_of_any_partition_of_days_combine_to_the_same_quantities(
    sent: list[tuple[datetime, object, str]], ends: set[datetime], part_of_day: list[int]
) -> None:
    used, cycles = landed(sent).events, cycles_of(ends)
    parts = [
        daily(used.filter(pl.col("date").is_in([START.date() + timedelta(days=day) for day in days])), cycles)
        for part in range(3)
        if (days := [day for day, chosen in enumerate(part_of_day) if chosen == part])
    ]
    assert_same(quantities(pl.concat(parts), cycles), quantities(daily(used, cycles), cycles))


@settings(max_examples=25, deadline=None)
@given(events, bounds, st.sets(few_instants, max_size=4))
def test_cutting_days_where_nothing_begins_changes_no_quantity(
    sent: list[tuple[datetime, object, str]], ends: set[datetime], more: set[datetime]
) -> None:
    used, cycles = landed(sent).events, cycles_of(ends)
    finer = daily(used, cycles_of(ends | more))
    assert_same(quantities(finer, cycles), quantities(daily(used, cycles), cycles))


@settings(max_examples=25, deadline=None)
@given(events, bounds, st.integers(1, 300))
def test_merging_in_portions_of_any_size_changes_no_quantity(
    sent: list[tuple[datetime, object, str]], ends: set[datetime], most: int
) -> None:
    cycles = cycles_of(ends)
    states = daily(landed(sent).events, cycles)
    with patch("meterhouse.metering.states._MOST_WEIGHT", most):
        in_portions = quantities(states, cycles)
    assert_same(in_portions, quantities(states, cycles))


@settings(max_examples=40, deadline=None)
@given(events, bounds)
def test_a_level_is_the_area_under_its_steps_and_a_percentile_a_place_in_a_list(
    sent: list[tuple[datetime, object, str]], ends: set[datetime]
) -> None:
    used, cycles = landed(sent).events, cycles_of(ends)
    found = quantities(daily(used, cycles), cycles).filter(customer_id="ada").sort("cycle")
    for carries_over, name in ((carries, f"weighted_sum {10 + carries}") for carries in (False, True)):
        levels = [level(sent, start, end, carries_over=carries_over) for start, end in pairwise(sorted(ends))]
        assert found.filter(meter=name)["quantity"].to_list() == levels
    ranks = [least_of_95_percent(sent, start, end) for start, end in pairwise(sorted(ends))]
    assert found.filter(meter="percentile 12")["quantity"].to_list() == ranks


def level(sent: list[tuple[datetime, object, str]], start: datetime, end: datetime, *, carries_over: bool) -> Decimal:
    """Step by step, from the start of the period or of all time, as one would draw it."""
    steps = sorted(
        (max(at, start), Fraction(number))
        for at, size, customer in sent
        if customer != "bob" and at < end and (at >= start or carries_over)
        if (number := number_of(size)) is not None
    )
    area = Fraction(0)
    height = Fraction(0)
    for (at, change), (until, _) in pairwise([*steps, (end, Fraction(0))]):
        height += change
        area += height * ((until - at) // timedelta(microseconds=1))
    return rounded(area / ((end - start) // timedelta(microseconds=1)))


def number_of(size: object) -> Decimal | None:
    if isinstance(size, bool) or size is None or size in ("", "one"):
        return None
    return Decimal(str(size))


def rounded(number: Fraction) -> Decimal:
    whole = math.floor(abs(number) * 10**12 + Fraction(1, 2))
    return Decimal(f"{whole if number >= 0 else -whole}e-12")


def least_of_95_percent(sent: list[tuple[datetime, object, str]], start: datetime, end: datetime) -> Decimal | None:
    values = sorted(
        Decimal(str(size))
        for at, size, customer in sent
        if customer != "bob" and start <= at < end and not isinstance(size, bool | str) and size is not None
    )
    return next((value for place, value in enumerate(values, start=1) if 100 * place >= 95 * len(values)), None)
