"""How events become quantities: filters, aggregations, customers, days and periods (rules 1.5, 2.1, 2.2, 2.6)."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any, get_args

import polars as pl
import pytest

from meterhouse.catalog import Aggregation, Filter, Meter
from meterhouse.catalog.filters import Operator
from meterhouse.catalog.rows import meter_rows
from meterhouse.metering import (
    EventProperties,
    attribute,
    combine,
    cuts_within_days,
    matches,
    measure_daily,
    measure_periods,
    of_days,
)
from meterhouse.tables import BillingPeriods, Customers, Events, Subscriptions, empty
from meterhouse.tables.columns import QUANTITY
from meterhouse.tables.properties import TYPES, column_of
from tests.records import event, read
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
JANUARY = [pl.lit(date(2026, 1, day)) for day in (1, 31)]


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
        # A list matches what `eq` matches of some value, or what differs from all that it can be compared with.
        ("in", [5], {"five", "text"}),
        ("in", ["5", "abc"], {"text", "word"}),
        ("in", [5, "abc", False], {"five", "text", "word", "no"}),
        ("in", [True], {"yes", "one"}),
        ("not_in", [5], {"tenth", "one", "word"}),
        ("not_in", ["5"], {"word"}),
        ("not_in", [5, "abc"], {"tenth", "one"}),
        ("not_in", [5, "abc", True], {"tenth", "no"}),
        # Present is what has a text, a number, true or false.
        ("exists", None, {"five", "tenth", "text", "word", "yes", "no", "one"}),
    ],
)
def test_a_clause_compares_by_type(operator: str, value: object, expected: set[str]) -> None:
    assert matched({"clauses": [{"property": "size", "operator": operator, "value": value}]}) == expected


@pytest.mark.parametrize("operator", get_args(Operator))
def test_a_missing_property_matches_nothing(operator: Operator) -> None:
    value = {"in": ["x"], "not_in": ["x"], "exists": None}.get(operator, "x")
    assert matched({"clauses": [{"property": "other", "operator": operator, "value": value}]}) == set()


def test_null_an_array_and_an_object_are_not_there_but_what_the_object_holds_is() -> None:
    metadata = {"null": "null", "array": "[1, 2]", "object": '{"of": {"disk": 0}}', "empty": '""'}
    landed = read(*(event(f'{{"size": {size}}}', event_id) for event_id, size in metadata.items())).events.lazy()
    assert matched({"clauses": [{"property": "size", "operator": "exists"}]}, landed) == {"empty"}
    assert matched({"clauses": [{"property": "size.of.disk", "operator": "exists"}]}, landed) == {"object"}


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


def meter_of(function: str, **options: Any) -> Meter:
    property_ = None if function == "count" else "size"
    given = {"percent": 50} | options if function == "percentile" else options
    return Meter(aggregation=Aggregation(func=function, property=property_, **given))


def total(function: str, of: pl.LazyFrame, **options: Any) -> pl.LazyFrame:
    """Quantity over January, through daily states."""
    meters = {"m": meter_of(function, **options)}
    daily = measure_daily(of, meters, CUSTOMERS, SUBSCRIPTIONS, NO_CUTS)
    return combine(of_days(daily, meter_rows(meters).lazy(), *JANUARY), ["meter"])


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
        ("percentile", "1.5", 3, 3),
        # 1.5 for 734 hours of January, 1.5 for 733, -4 for 711, over its 744 hours.
        ("weighted_sum", "-0.864919354839", 3, 3),
    ],
)
def test_an_aggregation_counts_values_of_its_type(function: str, quantity: object, counted: int, skipped: int) -> None:
    assert_rows(total(function, MIXED), f"meter | quantity | events | skipped\nm | {quantity} | {counted} | {skipped}")


@pytest.mark.parametrize("function", ["max", "min", "avg", "last", "percentile"])
def test_nothing_has_no_quantity(function: str) -> None:
    only_text = events('event_id | size\na | "x"')
    assert_rows(total(function, only_text), "quantity | events | skipped\n- | 0 | 1")


@pytest.mark.parametrize(
    ("values", "mean"), [("1 2", "1.5"), ("1 1 0", "0.666666666667"), ("-1 -1 0", "-0.666666666667")]
)
def test_avg_has_twelve_places_rounded_half_away_from_zero(values: str, mean: str) -> None:
    lines = "\n".join(f"e{place} | {value}" for place, value in enumerate(values.split()))
    assert_rows(total("avg", events(f"event_id | size\n{lines}")), f"quantity\n{mean}")


@pytest.mark.parametrize(
    ("percent", "quantity"),
    [("50", 50), ("95", 95), ("99", 99), ("99.5", 100), ("100", 100), ("0.000001", 1), ("1", 1), ("1.000001", 2)],
)
def test_a_percentile_is_the_least_value_that_so_many_percent_do_not_exceed(percent: str, quantity: int) -> None:
    """Of 100 samples, the 95th percentile leaves the five highest unbilled; none in between is made up."""
    lines = "\n".join(f"e{place} | 2026-01-{1 + place % 31:02} | {place}" for place in range(1, 101))
    used = events(f"event_id | timestamp | size\n{lines}")
    assert_rows(total("percentile", used, percent=Decimal(percent)), f"quantity\n{quantity}")


def test_equal_values_count_in_a_percentile_as_often_as_they_come() -> None:
    used = events("event_id | size\na | 1\nb | 7\nc | 7\nd | 9")
    assert_rows(total("percentile", used, percent=75), "quantity\n7")
    assert_rows(total("percentile", used, percent=76), "quantity\n9")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", "5"),
        ("-0.50", "-0.5"),
        ("7.057e-05", "0.00007057"),
        ("1E+3", "1000"),
        # More than 12 places are rounded half away from zero; what is out of range is no number (rule 1.7).
        ("0.0000000000005", "0.000000000001"),
        ("-0.0000000000005", "-0.000000000001"),
        ("0.00000000000049999999999999999999", "0"),
        ("123456789012345678901234567890e-20", "1234567890.123456789012"),
        ("999999999999999.9999999999994", "999999999999999.999999999999"),
        ("0e400", "0"),
        ("1e-400", "0"),
        ("1e15", None),
        ("999999999999999.9999999999995", None),
        ("1e400", None),
        ("1e99999999999999999999", None),
        # What JSON does not write as a number is none.
        ("", None),
        (" 5", None),
        ("5 ", None),
        ("+5", None),
        ("05", None),
        (".5", None),
        ("5.", None),
        ("1,000", None),
        ("0x10", None),
        ("NaN", None),
        ("Infinity", None),
        ("true", None),
    ],
)
def test_text_that_is_spelled_as_a_number_counts_as_one_where_the_meter_says_so(text: str, number: str | None) -> None:
    used = events(f"event_id | size\na | {json.dumps(text)}")
    counted = "- | 0 | 1" if number is None else f"{number} | 1 | 0"
    assert_rows(total("max", used, numeric_text="count"), f"quantity | events | skipped\n{counted}")
    assert_rows(total("max", used), "quantity | events | skipped\n- | 0 | 1")


def test_numbers_and_numbers_as_text_are_counted_together() -> None:
    assert_rows(total("sum", MIXED, numeric_text="count"), "quantity | events | skipped\n0.5 | 4 | 2")


@pytest.mark.parametrize(
    ("size", "to", "up", "down", "half"),
    [
        ("123.456", "1", 124, 123, 123),
        ("123.456", "0.01", "123.46", "123.45", "123.46"),
        ("123.456", "100", 200, 100, 100),
        ("1500", "1000", 2000, 1000, 2000),
        ("2000", "1000", 2000, 2000, 2000),
        ("-1.5", "1", -1, -2, -2),
        ("0", "1000", 0, 0, 0),
        ("0.000000000001", "7", 7, 0, 0),
    ],
)
def test_the_quantity_of_a_period_is_rounded_to_a_multiple(
    size: str, to: str, up: object, down: object, half: object
) -> None:
    meters = {
        direction: meter_of("sum", rounding={"direction": direction, "to": to}) for direction in ("up", "down", "half")
    }
    used = events(f"event_id | size\na | {size}")
    daily = measure_daily(used, meters, CUSTOMERS, SUBSCRIPTIONS, NO_CUTS)
    wanted = january_of("ada").drop("meter").join(pl.LazyFrame({"meter": list(meters)}), how="cross")
    assert_rows(
        measure_periods(daily, wanted, meter_rows(meters).lazy()),
        f"meter | quantity\nup | {up}\ndown | {down}\nhalf | {half}",
    )


def test_no_quantity_is_not_rounded_to_one() -> None:
    meters = {"m": meter_of("max", rounding="up")}
    daily = measure_daily(MIXED, meters, CUSTOMERS, SUBSCRIPTIONS, NO_CUTS)
    assert_rows(measure_periods(daily, january_of("bob"), meter_rows(meters).lazy()), "quantity\n-")


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
    by_day = combine(of_days(daily, meter_rows({"m": meter_of("unique")}).lazy(), *JANUARY), ["date"])
    assert_rows(by_day, "date | quantity\n2026-01-01 | 1\n2026-01-02 | 3\n2026-01-03 | 0")


# --- Levels over time -------------------------------------------------------------------------------------------------


def cycles(text: str) -> pl.LazyFrame:
    return rows(BillingPeriods, text, subscription_id="s", customer_id="ada", product="p", is_last=False)


def levels(used: pl.LazyFrame, periods: pl.LazyFrame, function: str = "weighted_sum", **options: Any) -> pl.LazyFrame:
    meters = {"m": meter_of(function, **options)}
    daily = measure_daily(used, meters, CUSTOMERS, SUBSCRIPTIONS, cuts_within_days(periods))
    return measure_periods(daily, periods.with_columns(meter=pl.lit("m")), meter_rows(meters).lazy())


FOUR_DAYS = cycles("cycle | period_start | period_end\n0 | 2026-01-01 | 2026-01-05")


def test_a_weighted_sum_is_the_mean_level_over_the_real_seconds_of_the_period() -> None:
    used = events(
        """
        event_id | timestamp        | size
        rise     | 2026-01-02T00:00 | 8
        fall     | 2026-01-04T00:00 | -4
        """
    )
    # 0 for a day, 8 for two days, 4 for one: 20 / 4.
    assert_rows(levels(used, FOUR_DAYS), "quantity | events\n5 | 2")


def test_a_day_of_23_hours_has_23_hours_of_level() -> None:
    """29 March 2026 in Berlin: the clocks go forward after one hour."""
    day = cycles("cycle | period_start | period_end\n0 | 2026-03-28T23:00 | 2026-03-29T22:00")
    used = events("event_id | timestamp | size\nrise | 2026-03-29T01:00 | 23")
    assert_rows(levels(used, day), "quantity\n21")


def test_a_level_is_exact_to_the_microsecond_and_rounded_once() -> None:
    third = cycles("cycle | period_start | period_end\n0 | 2026-01-01 | 2026-01-01T00:00:00.000003")
    used = events("event_id | timestamp | size\na | 2026-01-01T00:00:00.000001 | 1")
    assert_rows(levels(used, third), "quantity\n0.666666666667")
    negative = used.with_columns(pl.col(column_of("number", "size")) * -1)
    assert_rows(levels(negative, third), "quantity\n-0.666666666667")


def test_a_level_of_the_largest_numbers_over_years_fits() -> None:
    decade = cycles("cycle | period_start | period_end\n0 | 2026-01-01 | 2036-01-01")
    most = "999999999999999.999999999999"
    last = "2026-01-01T23:59:59.999999"
    used = events(f"event_id | timestamp | size\na | 2026-01-01 | {most}\nb | {last} | {most}\nc | {last} | -{most}")
    assert_rows(levels(used, decade), f"quantity\n{most}")


def test_levels_that_are_too_large_are_refused_and_never_wrong() -> None:
    largest = events("event_id | timestamp | size\na | 2026-01-01T23:59:59 | 999999999999999")
    many = largest.join(pl.LazyFrame({"place": range(1_200_000)}), how="cross").drop("place")
    with pytest.raises(pl.exceptions.ComputeError, match="overflow"):
        levels(many, FOUR_DAYS).collect()


def test_a_period_begins_with_nothing_unless_the_meter_carries_over() -> None:
    periods = cycles(
        """
        cycle | period_start | period_end
        0     | 2026-01-01   | 2026-01-03
        1     | 2026-01-03   | 2026-01-05
        2     | 2026-01-05   | 2026-01-07
        """
    )
    used = events(
        """
        event_id | timestamp        | size
        before   | 2025-12-01T00:00 | 10
        rise     | 2026-01-02T00:00 | 2
        fall     | 2026-01-04T00:00 | -4
        """
    )
    shown = "cycle | quantity | events\n"
    assert_rows(levels(used, periods), f"{shown} 0 | 1 | 1 \n 1 | -2 | 1 \n 2 | 0 | 0")
    assert_rows(levels(used, periods, carry_over=True), f"{shown} 0 | 11 | 2 \n 1 | 10 | 3 \n 2 | 8 | 3")
    assert_rows(levels(used, periods, "sum", carry_over=True), f"{shown} 0 | 12 | 2 \n 1 | 8 | 3 \n 2 | 8 | 3")
    assert_rows(levels(used, periods, "last", carry_over=True), f"{shown} 0 | 2 | 2 \n 1 | -4 | 3 \n 2 | -4 | 3")
    assert_rows(levels(used, periods, "unique", carry_over=True), f"{shown} 0 | 2 | 2 \n 1 | 3 | 3 \n 2 | 3 | 3")


def test_a_level_is_cut_where_its_period_is_cut() -> None:
    periods = cycles(
        """
        cycle | period_start     | period_end
        0     | 2026-01-01T06:00 | 2026-01-01T12:00
        1     | 2026-01-01T12:00 | 2026-01-02T00:00
        """
    )
    used = events(
        """
        event_id | timestamp        | size
        early    | 2026-01-01T03:00 | 5
        inside   | 2026-01-01T09:00 | 2
        boundary | 2026-01-01T12:00 | 4
        """
    )
    assert_rows(levels(used, periods), "cycle | quantity \n 0 | 1 \n 1 | 4")
    assert_rows(levels(used, periods, carry_over=True), "cycle | quantity \n 0 | 6 \n 1 | 11")


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

METERS = meter_rows({"m": meter_of("sum")}).lazy()


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
