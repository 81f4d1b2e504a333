"""How many properties have columns, and what becomes of the others: kept in the metadata, and metered from it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from meterhouse.catalog.filters import Clause, Filter
from meterhouse.catalog.meters import Aggregation, Meter
from meterhouse.catalog.settings import Limits
from meterhouse.tables import Events, schema_of
from meterhouse.tables.properties import LONGEST
from tests.metered import measure
from tests.records import DyingStore, KilledError, event, land
from tests.tables import assert_rows

if TYPE_CHECKING:
    from pathlib import Path


def _write(folder: Path, name: str, *metadata: dict[str, Any]) -> None:
    lines = [event(json.dumps(held), event_id=f"{name}-{place}") for place, held in enumerate(metadata)]
    (folder / f"{name}.jsonl").write_text("\n".join(lines))


def _typed(store: DyingStore) -> list[str]:
    return sorted(set(store.table("events").columns) - set(schema_of(Events).names()))


def test_properties_have_columns_first_come_first_served(tmp_path: Path) -> None:
    _write(tmp_path, "a", {"a": 1}, {"c": 1, "b": "x"}, {"a": "x", "d": 1}, {"d": 2, "a": 2})
    store = land(tmp_path, limits=Limits(max_property_columns=3))
    assert_rows(
        store.table("events").lazy(),
        """
        event_id | number_a | text_b | number_c
        a-0      | 1        | -      | -
        a-1      | -        | x      | 1
        a-2      | -        | -      | -
        a-3      | 2        | -      | -
        """,
    )
    assert_rows(
        store.table("untyped_properties").lazy(), "kind | property | landed_at\nnumber|d|2026-03-02\ntext|a|2026-03-02"
    )


def test_a_property_without_a_column_never_gets_one(tmp_path: Path) -> None:
    _write(tmp_path, "a", {"a": 1}, {"b": 1})
    store = land(tmp_path, limits=Limits(max_property_columns=1))
    _write(tmp_path, "b", {"b": 2, "c": 3})
    land(tmp_path, store, limits=Limits(max_property_columns=9))
    assert _typed(store) == ["number_a", "number_c"]


def test_a_lower_bound_takes_no_column_away(tmp_path: Path) -> None:
    _write(tmp_path, "a", {"a": 1})
    store = land(tmp_path)
    _write(tmp_path, "b", {"a": 2, "b": 1})
    land(tmp_path, store, limits=Limits(max_property_columns=0))
    assert _typed(store) == ["number_a"]
    assert store.table("events")["number_a"].null_count() == 0


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_which_properties_have_columns_does_not_depend_on_how_landing_was_cut(tmp_path: Path, batch_rows: int) -> None:
    _write(tmp_path, "a", {"z": 1}, {"y": 1, "x": "t"}, {"w": True})
    _write(tmp_path, "b", {"v": 1}, {"y": "t", "z": 2})
    store = land(tmp_path, batch_rows=batch_rows, limits=Limits(max_property_columns=3))
    assert _typed(store) == ["number_y", "number_z", "text_x"]
    assert store.table("untyped_properties").select("kind", "property").rows() == [
        ("flag", "w"),
        ("number", "v"),
        ("text", "y"),
    ]


@pytest.mark.parametrize("appends", range(4))
def test_a_landing_cut_short_remembers_what_has_no_column(tmp_path: Path, appends: int) -> None:
    _write(tmp_path, "a", {"a": 1}, {"b": 1})
    store = DyingStore(appends_left=appends)
    limits = Limits(max_property_columns=1)
    if appends < 3:
        with pytest.raises(KilledError):
            land(tmp_path, store, limits=limits)
    store.appends_left = None
    land(tmp_path, store, limits=limits)
    assert _typed(store) == ["number_a"]
    assert store.table("untyped_properties").select("kind", "property").rows() == [("number", "b")]


def test_a_name_that_is_too_long_for_a_column_needs_no_remembering(tmp_path: Path) -> None:
    _write(tmp_path, "a", {"n" * LONGEST: 1, "n" * (LONGEST + 1): 2, "é" * LONGEST: 3})
    store = land(tmp_path)
    assert _typed(store) == ["number_" + "n" * LONGEST]
    assert store.table("untyped_properties").is_empty()
    assert _measured(store, _meter("n" * (LONGEST + 1))) == Decimal(2)
    assert _measured(store, _meter("é" * LONGEST)) == Decimal(3)


def _meter(name: str, *clauses: Clause) -> Meter:
    return Meter(aggregation=Aggregation(func="sum", property=name), filter=Filter(clauses=clauses))


def _measured(store: DyingStore, meter: Meter) -> Decimal:
    """What a meter sums; the audit must find the same."""
    measured = measure(store, {"m": meter})
    assert measured.height == 1
    return Decimal(measured["sum"].item())


@pytest.mark.parametrize(
    "name",
    [
        "n",
        "a.b",
        "a..b",
        ".",
        "__proto__",
        "\0",
        "é",
        "🦉",
        '"',
        "\\",
        "/",
        "%41",
        "ß",
        "İ",
        "x" * 10_000,
        " n",
        "null",
    ],
)
def test_a_meter_reads_any_property_from_the_metadata_as_it_would_from_a_column(tmp_path: Path, name: str) -> None:
    held = [
        json.dumps({name: 1.5}),
        json.dumps({name: 2}, ensure_ascii=False),
        json.dumps({name: "3"}),
        '{"m": {"a": 1}}',
    ]
    lines = [event(text, event_id=str(place)) for place, text in enumerate(held)]
    (tmp_path / "e.jsonl").write_text("\n".join(lines))
    for most in (0, 500):
        assert _measured(land(tmp_path, limits=Limits(max_property_columns=most)), _meter(name)) == Decimal("3.5")


def test_nested_properties_are_read_from_the_metadata(tmp_path: Path) -> None:
    _write(tmp_path, "a", {"a": {"b": 1, "c": [1]}}, {"a.b": 2}, {"a": {"b": "x"}}, {"b": 4})
    assert _measured(land(tmp_path, limits=Limits(max_property_columns=0)), _meter("a.b")) == 3


@pytest.mark.parametrize("cells", [1, 8, 1 << 25])
def test_properties_of_a_batch_that_has_very_many_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr("meterhouse.landing.properties.rare.MOST_CELLS", cells)
    monkeypatch.setattr("meterhouse.landing.properties.typed.MOST_NAMES", 3)
    _write(tmp_path, "a", {"a": 1, "b": "x"}, {"c": True, "a": 2}, {"b": 3}, {}, {"d": {"a": 4}}, {"B": "y", "a": 5})
    store = land(tmp_path, limits=Limits(max_property_columns=5))
    assert_rows(
        store.table("events").lazy(),
        """
        event_id | number_a | text_b | flag_c | number_b | number_d.a
        a-0      | 1        | x      | -      | -        | -
        a-1      | 2        | -      | yes    | -        | -
        a-2      | -        | -      | -      | 3        | -
        a-3      | -        | -      | -      | -        | -
        a-4      | -        | -      | -      | -        | 4
        a-5      | 5        | -      | -      | -        | -
        """,
    )
    assert store.untyped_properties() == {("text", "B")}


def test_twenty_thousand_properties_make_no_twenty_thousand_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meterhouse.landing.properties.rare.MOST_CELLS", 1 << 20)
    _write(tmp_path, "a", *({f"p{row}": row, f"q{row}": "x", "n": 1} for row in range(10_000)))
    store = land(tmp_path, batch_rows=100_000)
    assert len(_typed(store)) == 500
    assert store.table("untyped_properties").height == 20_001 - 500
    assert _measured(store, _meter("p9999")) == 9_999
    assert _measured(store, _meter("n")) == 10_000
