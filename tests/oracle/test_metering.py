"""Polars and DuckDB measure random events by random meters alike (rules 1.5, 2 and 3.7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, Final, assert_never, get_args

import duckdb
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from meterhouse.auditing.audit import prepare
from meterhouse.auditing.filters import Properties, condition
from meterhouse.catalog import Aggregation, Clause, Filter, Meter
from meterhouse.catalog.filters import Operator
from meterhouse.catalog.meters import Function
from meterhouse.catalog.rows import meter_rows
from meterhouse.metering import EventProperties, cuts_within_days, matches, measure_daily, measure_periods
from meterhouse.tables import BillingPeriods, Customers, Events, LandedFiles, MeteredPrices, Subscriptions, schema_of
from meterhouse.tables.properties import TYPES, PropertyNames
from tests.oracle.engine import assert_passes, audit_frames, register
from tests.tables import rows

if TYPE_CHECKING:
    from meterhouse.tables.properties import Kind

Value = str | bool | Decimal

OPERATORS: Final = get_args(Operator)
FUNCTIONS: Final = get_args(Function)
PROPERTIES: Final = ("size", "Size", "tokens.in cache", "absent", "name", "source", "timestamp")
METADATA: Final = PROPERTIES[:3]

# Few values, so that they meet: equal numbers and texts, texts that look like numbers, quotes and wildcards of SQL.
NUMBERS: Final = tuple(
    map(Decimal, ("-1.5", "0", "1", "2", "10", "0.000000000001", "-7", "333333333333333.333333333333", "1769904000"))
)
TEXTS: Final = ("", "1", "1.0", "-1.5", "a", "A", "ab", "b", "é", "it's", "%", "_", "true", "user", "call", '"')
VALUES: Final[dict[str, tuple[Value, ...]]] = {"number": NUMBERS, "text": TEXTS, "flag": (True, False)}

MONTH_END: Final = datetime(2026, 1, 31, tzinfo=UTC)
INSTANTS: Final = tuple(
    MONTH_END + timedelta(days=days, hours=hours, microseconds=microseconds)
    for days, hours, microseconds in product((-1, 0, 1), (0, 12), (-1, 0, 1))
)

values = st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.sampled_from(VALUES[kind]))
clauses = st.builds(Clause, property=st.sampled_from(PROPERTIES), operator=st.sampled_from(OPERATORS), value=values)
filters = st.recursive(
    clauses.map(lambda clause: Filter(clauses=(clause,))),
    lambda inner: st.builds(
        Filter, conjunction=st.sampled_from(["and", "or"]), clauses=st.lists(inner | clauses, max_size=3).map(tuple)
    ),
    max_leaves=4,
)
aggregations = st.sampled_from(FUNCTIONS).flatmap(
    lambda func: st.builds(
        Aggregation, func=st.just(func), property=st.none() if func == "count" else st.sampled_from(PROPERTIES)
    )
)
meters = st.lists(
    st.builds(Meter, filter=filters | st.just(Filter()), aggregation=aggregations), min_size=1, max_size=6
).map(lambda made: {f"m{place}": meter for place, meter in enumerate(made)})

sent = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["call", "a"]),
        "customer_id": st.sampled_from([None, "ada", "bob", "eve"]),
        "external_customer_id": st.sampled_from([None, "x-ada", "bob", "ada", "x-eve"]),
        "subscription_id": st.sampled_from([None, None, "sub-ada", "sub-bob", "ada"]),
        "timestamp": st.sampled_from(INSTANTS),
        "received_at": st.sampled_from(INSTANTS),
        "properties": st.fixed_dictionaries({name: st.none() | values for name in METADATA}),
    }
)
periods = st.fixed_dictionaries(
    {customer: st.sets(st.sampled_from(INSTANTS), min_size=0, max_size=5) for customer in ("ada", "bob")}
)

CUSTOMERS: Final = pl.DataFrame(
    {"customer_id": ["ada", "bob"], "external_id": ["x-ada", "bob"], "name": ["Ada", "Bob"]}, schema_of(Customers)
)

SUBSCRIPTIONS: Final = rows(
    Subscriptions,
    "subscription_id | customer_id \n sub-ada | ada \n sub-bob | bob",
    product="plan",
    started_at=MONTH_END,
    end="period_end",
    interval="month",
    interval_count=1,
    anchor=MONTH_END,
    timezone="UTC",
).collect()

LANDED_FILES: Final = rows(
    LandedFiles,
    "file_id | landed_at \n file | 2026-02-02",
    path="-",
    bytes=0,
    **dict.fromkeys(("records", "events", "rejected", "duplicates", "conflicts", "voids", "rounded_numbers"), 0),
).collect()


def kind_of(value: Value | None) -> Kind | None:
    match value:
        case None:
            return None
        case bool():
            return "flag"
        case str():
            return "text"
        case Decimal():
            return "number"
        case _:
            assert_never(value)


def event_rows(events: list[dict[str, Any]]) -> pl.DataFrame:
    """Events with their properties in typed columns; two senders share each event id."""
    names = PropertyNames()
    columns = {names.column(kind, name): (kind, name) for name in METADATA for kind in TYPES}
    held = [
        {
            column: event["properties"][name] if kind_of(event["properties"][name]) == kind else None
            for column, (kind, name) in columns.items()
        }
        for event in events
    ]
    fields = [
        event
        | row
        | {
            "source": ("user", "plant")[place % 2],
            "event_id": str(place // 2),
            "metadata": "{}",
            "file_id": "file",
            "position": place + 1,
            "date": event["timestamp"].date(),
        }
        for place, (event, row) in enumerate(zip(events, held, strict=True))
    ]
    typed = {column: TYPES[kind] for column, (kind, _) in columns.items()}
    return pl.DataFrame(fields, {**schema_of(Events), **typed}, orient="row")


def period_rows(bounds: dict[str, set[datetime]]) -> pl.DataFrame:
    """Cycles end to end between each customer's instants."""
    cycles = [
        (f"sub-{customer}", cycle, customer, "plan", start, end, False)
        for customer, instants in bounds.items()
        for cycle, (start, end) in enumerate(pairwise(sorted(instants)))
    ]
    return pl.DataFrame(cycles, schema_of(BillingPeriods), orient="row")


