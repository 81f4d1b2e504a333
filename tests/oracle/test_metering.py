"""Polars and DuckDB measure random events by random meters alike (rules 1.5, 2 and 3.7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count, pairwise, product
from typing import TYPE_CHECKING, Any, Final, assert_never, get_args

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterhouse.auditing.audit import prepare
from meterhouse.auditing.filters import Properties, condition
from meterhouse.catalog import Aggregation, Clause, Filter, Meter
from meterhouse.catalog.filters import Operator, Value
from meterhouse.catalog.meters import TAKES, Function, MeterChange, Rounding
from meterhouse.catalog.rows import meter_rows, meter_version_rows
from meterhouse.metering import (
    EventProperties,
    cuts_within_days,
    matches,
    measure_daily,
    measure_groups,
    measure_periods,
)
from meterhouse.tables import BillingPeriods, Customers, Events, LandedFiles, MeteredPrices, Subscriptions, schema_of
from meterhouse.tables.properties import TYPES, column_of
from tests.oracle.engine import assert_passes, audit_frames, register
from tests.tables import rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meterhouse.tables.properties import Kind

OPERATORS: Final = get_args(Operator)
FUNCTIONS: Final = get_args(Function)
PROPERTIES: Final = ("size", "Size", "tokens.in cache", "absent", "name", "source", "timestamp")
METADATA: Final = PROPERTIES[:3]

# Few values, so that they meet: equal numbers and texts, texts that look like numbers, quotes and wildcards of SQL.
NUMBERS: Final = tuple(
    map(Decimal, ("-1.5", "0", "1", "2", "10", "0.000000000001", "-7", "333333333333333.333333333333", "1769904000"))
)
TEXTS: Final = ("", "1", "1.0", "-1.5", "a", "A", "ab", "b", "é", "it's", "%", "_", "true", "user", "call", '"')
SPELLED: Final = (
    "1e3",
    "-2.5E-1",
    "-0.0000000000005",
    "0e999",
    "1e15",
    "999999999999999.9999999999995",
    "01",
    " 1",
    "1e",
)
"""Texts that are numbers of JSON, or nearly."""
VALUES: Final[dict[str, tuple[Value, ...]]] = {"number": NUMBERS, "text": TEXTS, "flag": (True, False)}

MONTH_END: Final = datetime(2026, 1, 31, tzinfo=UTC)
INSTANTS: Final = tuple(
    MONTH_END + timedelta(days=days, hours=hours, microseconds=microseconds)
    for days, hours, microseconds in product((-1, 0, 1), (0, 12), (-1, 0, 1))
)
DST: Final = tuple(datetime(2026, 3, day, hour, tzinfo=UTC) for day, hour in ((28, 23), (29, 1), (29, 22)))
"""The bounds of a day of 23 hours in Europe, and the instant at which its clocks change."""

OPTIONS: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "count": ({},),
    "unique": ({}, {"carry_over": True}),
    **{function: ({}, {"numeric_text": "count"}) for function in ("max", "min", "avg")},
    **{
        function: ({}, {"numeric_text": "count"}, {"carry_over": True}, {"numeric_text": "count", "carry_over": True})
        for function in ("sum", "last", "weighted_sum")
    },
    "percentile": tuple(
        {"percent": Decimal(percent), "numeric_text": text}
        for percent, text in (
            ("50", "skip"),
            ("95", "count"),
            ("99.999999", "skip"),
            ("100", "skip"),
            ("0.000001", "count"),
        )
    ),
}
"""Every way to ask for an aggregation, but for rounding."""

DIRECTIONS: Final = ("up", "down", "half")
STEPS: Final = tuple(map(Decimal, ("0.000000000001", "0.5", "1", "3", "1000")))

SHAPES: Final[dict[str, tuple[Value | tuple[Value, ...] | None, ...]]] = {
    **VALUES,
    "list of number": (NUMBERS, (Decimal("1.00"), Decimal(-7))),
    "list of text": (("1", "ab"), TEXTS),
    "list of flag": ((True, False), (True,)),
    "mixed list": ((Decimal(1), "ab"), ("2", False), (Decimal(10), True, "é")),
    "nothing": (None,),
}
"""Values of a clause, by their type."""


def shapes_of(operator: str) -> list[str]:
    """Types of values that an operator takes."""
    match operator:
        case "exists":
            return ["nothing"]
        case "in" | "not_in":
            return [shape for shape in SHAPES if "list" in shape]
        case _:
            return list(VALUES)


values = st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.sampled_from(VALUES[kind]))
clauses = st.sampled_from([(name, shape) for name in OPERATORS for shape in shapes_of(name)]).flatmap(
    lambda drawn: st.builds(
        Clause,
        property=st.sampled_from(PROPERTIES),
        operator=st.just(drawn[0]),
        value=st.sampled_from(SHAPES[drawn[1]]),
    )
)
filters = st.recursive(
    clauses.map(lambda clause: Filter(clauses=(clause,))),
    lambda inner: st.builds(
        Filter, conjunction=st.sampled_from(["and", "or"]), clauses=st.lists(inner | clauses, max_size=3).map(tuple)
    ),
    max_leaves=4,
)
aggregations = st.sampled_from([(name, options) for name in FUNCTIONS for options in OPTIONS[name]]).flatmap(
    lambda drawn: st.builds(
        Aggregation,
        func=st.just(drawn[0]),
        property=st.none() if drawn[0] == "count" else st.sampled_from(PROPERTIES),
        **{option: st.just(value) for option, value in drawn[1].items()},
        rounding=st.none() | st.builds(Rounding, direction=st.sampled_from(DIRECTIONS), to=st.sampled_from(STEPS)),
    )
)
meters = st.lists(
    st.builds(
        Meter,
        filter=filters | st.just(Filter()),
        aggregation=aggregations,
        group_by=st.just(()) | st.lists(st.sampled_from(PROPERTIES), max_size=2, unique=True).map(tuple),
    ),
    min_size=1,
    max_size=6,
).map(lambda made: {f"m{place}": meter for place, meter in enumerate(made)})
changes = st.lists(
    st.tuples(st.sampled_from(INSTANTS), st.none() | filters, st.none() | st.sampled_from(PROPERTIES)),
    max_size=3,
    unique_by=lambda change: change[0],
)

sent = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["call", "a"]),
        "customer_id": st.sampled_from([None, "ada", "bob", "eve"]),
        "external_customer_id": st.sampled_from([None, "x-ada", "bob", "ada", "x-eve"]),
        "subscription_id": st.sampled_from([None, None, "sub-ada", "sub-bob", "ada"]),
        "timestamp": st.sampled_from(INSTANTS + DST),
        "received_at": st.sampled_from(INSTANTS),
        "properties": st.fixed_dictionaries({name: st.none() | values | st.sampled_from(SPELLED) for name in METADATA}),
    }
)
periods = st.fixed_dictionaries(
    {customer: st.sets(st.sampled_from(INSTANTS + DST), min_size=0, max_size=5) for customer in ("ada", "bob")}
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


HELD: Final[tuple[Value | None, ...]] = (None, *(value for some in VALUES.values() for value in some))


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
    columns = {column_of(kind, name): (kind, name) for name in METADATA for kind in TYPES}
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


def holding(pairs: Iterable[tuple[Value | None, Value | None]]) -> list[dict[str, Any]]:
    """Events that hold a pair of values as `size` and `Size`, over three days."""
    return [
        {
            "name": ("call", "a")[place % 2],
            "customer_id": "ada",
            "external_customer_id": None,
            "subscription_id": None,
            "timestamp": MONTH_END + timedelta(days=place % 3, seconds=place, microseconds=place * 7),
            "received_at": MONTH_END,
            "properties": {"size": size, "Size": other, "tokens.in cache": None},
        }
        for place, (size, other) in enumerate(pairs)
    ]


def changing(meter: Meter, later: list[tuple[datetime, Filter | None, str | None]]) -> Meter:
    """The meter with versions: from some instants on another filter, another property, or both."""
    changed = [
        MeterChange(
            **{"from": since},
            filter=rule,
            aggregation=None
            if name is None or meter.aggregation.property is None
            else meter.aggregation.model_copy(update={"property": name}),
        )
        for since, rule, name in sorted(later, key=lambda change: change[0])
    ]
    return Meter.model_validate(dict(meter) | {"changes": tuple(changed)})


def tables_of(events: pl.DataFrame, made: dict[str, Meter]) -> dict[str, pl.DataFrame]:
    """What is measured, of whom and how, as DuckDB gets it."""
    return {
        "events": events,
        "landed_files": LANDED_FILES,
        "meters": meter_rows(made),
        "meter_versions": meter_version_rows(made),
        "customers": CUSTOMERS,
        "subscriptions": SUBSCRIPTIONS,
    }


def audited(events: pl.DataFrame, made: dict[str, Meter], cycles: pl.DataFrame) -> pl.DataFrame:
    """Usage by Polars, after DuckDB has agreed with all of it."""
    cuts = cuts_within_days(cycles.lazy())
    daily = measure_daily(events.lazy(), made, CUSTOMERS.lazy(), SUBSCRIPTIONS.lazy(), cuts).collect()
    wanted = cycles.join(pl.DataFrame({"meter": list(made)}), how="cross")
    measured = (daily.lazy(), wanted.lazy(), meter_rows(made).lazy())
    usage, groups = measure_periods(*measured).collect(), measure_groups(*measured).collect()
    tables = tables_of(events, made) | {
        "billing_periods": cycles,
        "metered_prices": price_rows(made),
        "usage_daily": daily,
        "usage": usage,
        "usage_by_group": groups,
    }

    findings = audit_frames(tables, ["events_by_day", "usage_daily", "usage", "usage_by_group"])

    assert_passes(findings)
    assert [finding.compared for finding in findings[1:]] == [daily.height, usage.height, groups.height]
    return usage


def test_every_comparison_alike() -> None:
    """Each operator with each value on each property, and on events that hold each value: nothing is left to chance."""
    rules = [
        Filter(clauses=(Clause(property=name, operator=operator, value=value),))
        for name, operator in product(PROPERTIES, OPERATORS)
        for shape in shapes_of(operator)
        for value in SHAPES[shape]
    ]
    events = event_rows(holding(zip(HELD, reversed(HELD), strict=True)))
    numbered = {f"c{place}": rule for place, rule in enumerate(rules)}
    ours = events.select(matches(rule, EventProperties(events.columns)).alias(name) for name, rule in numbered.items())
    chosen = [condition(rule, Properties(events.columns)) for rule in rules]

    with duckdb.connect() as connection:
        register(connection, {"events": events})
        prepare(connection)
        rows = connection.execute(f"SELECT {', '.join(chosen)} FROM events ORDER BY position").fetchall()

    theirs = dict(zip(numbered, map(list, zip(*rows, strict=True)), strict=True))
    assert {name: numbered[name] for name in numbered if ours[name].to_list() != theirs[name]} == {}
    assert len(theirs) == len(rules)


def every_meter(operator: str) -> dict[str, Meter]:
    """A meter for each type of value that the operator takes, and each aggregation, whose options take turns."""
    turn = count(OPERATORS.index(operator))
    return {
        f"{shape} {function}": Meter(
            filter=Filter(
                clauses=(Clause(property="size", operator=operator, value=SHAPES[shape][len(SHAPES[shape]) // 3]),)
            ),
            aggregation=Aggregation(func=function, property=None if function == "count" else "Size", **chosen),
        )
        for shape, function in product(shapes_of(operator), FUNCTIONS)
        for chosen in [OPTIONS[function][next(turn) % len(OPTIONS[function])]]
    }


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_with_every_type_and_aggregation_alike(operator: str) -> None:
    events = event_rows(holding(product(HELD, (Decimal(-7), "2.5e-1", Decimal(1000), "ab", True, Decimal(1), None))))
    bounds = {"ada": {MONTH_END - timedelta(days=1), MONTH_END + timedelta(seconds=99), DST[0]}, "bob": set[datetime]()}
    made = every_meter(operator)

    usage = audited(events, made, period_rows(bounds))

    # Whatever is asked, some events answer it and some do not: no combination agrees because it says nothing.
    assert set(usage.filter(pl.col("events") > 0)["meter"]) == set(made)
    assert usage.filter(pl.col("events") + pl.col("skipped") >= events.height).is_empty()


def test_no_combination_of_operator_type_and_aggregation_is_left_out() -> None:
    generated = {
        (operator, shape_of(clause.value), meter.aggregation.func)
        for operator in OPERATORS
        for meter in every_meter(operator).values()
        for clause in meter.filter.clauses
        if isinstance(clause, Clause)
    }
    single = set(get_args(Operator)) - {"in", "not_in", "exists"}
    lists = {"list of number", "list of text", "list of flag", "mixed list"}
    assert generated == {
        *product(single, {"number", "text", "flag"}, get_args(Function)),
        *product({"in", "not_in"}, lists, get_args(Function)),
        *product({"exists"}, {"nothing"}, get_args(Function)),
    }


def test_no_way_to_ask_for_an_aggregation_is_left_out() -> None:
    asked = [meter.aggregation for operator in OPERATORS for meter in every_meter(operator).values()]
    assert {
        (made.func, *made.model_dump(exclude={"func", "property"}, exclude_unset=True).items()) for made in asked
    } == {(function, *options.items()) for function in FUNCTIONS for options in OPTIONS[function]}
    taken = {(function, option) for function in FUNCTIONS for options in OPTIONS[function] for option in options}
    assert taken == {(function, option) for option, functions in TAKES.items() for function in functions}


def shape_of(value: Value | tuple[Value, ...] | None) -> str:
    """The type of a clause's value, told from the value itself."""
    if isinstance(value, tuple):
        kinds = {kind_of(part) for part in value}
        return f"list of {kinds.pop()}" if len(kinds) == 1 else "mixed list"
    return kind_of(value) or "nothing"


def test_measured_alike() -> None:
    seen: set[tuple[str, str | None]] = set()

    @settings(max_examples=60)
    @given(st.lists(sent, max_size=30), meters, changes, periods)
    def measure(
        events: list[dict[str, Any]],
        made: dict[str, Meter],
        later: list[tuple[datetime, Filter | None, str | None]],
        bounds: dict[str, set[datetime]],
    ) -> None:
        seen.update((meter.aggregation.func, meter.aggregation.property) for meter in made.values())
        made["m0"] = changing(made["m0"], later)
        audited(event_rows(events), made, period_rows(bounds))

    measure()

    assert {func for func, _ in seen} == set(FUNCTIONS)
    assert {name for _, name in seen} >= set(PROPERTIES)
