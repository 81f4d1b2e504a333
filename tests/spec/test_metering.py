"""How events become quantities: filters, aggregations, customers, days and periods (rules 1.5, 2.1, 2.2, 2.6)."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from meterhouse.catalog import Aggregation, Filter, Meter
from meterhouse.metering import (
    EventProperties,
    attribute,
    combine,
    cuts_within_days,
    matches,
    measure_daily,
    measure_periods,
)
from meterhouse.tables import BillingPeriods, Customers, Events, Meters, Subscriptions, empty
from meterhouse.tables.columns import QUANTITY
from meterhouse.tables.properties import TYPES, column_of
from tests.tables import assert_rows, rows

CUSTOMERS = rows(
    Customers,
    """
    customer_id | external_id | name
    ada         | ext-ada     | Ada
    bob         | ext-bob     | Bob
    """,
)
SUBSCRIPTIONS = rows(
    Subscriptions,
    """
    subscription_id | customer_id
    ada-1           | ada
    bob-1           | bob
    """,
    product="p",
    started_at=datetime.fromisoformat("2026-01-01T00:00+00:00"),
    end="period_end",
    interval="month",
    interval_count=1,
    anchor=datetime.fromisoformat("2026-01-01T00:00+00:00"),
    timezone="UTC",
)
NO_CUTS = cuts_within_days(empty(BillingPeriods))


def events(text: str) -> pl.LazyFrame:
    """Events of a text table; a column `size` holds that property as JSON, `-` where an event has none."""
    header, *lines = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    sizes = [
        json.loads(line[header.index("size")], parse_float=Decimal) if line[header.index("size")] != "-" else None
        for line in lines
    ]
    kept = [place for place, name in enumerate(header) if name != "size"]
    declared = "\n".join(" | ".join(line[place] for place in kept) for line in [header, *lines])
    frame = rows(
        Events,
        declared,
        source="user",
        name="call",
        customer_id="ada",
        received_at=datetime.fromisoformat("2026-02-01T00:00+00:00"),
        timestamp=datetime.fromisoformat("2026-01-01T12:00+00:00"),
        metadata="{}",
        file_id="file",
        position=1,
        date=date(2026, 1, 1),
    )
    return frame.with_columns(
        _typed(
            "number",
            [
                Decimal(size) if isinstance(size, int | Decimal) and not isinstance(size, bool) else None
                for size in sizes
            ],
        ),
        _typed("text", [size if isinstance(size, str) else None for size in sizes]),
        _typed("flag", [size if isinstance(size, bool) else None for size in sizes]),
    ).with_columns(date=pl.col("timestamp").dt.date())


def _typed(kind: Any, values: list[Any]) -> pl.Series:
    return pl.Series(column_of(kind, "size"), values, TYPES[kind])


SIZES = events(
    """
    event_id | size
    five     | 5
    tenth    | 0.10
    text     | "5"
    word     | "abc"
    yes      | true
    no       | false
    one      | 1
    missing  | -
    """
)


def matched(rule: dict[str, Any], of: pl.LazyFrame = SIZES) -> set[str]:
    filter_ = Filter.model_validate(rule)
    hit = matches(filter_, EventProperties(of.collect_schema().names()))
    return set(of.filter(hit).select("event_id").collect()["event_id"])


# --- Filters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        # A number compares with numbers; text is compared as text, a flag not at all.
        ("eq", 5, {"five", "text"}),
        ("eq", Decimal("5.00"), {"five", "text"}),
        ("eq", Decimal("0.1"), {"tenth"}),
        ("ne", 5, {"tenth", "one", "word"}),
        ("gt", 1, {"five", "text", "word"}),
        ("gte", 1, {"five", "one", "text", "word"}),
        ("lt", 1, {"tenth"}),
        ("lte", 1, {"tenth", "one"}),
        # A text compares with text only: "5" is not the number 5.
        ("eq", "5", {"text"}),
        ("ne", "5", {"word"}),
        ("gt", "5", {"word"}),
        ("lte", "5", {"text"}),
        # True and false are 1 and 0 to numbers (Polar).
        ("eq", True, {"yes", "one"}),
        ("ne", True, {"no", "five", "tenth", "text", "word"}),
        ("lt", True, {"no", "tenth", "text", "word"}),
        # `like` is 'contains', on the value as text; a missing property matches nothing.
        ("like", "b", {"word"}),
        ("like", 5, {"five", "text"}),
        ("like", "0.1", {"tenth"}),
        ("like", "ru", {"yes"}),
        ("not_like", "b", {"five", "tenth", "text", "yes", "no", "one"}),
    ],
)
def test_a_clause_compares_by_type(operator: str, value: object, expected: set[str]) -> None:
    assert matched({"clauses": [{"property": "size", "operator": operator, "value": value}]}) == expected


@pytest.mark.parametrize("operator", ["eq", "ne", "gt", "gte", "lt", "lte", "like", "not_like"])
def test_a_missing_property_matches_nothing(operator: str) -> None:
    assert matched({"clauses": [{"property": "other", "operator": operator, "value": "x"}]}) == set()


def test_wildcards_are_literal() -> None:
    named = events('event_id | size\nunder | "api_test"\nother | "apiXtest"\npercent | "a%b"')
    assert matched({"clauses": [{"property": "size", "operator": "like", "value": "api_t"}]}, named) == {"under"}
    assert matched({"clauses": [{"property": "size", "operator": "like", "value": "%"}]}, named) == {"percent"}


def test_an_empty_filter_matches_all() -> None:
    assert len(matched({})) == SIZES.collect().height


def test_and_or_nest() -> None:
    rule = {
        "conjunction": "or",
        "clauses": [
            {"property": "metadata.size", "operator": "eq", "value": "abc"},
            {
                "conjunction": "and",
                "clauses": [
                    {"property": "size", "operator": "gt", "value": 0},
                    {"property": "size", "operator": "lt", "value": 1},
                ],
            },
        ],
    }
    assert matched(rule) == {"word", "tenth"}


def test_fields_of_the_event() -> None:
    named = events(
        """
        event_id | name  | source | timestamp           | size
        early    | call  | user   | 2009-02-13T23:31:30 | -
        late     | other | system | 2020-09-13T12:26:40 | -
        """
    )
    assert matched({"clauses": [{"property": "name", "operator": "eq", "value": "call"}]}, named) == {"early"}
    assert matched({"clauses": [{"property": "source", "operator": "eq", "value": "system"}]}, named) == {"late"}
    after = {"property": "timestamp", "operator": "gt", "value": 1234567890}
    assert matched({"clauses": [after]}, named) == {"late"}
    # The timestamp as text is its unix seconds (Polar): 1234567890.
    assert matched({"clauses": [{"property": "timestamp", "operator": "like", "value": 345}]}, named) == {"early"}


# --- Aggregations -----------------------------------------------------------------------------------------------------


def meter_of(function: str) -> Meter:
    property_ = None if function == "count" else "size"
    return Meter(aggregation=Aggregation(func=function, property=property_))


def total(function: str, of: pl.LazyFrame) -> pl.LazyFrame:
    """Quantity over everything, through daily states."""
    daily = measure_daily(of, {"m": meter_of(function)}, CUSTOMERS, SUBSCRIPTIONS, NO_CUTS)
    return combine(daily.with_columns(aggregation=pl.lit(function)), ["meter"])


MIXED = events(
    """
    event_id | timestamp        | size
    a        | 2026-01-01T10:00 | 1.5
    b        | 2026-01-01T11:00 | 1.50
    c        | 2026-01-02T09:00 | -4
    d        | 2026-01-02T10:00 | "1.5"
    e        | 2026-01-02T11:00 | true
    f        | 2026-01-03T12:00 | -
    """
)


@pytest.mark.parametrize(
    ("function", "quantity", "counted", "skipped"),
    [
        ("count", 6, 6, 0),
        ("sum", -1, 3, 3),
        ("max", "1.5", 3, 3),
        ("min", -4, 3, 3),
        ("avg", "-0.333333333333", 3, 3),
        ("last", -4, 3, 3),
        # By the value as text: 1.5 and 1.50 and "1.5" are one value, -4 and true two more.
        ("unique", 3, 5, 1),
    ],
)
def test_an_aggregation_counts_values_of_its_type(function: str, quantity: object, counted: int, skipped: int) -> None:
    assert_rows(total(function, MIXED), f"meter | quantity | events | skipped\nm | {quantity} | {counted} | {skipped}")


@pytest.mark.parametrize("function", ["max", "min", "avg", "last"])
def test_nothing_has_no_quantity(function: str) -> None:
    only_text = events('event_id | size\na | "x"')
    assert_rows(total(function, only_text), "quantity | events | skipped\n- | 0 | 1")


@pytest.mark.parametrize(
    ("values", "mean"), [("1 2", "1.5"), ("1 1 0", "0.666666666667"), ("-1 -1 0", "-0.666666666667")]
)
def test_avg_has_twelve_places_rounded_half_away_from_zero(values: str, mean: str) -> None:
    lines = "\n".join(f"e{place} | {value}" for place, value in enumerate(values.split()))
    assert_rows(total("avg", events(f"event_id | size\n{lines}")), f"quantity\n{mean}")


def test_last_is_by_time_then_receipt_then_id() -> None:
    tied = events(
        """
        event_id | timestamp        | received_at      | size
        z        | 2026-01-01T10:00 | 2026-01-05T00:00 | 1
        a        | 2026-01-01T12:00 | 2026-01-05T00:00 | 2
        c        | 2026-01-01T12:00 | 2026-01-06T00:00 | 3
        d        | 2026-01-01T12:00 | 2026-01-06T00:00 | 4
        b        | 2026-01-01T12:00 | 2026-01-06T00:00 | 5
        """
    )
    assert_rows(total("last", tied), "quantity\n4")


def test_states_of_days_combine_to_the_whole() -> None:
    daily = measure_daily(MIXED, {"m": meter_of("unique")}, CUSTOMERS, SUBSCRIPTIONS, NO_CUTS)
    distinct = daily.select("date", text=pl.col("distinct_values").list.join(" "))
    assert_rows(distinct.filter(pl.col("text") != ""), "date | text\n2026-01-01 | 1.5\n2026-01-02 | -4 1.5 true")
    by_day = combine(daily.with_columns(aggregation=pl.lit("unique")), ["date"])
    assert_rows(by_day, "date | quantity\n2026-01-01 | 1\n2026-01-02 | 3\n2026-01-03 | 0")


# --- Whose an event is ------------------------------------------------------------------------------------------------


def test_the_customers_id_decides_then_the_senders_then_the_subscription() -> None:
    sent = events(
        """
        event_id | customer_id | external_customer_id | subscription_id | size
        both     | ada         | ext-bob              | bob-1           | -
        external | -           | ext-bob              | ada-1           | -
        wrong    | nobody      | ext-ada              | -               | -
        used     | -           | -                    | bob-1           | -
        unknown  | -           | ext-carl             | -               | -
        unsold   | -           | -                    | carl-1          | -
        nameless | -           | -                    | -               | -
        """
    )
    assert_rows(
        attribute(sent, CUSTOMERS, SUBSCRIPTIONS).with_columns(sent=pl.format("<{}>", "customer_id")),
        """
        event_id | sent       | attributed
        both     | <ada>      | yes
        external | <bob>      | yes
        wrong    | <ada>      | yes
        used     | <bob>      | yes
        unsold   | <carl-1>   | no
        unknown  | <ext-carl> | no
        nameless | <>         | no
        """,
    )


# --- Periods ----------------------------------------------------------------------------------------------------------

METERS = rows(Meters, "meter | aggregation\nm | sum", name="m", unit="unit", filter_json="{}", definition="d")


def january_of(customer: str) -> pl.LazyFrame:
    """One cycle of a customer, to be measured by meter `m`."""
    return rows(
        BillingPeriods,
        f"""
        subscription_id | cycle | customer_id | period_start | period_end | is_last
        s               | 0     | {customer}  | 2026-01-01   | 2026-02-01 | no
        """,
        product="p",
    ).with_columns(meter=pl.lit("m"))


def test_a_boundary_within_a_day_is_exact() -> None:
    periods = rows(
        BillingPeriods,
        """
        subscription_id | cycle | customer_id | period_start     | period_end       | is_last
        s               | 0     | ada         | 2026-01-01T10:30 | 2026-01-02T10:30 | no
        s               | 1     | ada         | 2026-01-02T10:30 | 2026-01-03T10:30 | no
        """,
        product="p",
    )
    used = events(
        """
        event_id | timestamp               | size
        before   | 2026-01-01T10:29:59.999 | 1
        first    | 2026-01-01T10:30        | 10
        inside   | 2026-01-02T10:29:59.999 | 100
        next     | 2026-01-02T10:30        | 1000
        """
    )
    daily = measure_daily(used, {"m": meter_of("sum")}, CUSTOMERS, SUBSCRIPTIONS, cuts_within_days(periods))
    usage = measure_periods(daily, periods.with_columns(meter=pl.lit("m")), METERS)
    assert_rows(usage, "cycle | quantity | events\n0 | 110 | 2\n1 | 1000 | 1")


def test_a_period_without_events_used_nothing() -> None:
    periods = january_of("bob")
    daily = measure_daily(MIXED, {"m": meter_of("sum")}, CUSTOMERS, SUBSCRIPTIONS, NO_CUTS)
    assert_rows(measure_periods(daily, periods, METERS), "quantity | events | skipped\n0 | 0 | 0")
    of_max = METERS.with_columns(aggregation=pl.lit("max"))
    assert_rows(measure_periods(daily, periods, of_max), "quantity | events | skipped\n- | 0 | 0")


def test_unattributed_usage_belongs_to_no_customer_of_the_same_name() -> None:
    """An id in the sender's books that looks like a customer's id is still another's."""
    periods = january_of("ada")
    sent = events("event_id | customer_id | external_customer_id | size\na | - | ada | 7\nb | ada | - | 1")
    daily = measure_daily(sent, {"m": meter_of("sum")}, CUSTOMERS, SUBSCRIPTIONS, NO_CUTS)
    assert_rows(daily, "customer_id | attributed | sum\nada | no | 7\nada | yes | 1")
    assert_rows(measure_periods(daily, periods, METERS), "quantity\n1")


def test_sums_have_room_for_any_landed_number() -> None:
    largest = Decimal("999999999999999.999999999999")
    lines = "\n".join(f"e{place} | {largest}" for place in range(100))
    assert total("sum", events(f"event_id | size\n{lines}")).collect()["quantity"].item() == largest * 100
    assert QUANTITY.scale == 12
