"""Every row of the page on the meters' language is what the code makes of the page's events."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, get_args

import polars as pl
import pytest
import yaml

from docs.examples import ROOT
from meterhouse.catalog import Aggregation, Clause, Filter, Meter
from meterhouse.catalog.filters import Operator
from meterhouse.catalog.meters import TAKES, Function
from meterhouse.catalog.rows import meter_rows
from meterhouse.metering import EventProperties, cuts_within_days, matches, measure_daily, measure_periods
from meterhouse.tables import BillingPeriods, Customers, Subscriptions, empty, schema_of
from tests.records import read


def exact(clause: dict[str, Any]) -> dict[str, Any]:
    """Numbers with a point as decimals, as the catalog reads them."""
    return {key: Decimal(str(held)) if isinstance(held, float) else held for key, held in clause.items()}


PAGE: Final = (ROOT / "docs" / "meter-language.md").read_text(encoding="utf-8")
ROWS: Final = re.findall(r"^\| `(\{.*\})` \| (.*) \|$", PAGE, flags=re.MULTILINE)
CLAUSES: Final = [(exact(yaml.safe_load(text)), shown) for text, shown in ROWS if "operator:" in text]
AGGREGATIONS: Final = [(yaml.safe_load(text), shown.split(" | ")) for text, shown in ROWS if "func:" in text]
ADA: Final = pl.LazyFrame({"customer_id": ["ada"], "external_id": ["ada"], "name": ["Ada"]}, schema_of(Customers))
JANUARY: Final = ("s", 0, "ada", "p", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC), False)


def events() -> pl.LazyFrame:
    (block,) = re.findall(r"^```json\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    batch = read(*(line.replace('{"event_id"', '{"customer_id": "ada", "event_id"') for line in block.splitlines()))
    assert batch.rejected.is_empty()
    return batch.events.lazy()


@pytest.mark.parametrize(("clause", "shown"), CLAUSES, ids=str)
def test_a_clause_matches_the_events_that_the_page_names(clause: dict[str, Any], shown: str) -> None:
    landed = events()
    rule = Filter(clauses=(Clause.model_validate(clause),))
    hit = matches(rule, EventProperties(landed.collect_schema().names()))
    assert sorted(landed.filter(hit).collect()["event_id"]) == shown.split()


@pytest.mark.parametrize(("aggregation", "shown"), AGGREGATIONS, ids=str)
def test_an_aggregation_measures_what_the_page_says(aggregation: dict[str, Any], shown: list[str]) -> None:
    meters = {"m": Meter(aggregation=Aggregation.model_validate(aggregation))}
    cycle = pl.LazyFrame([JANUARY], schema_of(BillingPeriods), orient="row")
    daily = measure_daily(events(), meters, ADA, empty(Subscriptions).lazy(), cuts_within_days(cycle))
    usage = measure_periods(daily, cycle.with_columns(meter=pl.lit("m")), meter_rows(meters).lazy()).collect()
    quantity, counted, skipped = usage.select("quantity", "events", "skipped").row(0)
    told = "nothing" if quantity is None else f"{quantity.normalize():f}"
    assert [told, str(counted), str(skipped)] == shown


def test_the_filter_of_the_page_is_valid() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(Filter.model_validate(yaml.safe_load(block)["filter"]).clauses) == 2


def test_the_page_leaves_no_operator_aggregation_and_option_out() -> None:
    assert {clause["operator"] for clause, _ in CLAUSES} == set(get_args(Operator))
    assert {aggregation["func"] for aggregation, _ in AGGREGATIONS} == set(get_args(Function))
    assert [option for option in (*TAKES, "rounding") if f"{option}:" not in PAGE] == []
