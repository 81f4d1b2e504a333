"""Meters against the events that landed: each way to be odd, with the words that tell it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, get_args

import pytest

from meterhouse.catalog import Aggregation, Catalog, Meter, Product, read_project
from meterhouse.catalog.wording import meter_words
from meterhouse.metering import EventProperties, skip_reason
from meterhouse.planning import check_meters, land
from meterhouse.planning.meter_check import Oddity
from meterhouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

METADATA: Final = (
    {"model": "gpt-4", "total_tokens": 5, "size": "10", "cached": True, "usage": {"in": 1}},
    {"model": "gpt-4", "total_tokens": 7, "size": "9", "cached": False, "usage": {"in": [1]}},
    {"model": "claude", "total_tokens": None, "size": "8", "half": 1},
    {"model": "claude", "size": "7", "half": {"a": "b"}, "list": [1, 2]},
)

COUNT: Final[dict[str, Any]] = {"aggregation": {"func": "count"}}


def _counting(held: str, operator: str, value: object) -> dict[str, Any]:
    return COUNT | {"filter": {"clauses": [{"property": held, "operator": operator, "value": value}]}}


ODD: Final[list[tuple[Oddity, dict[str, Any], str]]] = [
    (
        "unknown_event",
        {"event": "Call", "aggregation": {"func": "count"}},
        "`name eq \"Call\"`: no event has such a name. Did you mean 'call'?",
    ),
    (
        "unknown_property",
        {"aggregation": {"func": "sum", "property": "tokens"}},
        "No event has a property 'tokens' with a text, a number, true or false. Did you mean 'total_tokens'?",
    ),
    (
        "unknown_property",
        {"aggregation": {"func": "sum", "property": "list"}},
        "No event has a property 'list' with",
    ),
    (
        "unknown_property",
        _counting("Model", "ne", "x"),
        "Did you mean 'model'?",
    ),
    (
        "type_never_matches",
        {"aggregation": {"func": "sum", "property": "size"}},
        "'size' is always a text, and `sum` counts only numbers: nothing is measured.",
    ),
    (
        "type_never_matches",
        _counting("cached", "eq", "yes"),
        "`cached eq \"yes\"` matches no event: 'cached' is always true or false, and compares only with that.",
    ),
    (
        "type_never_matches",
        {"aggregation": {"func": "sum", "property": "model", "numeric_text": "count"}},
        "'model' is always a text, and never spelled as a number: nothing is measured.",
    ),
    (
        "unknown_property",
        {"filter": {"clauses": [{"property": "Size", "operator": "exists"}]}} | COUNT,
        "No event has a property 'Size' with a text, a number, true or false. Did you mean 'size'?",
    ),
    (
        "unknown_property",
        COUNT | {"group_by": ["modell"]},
        "No event has a property 'modell' with a text, a number, true or false. Did you mean 'model'?",
    ),
    (
        "unknown_event",
        COUNT | {"event": "call", "changes": [{"from": "2027-01-01T00:00:00Z", "event": "cal"}]},
        "`name eq \"cal\"`: no event has such a name. Did you mean 'call'?",
    ),
    (
        "matches_nothing",
        _counting("model", "in", ["gpt", "claude-3"]),
        '`model in ["gpt","claude-3"]` matches no event. Did you mean',
    ),
    (
        "matches_nothing",
        _counting("model", "not_in", ["gpt-4", "claude"]),
        '`model not_in ["gpt-4","claude"]` matches no event. Events have: claude, gpt-4.',
    ),
    (
        "compares_digits",
        _counting("size", "gt", 10),
        "`size gt 10`: 'size' is always a text, so that digits are compared and not numbers",
    ),
    (
        "matches_nothing",
        _counting("model", "eq", "gpt4"),
        "`model eq \"gpt4\"` matches no event. Did you mean 'gpt-4'?",
    ),
    (
        "matches_nothing",
        {
            "filter": {
                "clauses": [
                    {"property": "model", "operator": "eq", "value": "claude"},
                    {"property": "total_tokens", "operator": "gt", "value": 5},
                ]
            },
            "aggregation": {"func": "count"},
        },
        'Without `model eq "claude"` 1, without `total_tokens gt 5` 2 would match.',
    ),
    (
        "all_skipped",
        {
            "filter": {"clauses": [{"property": "model", "operator": "eq", "value": "claude"}]},
            "aggregation": {"func": "sum", "property": "total_tokens"},
        },
        "None of the 2 events that match has a value 'total_tokens' that counts: nothing is measured.",
    ),
    (
        "skipped",
        {"aggregation": {"func": "max", "property": "total_tokens"}},
        "2 of the 4 events that match have no value 'total_tokens' that counts.",
    ),
    ("no_price", {"aggregation": {"func": "count"}}, "No product prices it or grants credits of it"),
]

NOT_ODD: Final[list[dict[str, Any]]] = [
    {"aggregation": {"func": "count"}},
    {"event": "call", "aggregation": {"func": "unique", "property": "model"}},
    COUNT | {"group_by": ["model", "name"]},
    {"aggregation": {"func": "sum", "property": "size", "numeric_text": "count"}},
    _counting("model", "in", ["gpt-4", "other"]),
    _counting("timestamp", "gt", 5),
    _counting("source", "eq", "user"),
    _counting("size", "eq", 10),
    _counting("cached", "eq", value=True),
]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Four events."""
    root = tmp_path_factory.mktemp("project")
    _write(root, "catalog/meters.yaml", "meters: {}\n")
    _write(root, "meterhouse.yaml", "name: Odd meters\n")
    _write(root, "customers.csv", "customer_id\nada\n")
    _write(root, "subscriptions.csv", "subscription_id,customer_id,product,started_at\n")
    common = {"name": "call", "customer_id": "ada", "timestamp": "2026-01-05T00:00:00Z"}
    lines = [json.dumps({"event_id": str(number), **common, "metadata": held}) for number, held in enumerate(METADATA)]
    _write(root, "events/one.jsonl", "\n".join(lines))
    project = read_project(root)
    found = Warehouse(str(project.warehouse))
    land(project, found, datetime(2026, 2, 1, tzinfo=UTC))
    return found


