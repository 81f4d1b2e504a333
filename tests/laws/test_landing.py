"""What holds for any events, however they are spelled, split and repeated (rules 1.3, 1.7, 8.6)."""

from __future__ import annotations

import json
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meterhouse.catalog.filters import Clause, Filter
from meterhouse.catalog.meters import Aggregation, Meter
from meterhouse.catalog.settings import Limits
from meterhouse.tables.properties import KINDS, REFUSED, Held, column_of, property_columns, property_of
from tests.metered import measure
from tests.records import DyingStore, event, land, read

names = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["id", "ID", "Id", "%49D", "straße", "İ"])
spelled_alike = st.text(st.sampled_from("aA_%5Fİß"), max_size=6)
values = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=2), st.lists(st.integers(), max_size=1)
)
metadata = st.dictionaries(st.sampled_from(["a", "A", "b", "b.c"]), values | st.dictionaries(names, values, max_size=2))
records = st.builds(
    lambda properties, event_id: event(json.dumps(properties), event_id=event_id), metadata, st.sampled_from("abcdef")
) | st.sampled_from(["no json", "{}", event('{"a": 1e15}', event_id="a")])


@given(st.lists(st.tuples(st.sampled_from(KINDS), spelled_alike | names), unique=True))
def test_property_names_can_be_read_back_and_never_clash(properties: list[Held]) -> None:
    columns = [column_of(*held) for held in properties]
    assert [property_of(column) for column in columns] == properties
    assert len({column.lower() for column in columns}) == len(columns)
    assert all(REFUSED.isdisjoint(column.replace("%", "")) for column in columns)


LARGEST = 10**15 - 1


@given(
    st.lists(st.decimals(-LARGEST, LARGEST, places=12) | st.integers(-LARGEST, LARGEST), min_size=1)
    | st.lists(st.integers(-LARGEST, LARGEST), min_size=1)
)
def test_numbers_are_kept_exactly(numbers: list[Decimal | int]) -> None:
    taken = read(*(event(f'{{"n": {number}}}') for number in numbers)).events["number_n"].to_list()
    assert taken == [Decimal(number) for number in numbers]


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,14})\.[0-9]{1,20}(e-?[0-9]{1,2})?", fullmatch=True))
def test_numbers_are_rounded_once_and_never_pass_through_floats(spelled: str) -> None:
    expected = (
        Decimal(spelled).quantize(Decimal("1e-12"), rounding=ROUND_HALF_UP) if abs(Decimal(spelled)) < 10**16 else None
    )
    taken = read(event(f'{{"n": {spelled}}}'))
    if expected is None or abs(expected) >= 10**15:
        assert taken.rejected["reason"].to_list() == ["number_out_of_range"]
    else:
        assert taken.events["number_n"].to_list() == [expected]
        assert taken.rounded.height == (expected != Decimal(spelled))


def _landed(files: list[list[str]], batch_rows: int = 1000, times: int = 1, limits: Limits | None = None) -> DyingStore:
    with TemporaryDirectory() as folder:
        for number, lines in enumerate(files):
            (Path(folder) / f"{number:03}.jsonl").write_text("\n".join(lines))
        store = DyingStore()
        for _ in range(times):
            land(Path(folder), store, batch_rows, limits)
        return store


def _accepted(store: DyingStore) -> list[dict[str, object]]:
    """Events without where they lay, their properties by name."""
    events = store.table("events").sort("event_id")
    columns = property_columns(events.columns)
    kept = {name: name for name in ("source", "event_id", "name", "customer_id", "timestamp", "metadata")}
    kept |= {f"{kind} {name}": column for (kind, name), column in columns.items()}
    return [
        {name: row[column] for name, column in kept.items() if row[column] is not None}
        for row in events.iter_rows(named=True)
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(records, max_size=12), st.lists(st.integers(0, 12), max_size=3), st.integers(1, 4))
def test_any_split_into_files_and_batches_gives_the_same_events(lines: list[str], cuts: list[int], batch: int) -> None:
    edges = [0, *sorted(cuts), len(lines)]
    files = [lines[start:end] for start, end in pairwise(edges)]
    # Files of the same content are one file, so each gets a line of its own.
    split = [[*part, f"file {number}"] for number, part in enumerate(files)]
    assert _accepted(_landed(split, batch_rows=batch)) == _accepted(_landed([lines]))


METERS = {
    f"{function} {name}": Meter(
        aggregation=Aggregation(func=function, property=name),
        filter=Filter(clauses=(Clause(property=filtered, operator="ne", value="1"),) if filtered else ()),
    )
    for function in ("sum", "unique")
    for name, filtered in (("a", ""), ("A", "b"), ("b", "a"), ("b.c", ""), ("a.id", "b.Id"))
}


@settings(max_examples=25, deadline=None)
@given(st.lists(records, max_size=12), st.integers(0, 6), st.integers(1, 4))
def test_how_many_properties_have_columns_changes_no_usage(lines: list[str], most: int, batch: int) -> None:
    few = _landed([lines], batch_rows=batch, limits=Limits(max_property_columns=most))
    assert len(property_columns(few.table("events").columns)) <= most
    assert_frame_equal(measure(few, METERS), measure(_landed([lines]), METERS), check_row_order=False)


@settings(max_examples=40, deadline=None)
@given(st.lists(records, max_size=12))
def test_landing_twice_changes_nothing(lines: list[str]) -> None:
    once, twice = _landed([lines]), _landed([lines], times=2)
    for table in ("events", "rejected_events", "event_duplicates", "event_conflicts", "landed_files"):
        assert once.table(table).equals(twice.table(table))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(records, max_size=8), min_size=1, max_size=3), st.integers(1, 4))
def test_every_record_is_an_event_or_stands_in_one_side_table(files: list[list[str]], batch: int) -> None:
    store = _landed(files, batch_rows=batch)
    landed = store.table("landed_files")
    assert (
        landed["records"]
        == landed.select(pl.sum_horizontal("events", "rejected", "duplicates", "conflicts")).to_series()
    ).all()
    assert landed["records"].sum() == sum(map(len, {tuple(lines): lines for lines in files}.values()))
    sides = {
        "events": "events",
        "rejected": "rejected_events",
        "duplicates": "event_duplicates",
        "conflicts": "event_conflicts",
    }
    for count, table in sides.items():
        assert landed[count].sum() == store.table(table).height
