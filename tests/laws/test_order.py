"""Any split into files, any order of landing and any bound on columns give the same tables (rules 1.3, 8.6).

Compared is every column of every table, rows sorted, but for `OF_FILES` and `OF_INPUTS`: where a record lay, and
digests of what was landed. What resends disagree about is left out here: of them the first received wins.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meterhouse.catalog import read_project
from meterhouse.planning import land, run
from meterhouse.tables import WAREHOUSE
from meterhouse.tables.properties import property_columns
from meterhouse.warehouse import Warehouse
from tests.projects import write_project
from tests.records import event
from tests.small_project import without_waiting_for_the_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

CLOCK: Final = datetime(2026, 4, 2, tzinfo=UTC)
THROUGH: Final = date(2026, 4, 1)

OF_FILES: Final = ("file_id", "position", "path")
OF_INPUTS: Final = {"runs": ("run_id", "inputs"), "fingerprints": ("inputs",)}
ENOUGH: Final = 500
"""Columns for all properties."""

COUNTS: Final = ("records", "events", "rejected", "duplicates", "conflicts", "voids", "rounded_numbers")

CATALOG: Final = """\
meters:
  tokens: { event: call, aggregation: { func: sum, property: promptTokens } }
  other: { event: call, filter: { clauses: [{ property: Model, operator: ne, value: a }] },
           aggregation: { func: sum, property: PromptTokens } }
  last: { event: call, aggregation: { func: last, property: prompttokens } }
  models: { event: call, group_by: [model], aggregation: { func: unique, property: Model } }
products:
  pro:
    prices:
      - { id: tokens, kind: unit, meter: tokens, amount: 0.07 }
      - { id: other, kind: unit, meter: other, amount: 1.1 }
      - { id: last, kind: unit, meter: last, amount: 3 }
      - { id: models, kind: unit, meter: models, amount: 5 }
    benefits: [{ id: credits, meter: tokens, units: 5 }]
"""

values = st.sampled_from([0.1, 1, 12, "a", "B", True])
metadata = st.dictionaries(
    st.sampled_from(["promptTokens", "PromptTokens", "prompttokens", "model", "Model"]), values, max_size=5
)
customers = st.sampled_from(["ada", "bob", "nobody"])
times = st.sampled_from(["2026-03-01T00:00:00Z", "2026-03-01T12:00:00Z", "2026-03-31T23:59:59Z"])


@st.composite
def sent(draw: st.DrawFn) -> list[str]:
    """Events, and resends, voids and refused records among them."""
    drawn = draw(st.lists(st.tuples(metadata, customers, times), min_size=2, max_size=12))
    events = [
        event(json.dumps(properties), str(place), customer, at)
        for place, (properties, customer, at) in enumerate(drawn)
    ]
    resent = draw(st.lists(st.sampled_from(events), max_size=3))
    voids = [f'{{"void": "{place}", "timestamp": "{drawn[place][2]}"}}' for place in range(0, len(drawn), 5)]
    return [*events, *resent, *voids, "no json", event('{"n": 1e15}', "large")]


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with without_waiting_for_the_disk():
        yield


def _tables(landings: list[list[list[str]]], most_columns: int = ENOUGH) -> dict[str, pl.DataFrame]:
    """All tables of a project whose records came in these landings, of files of lines each."""
    with TemporaryDirectory() as folder:
        root = write_project(
            Path(folder),
            CATALOG,
            f"name: Test\ngrace_days: 0\nlimits: {{ max_property_columns: {most_columns} }}",
            customers__csv="customer_id,name\nada,Ada\nbob,Bob\n",
            subscriptions__csv="subscription_id,customer_id,product,started_at\n"
            "s-ada,ada,pro,2026-03-01\ns-bob,bob,pro,2026-03-01T12:00:00\n",
        )
        (root / "events").mkdir()
        project, warehouse = read_project(root), Warehouse(str(root / "warehouse"))
        for number, files in enumerate(landings):
            for name, lines in enumerate(files):
                # Files of the same content would be one file.
                text = "\n".join([*lines, " " * (100 * number + name)])
                (root / "events" / f"{number}-{name}.jsonl").write_text(text)
            land(project, warehouse, CLOCK)
        run(project, THROUGH, CLOCK)
        return {name: _compared(name, warehouse.scan(name).collect()) for name in WAREHOUSE}


def _compared(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    if table == "landed_files":
        return rows.select(pl.col(COUNTS).sum())
    kept = rows.drop(*OF_FILES, *OF_INPUTS.get(table, ()), strict=False)
    return kept.sort(kept.columns)


def _arranged(lines: list[str], order: random.Random, cuts: list[int], landings: int) -> list[list[list[str]]]:
    shuffled = order.sample(lines, len(lines))
    files = [shuffled[start:end] for start, end in pairwise([0, *sorted(cut % len(lines) for cut in cuts), len(lines)])]
    return [files[landing::landings] for landing in range(landings)]


@settings(max_examples=8, deadline=None)
@given(
    sent(),
    st.randoms(use_true_random=False),
    st.lists(st.integers(0, 40), max_size=4),
    st.integers(1, 3),
    st.sampled_from([ENOUGH, ENOUGH, 0, 1, 3]),
)
def test_how_records_arrive_changes_no_table(
    lines: list[str], order: random.Random, cuts: list[int], landings: int, most_columns: int
) -> None:
    expected = _tables([[lines]])
    found = _tables(_arranged(lines, order, cuts, landings), most_columns)
    if most_columns < ENOUGH:
        # Which properties have columns, the order decides; what is measured of them, it does not.
        for tables in (expected, found):
            del tables["untyped_properties"]
            tables["events"] = tables["events"].drop(property_columns(tables["events"].columns).values())
    for name, frame in expected.items():
        assert_frame_equal(found[name], frame)
    assert expected["usage_daily"].height