def price_rows(made: dict[str, Meter]) -> pl.DataFrame:
    """A price on each meter, so that every cycle measures it."""
    rows = [("plan", name, name, "USD", False, Decimal(0), None) for name in made]
    return pl.DataFrame(rows, schema_of(MeteredPrices), orient="row")


def test_every_comparison_alike() -> None:
    """Each operator with each value on each property, and on events that hold each value: nothing is left to chance."""
    rules = [
        Filter(clauses=(Clause(property=name, operator=operator, value=value),))
        for name, operator, kind in product(PROPERTIES, OPERATORS, VALUES)
        for value in VALUES[kind]
    ]
    held = [None, *(value for some in VALUES.values() for value in some)]
    events = event_rows(
        [
            {
                "name": ("call", "a")[place % 2],
                "customer_id": "ada",
                "external_customer_id": None,
                "subscription_id": None,
                "timestamp": MONTH_END + timedelta(days=place % 3),
                "received_at": MONTH_END,
                "properties": {"size": value, "Size": held[-place], "tokens.in cache": None},
            }
            for place, value in enumerate(held)
        ]
    )
    numbered = {f"c{place}": rule for place, rule in enumerate(rules)}
    ours = events.select(matches(rule, EventProperties(events.columns)).alias(name) for name, rule in numbered.items())
    chosen = [condition(rule, Properties(events.columns)) for rule in rules]

    with duckdb.connect() as connection:
        register(connection, {"events": events})
        prepare(connection)
        rows = connection.execute(f"SELECT {', '.join(chosen)} FROM events ORDER BY position").fetchall()

    theirs = dict(zip(numbered, map(list, zip(*rows, strict=True)), strict=True))
    assert {name: numbered[name] for name in numbered if ours[name].to_list() != theirs[name]} == {}
    assert len(theirs) == len(PROPERTIES) * len(OPERATORS) * sum(map(len, VALUES.values()))


def test_measured_alike() -> None:
    seen: set[tuple[str, str | None]] = set()

    @settings(max_examples=60)
    @given(st.lists(sent, max_size=30), meters, periods)
    def measure(events: list[dict[str, Any]], made: dict[str, Meter], bounds: dict[str, set[datetime]]) -> None:
        seen.update((meter.aggregation.func, meter.aggregation.property) for meter in made.values())
        cycles, landed = period_rows(bounds), event_rows(events)
        cuts = cuts_within_days(cycles.lazy())
        daily = measure_daily(landed.lazy(), made, CUSTOMERS.lazy(), SUBSCRIPTIONS.lazy(), cuts).collect()
        wanted = cycles.join(pl.DataFrame({"meter": list(made)}), how="cross")
        usage = measure_periods(daily.lazy(), wanted.lazy(), meter_rows(made).lazy()).collect()
        tables = {
            "events": landed,
            "landed_files": LANDED_FILES,
            "meters": meter_rows(made),
            "customers": CUSTOMERS,
            "subscriptions": SUBSCRIPTIONS,
            "billing_periods": cycles,
            "metered_prices": price_rows(made),
            "usage_daily": daily,
            "usage": usage,
        }

        findings = audit_frames(tables, ["events_by_day", "usage_daily", "usage"])

        assert_passes(findings)
        assert [finding.compared for finding in findings[1:]] == [daily.height, usage.height]

    measure()

    assert {func for func, _ in seen} == set(FUNCTIONS)
    assert {name for _, name in seen} >= set(PROPERTIES)
