"""Parquet files: properties as JSON text, as a struct or map, or as columns of their own (rules 1.2, 1.7)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meterhouse.catalog.settings import Settings
from meterhouse.landing import land_folder
from tests.records import CLOCK, DyingStore
from tests.tables import assert_rows

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def land_columns(folder: Path, held: dict[str, pa.Array], **source: Any) -> DyingStore:
    """Land one file: events `1`, `2`, ... of ada with more columns; a source says what is given."""
    rows = len(next(iter(held.values())))
    fields = {
        "event_id": pa.array([str(number) for number in range(1, rows + 1)]),
        "name": pa.array(["call"] * rows),
        "customer_id": pa.array(["ada"] * rows),
        "timestamp": pa.array([NOON] * rows, pa.timestamp("us", "UTC")),
    }
    kept = fields if not source.get("columns") else {}
    pq.write_table(pa.table({**kept, **held}), folder / "e.parquet")
    sources = {"told": {"files": "**/*.parquet", **source}} if source else {}
    store = DyingStore()
    land_folder(folder, store, Settings.model_validate({"name": "test", "sources": sources}), CLOCK)
    return store


def metadata(store: DyingStore) -> list[str]:
    return store.table("events").sort("position")["metadata"].to_list()


def refusals(store: DyingStore) -> list[tuple[int, str]]:
    return store.table("rejected_events").sort("position").select("position", "reason").rows()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([5, None, -(2**49)], pa.int64()), ['{"n":5}', "{}", '{"n":-562949953421312}']),
        (pa.array([255], pa.uint8()), ['{"n":255}']),
        (pa.array([Decimal("1.50"), Decimal("-0.25")], pa.decimal128(38, 2)), ['{"n":1.50}', '{"n":-0.25}']),
        (pa.array([Decimal("1.5")], pa.decimal256(60, 20)), ['{"n":1.50000000000000000000}']),
        # Floats have the fewest digits that tell them from others, of their own size.
        (
            pa.array([0.1, 0.1 + 0.2, 3.0, 5e-324], pa.float64()),
            [f'{{"n":{n}}}' for n in (0.1, 0.1 + 0.2, 3.0, 5e-324)],
        ),
        (pa.array([0.1, 16777216.0], pa.float32()), ['{"n":0.1}', '{"n":16777216.0}']),
        (pa.array([True, False]), ['{"n":true}', '{"n":false}']),
        (pa.array(['a"\\\n', "é", ""]), ['{"n":"a\\"\\\\\\n"}', '{"n":"é"}', '{"n":""}']),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ['{"n":"x"}', '{"n":"y"}', '{"n":"x"}']),
        (pa.array([NOON], pa.timestamp("us", "UTC")), ['{"n":"2026-03-01T12:00:00.000000Z"}']),
        (pa.array([date(2026, 3, 1)]), ['{"n":"2026-03-01"}']),
        (pa.nulls(2), ["{}", "{}"]),
        (pa.array([[1, None], []], pa.list_(pa.int64())), ['{"n":[1,null]}', '{"n":[]}']),
        (pa.array([[Decimal("0.10")]], pa.list_(pa.decimal128(10, 2))), ['{"n":[0.10]}']),
        (pa.array([{"a": 1, "b": None}, None]), ['{"n":{"a":1}}', "{}"]),
    ],
)
def test_a_property_in_a_column_of_its_own_is_the_json_of_its_value(
    tmp_path: Path, values: pa.Array, expected: list[str]
) -> None:
    store = land_columns(tmp_path, {"metadata.n": values})
    assert metadata(store) == expected


def test_metadata_as_a_struct(tmp_path: Path) -> None:
    """Nested structs are nested objects; what is null is not there."""
    held = pa.array(
        [
            {
                "tokens": 12,
                "cost": Decimal("0.000125"),
                "model": "x",
                "at": {"zone": "eu", "hot": True},
                "tags": ["a"],
            },
            {"tokens": None, "cost": None, "model": None, "at": None, "tags": None},
            None,
        ],
        pa.struct(
            {
                "tokens": pa.int32(),
                "cost": pa.decimal128(12, 6),
                "model": pa.string(),
                "at": pa.struct({"zone": pa.string(), "hot": pa.bool_()}),
                "tags": pa.list_(pa.string()),
            }
        ),
    )
    store = land_columns(tmp_path, {"metadata": held})
    assert metadata(store) == [
        '{"tokens":12,"cost":0.000125,"model":"x","at":{"zone":"eu","hot":true},"tags":["a"]}',
        "{}",
        "{}",
    ]
    assert_rows(
        store.table("events").lazy(),
        """
        event_id | number_tokens | number_cost | text_model | text_at.zone | flag_at.hot
        1        | 12            | 0.000125    | x          | eu           | yes
        2        | -             | -           | -          | -            | -
        3        | -             | -           | -          | -            | -
        """,
    )


def test_metadata_as_a_map(tmp_path: Path) -> None:
    kind = pa.map_(pa.string(), pa.float64())
    held = pa.array([[("tokens", 12.0), ("cost", 0.1)], [], None, [("a", 1.0), ("a", 2.0)]], kind)
    store = land_columns(tmp_path, {"metadata": held})
    assert metadata(store) == ['{"tokens":12.0,"cost":0.1}', "{}", "{}"]
    assert refusals(store) == [(4, "bad_metadata")]


def test_columns_beside_metadata_are_more_of_its_properties(tmp_path: Path) -> None:
    columns = {"metadata": pa.array(['{"a": 1}', "{}", None]), "metadata.b": pa.array([2, 3, None])}
    assert metadata(land_columns(tmp_path, columns)) == ['{"b":2,"a": 1}', '{"b":3}', "{}"]
    again = land_columns(tmp_path, {"metadata": pa.array(['{"b": 1}']), "metadata.b": pa.array([2])})
    assert refusals(again) == [(1, "bad_metadata")]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1.0, float("nan")]),
        pa.array([1.0, float("-inf")]),
        pa.array([1.0, float("inf")], pa.float32()),
        pa.array([{"x": 1.0}, {"x": float("nan")}]),
        pa.array([[1.0], [float("nan")]]),
        pa.array([1, 10**15]),
        pa.array([1.0, 1e300]),
    ],
)
def test_what_is_no_number_refuses_its_record(tmp_path: Path, values: pa.Array) -> None:
    store = land_columns(tmp_path, {"metadata.n": values})
    assert refusals(store) == [(2, "number_out_of_range")]
    assert store.table("events")["event_id"].to_list() == ["1"]
    (refused,) = store.table("rejected_events")["record"].to_list()
    assert refused.startswith('{"event_id":"2","name":"call","customer_id":"ada"')


def test_numbers_with_more_than_twelve_places_are_rounded_and_counted(tmp_path: Path) -> None:
    store = land_columns(tmp_path, {"metadata.n": pa.array([Decimal("0.0000000000005")], pa.decimal128(20, 13))})
    assert_rows(store.table("events").lazy(), "number_n\n0.000000000001")
    assert store.table("landed_files")["rounded_numbers"].to_list() == [1]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([b"\x00"]),
        pa.array([1], pa.duration("s")),
        pa.array([1], pa.time32("s")),
        pa.array([{"x": b"\x00"}]),
        pa.array([[(1, "a")]], pa.map_(pa.int64(), pa.string())),
    ],
)
def test_a_column_that_json_has_no_values_for_refuses_the_file(tmp_path: Path, values: pa.Array) -> None:
    store = land_columns(tmp_path, {"metadata.n": values})
    assert refusals(store) == [(0, "unknown_columns")]
    assert "column 'metadata.n' has type" in store.table("rejected_events")["explanation"][0]


def test_a_source_says_which_column_holds_what(tmp_path: Path) -> None:
    """Then an id may be a number, too."""
    store = land_columns(
        tmp_path,
        {
            "id": pa.array([7, 8], pa.int64()),
            "account": pa.array([12, None], pa.int32()),
            "at": pa.array([datetime(2025, 7, 1, 12)] * 2, pa.timestamp("us")),  # noqa: DTZ001 - from a clock
            "gb": pa.array([1.5, 2.5]),
            "region": pa.array([1, 2], pa.int8()),
            "note": pa.array(["x", "y"]),
        },
        name="stored",
        columns={"event_id": "id", "customer_id": "account", "timestamp": "at"},
        properties={"size": {"column": "gb", "type": "number"}, "region": {"type": "text"}},
        other_columns="ignore",
        timezone="Europe/Berlin",
    )
    assert_rows(
        store.table("events").lazy(),
        """
        event_id | name   | customer_id | timestamp        | number_size | text_region
        7        | stored | 12          | 2025-07-01T10:00 | 1.5         | 1
        """,
    )
    assert refusals(store) == [(2, "no_customer")]


@pytest.mark.parametrize(("type_", "values"), [("number", pa.array([True])), ("flag", pa.array([1]))])
def test_a_column_of_another_type_than_a_source_says_refuses_the_file(
    tmp_path: Path, type_: str, values: pa.Array
) -> None:
    store = land_columns(tmp_path, {"n": values}, properties={"n": {"type": type_}})
    assert refusals(store) == [(0, "unknown_columns")]


def test_text_in_a_struct_that_is_not_utf8_refuses_its_record(tmp_path: Path) -> None:
    offsets = pa.array([0, 2, 4], pa.int32()).buffers()[1]
    text = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"\xff\xfeok"))
    store = land_columns(tmp_path, {"metadata": pa.StructArray.from_arrays([text], ["t"])})
    assert refusals(store) == [(1, "bad_utf8")]
    assert metadata(store) == ['{"t":"ok"}']


def test_columns_may_be_those_of_a_peer(tmp_path: Path) -> None:
    table = {
        "specversion": pa.array(["1.0"]),
        "id": pa.array(["1"]),
        "source": pa.array(["api"]),
        "type": pa.array(["call"]),
        "subject": pa.array(["ada"]),
        "time": pa.array([NOON]),
        "data": pa.array([{"n": 1}]),
    }
    pq.write_table(pa.table(table), tmp_path / "e.parquet")
    store = DyingStore()
    land_folder(tmp_path, store, Settings(name="t"), CLOCK)
    assert_rows(
        store.table("events").lazy(),
        "source | event_id | name | customer_id | timestamp | number_n\napi | 1 | call | ada | 2026-03-01T12:00 | 1",
    )