def _write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _checked(warehouse: Warehouse, meter: dict[str, Any]) -> dict[Oddity, str]:
    catalog = Catalog(meters={"tried": Meter.model_validate(meter)})
    return {finding.kind: finding.says for finding in check_meters(catalog, warehouse)}


@pytest.mark.parametrize(("kind", "meter", "says"), ODD)
def test_what_is_odd(warehouse: Warehouse, kind: Oddity, meter: dict[str, Any], says: str) -> None:
    found = _checked(warehouse, meter)
    assert says in found.pop(kind)
    assert found.keys() <= {"no_price"}


@pytest.mark.parametrize("meter", NOT_ODD)
def test_what_is_not_odd(warehouse: Warehouse, meter: dict[str, Any]) -> None:
    assert _checked(warehouse, meter).keys() == {"no_price"}


def test_every_way_to_be_odd_has_its_row() -> None:
    assert {kind for kind, _, _ in ODD} == set(get_args(Oddity))


def test_a_meter_has_a_price_where_a_product_prices_it_or_grants_credits_of_it(warehouse: Warehouse) -> None:
    counting = Meter(aggregation=Aggregation(func="count"))
    prices = [{"id": "calls", "kind": "unit", "meter": "priced", "amount": "1"}]
    benefits = [{"id": "free", "meter": "granted", "units": 5}]
    product = Product.model_validate({"prices": prices, "benefits": benefits})
    meters = {"priced": counting, "granted": counting, "neither": counting}
    found = check_meters(Catalog(meters=meters, products={"plan": product}), warehouse)
    assert [finding.meter for finding in found] == ["neither"]


def test_nothing_is_compared_before_events_came(tmp_path: Path) -> None:
    assert _checked(Warehouse(str(tmp_path)), {"event": "call", "aggregation": {"func": "count"}}).keys() == {
        "no_price"
    }


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        ("total_tokens", ["number", "number", "missing", "missing"]),
        ("size", ["text"] * 4),
        ("cached", ["flag", "flag", "missing", "missing"]),
        ("usage.in", ["number", "array", "missing", "missing"]),
        ("half", ["missing", "missing", "number", "object"]),
        ("list", ["missing", "missing", "missing", "array"]),
        ("it's", ["missing"] * 4),
    ],
)
def test_why_a_value_does_not_count(warehouse: Warehouse, held: str, reason: list[str]) -> None:
    events = warehouse.scan("events").sort("event_id")
    properties = EventProperties(events.collect_schema().names())
    assert events.with_columns(reason=skip_reason(held, properties)).collect()["reason"].to_list() == reason


def test_a_meter_in_words() -> None:
    meter = Meter.model_validate(
        {
            "event": "call",
            "filter": {
                "conjunction": "or",
                "clauses": [
                    {"property": "model", "operator": "like", "value": "gpt"},
                    {"property": "tokens", "operator": "gt", "value": 5},
                ],
            },
            "aggregation": {"func": "sum", "property": "tokens"},
        }
    )
    assert meter_words(meter) == 'sum of tokens where name eq "call" and (model like "gpt" or tokens gt 5)'
    change = {"from": "2026-02-01T00:00:00Z", "event": "chat"}
    changing = Meter.model_validate(COUNT | {"event": "call", "group_by": ["model"], "changes": [change]})
    assert meter_words(changing) == (
        'count by model where name eq "call"; from 2026-02-01 00:00 UTC on count by model where name eq "chat"'
    )
    options = {"func": "percentile", "property": "seconds", "percent": 95, "numeric_text": "count"}
    percentile = Meter.model_validate({"aggregation": options})
    assert meter_words(percentile) == "percentile 95 of seconds (texts as numbers) of all events"
    assert meter_words(Meter(aggregation=Aggregation(func="count"))) == "count of all events"
