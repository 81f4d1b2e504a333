"""What a source says of JSON files, and which files it is of (rule 1.2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from meterhouse.catalog.settings import Settings
from meterhouse.catalog.sources import Source, source_of
from meterhouse.landing import land_folder
from tests.records import CLOCK, DyingStore, event, read
from tests.tables import assert_rows


@pytest.mark.parametrize(
    ("files", "path", "matches"),
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "crm/a.csv", False),
        ("crm/*", "crm/a.csv", True),
        ("crm/*", "crm/2026/a.csv", False),
        ("crm/**", "crm/2026/a.csv", True),
        ("crm/**/*.csv", "crm/a.csv", True),
        ("crm/**/*.csv", "crm/2026/01/a.csv", True),
        ("**/*.csv", "a.csv", True),
        ("**", "any/thing.parquet", True),
        ("day-?.csv", "day-1.csv", True),
        ("day-?.csv", "day-10.csv", False),
        ("a.csv", "aXcsv", False),
        ("(a|b).csv", "a.csv", False),
    ],
)
def test_files_of_a_source(files: str, path: str, matches: bool) -> None:
    assert Source(files=files).matches(path) is matches


def test_the_first_source_that_matches_a_file_counts() -> None:
    sources = {"crm": Source(files="crm/**", source="crm"), "rest": Source(files="**", source="rest")}
    assert [source_of(sources, path).source for path in ("crm/a.csv", "a.csv")] == ["crm", "rest"]
    assert source_of({"crm": Source(files="crm/**")}, "a.csv").source is None


def test_who_sent_a_record_and_what_happened_where_it_does_not_say(tmp_path: Path) -> None:
    nameless = '{"event_id": "%s", "customer_id": "ada", "timestamp": "2026-03-01T12:00:00"%s}'
    (tmp_path / "e.jsonl").write_text(
        "\n".join([nameless % ("1", ""), nameless % ("2", ', "source": "a", "name": "b"')])
    )
    store = DyingStore()
    told = {"told": {"files": "*.jsonl", "source": "crm", "name": "call", "timezone": "Europe/Berlin"}}
    land_folder(tmp_path, store, Settings.model_validate({"name": "t", "sources": told}), CLOCK)
    assert_rows(
        store.table("events").lazy(),
        "source | event_id | name | timestamp\ncrm | 1 | call | 2026-03-01T11:00\na | 2 | b | 2026-03-01T11:00",
    )


def test_a_source_may_say_the_shape_and_then_no_other_is_taken() -> None:
    told = {"told": Source(files="*.jsonl", shape="lago")}
    lago = '{"transaction_id": "1", "code": "call", "external_subscription_id": "s", "timestamp": 1772366400}'
    taken = read(lago, event(), sources=told)
    assert taken.events["event_id"].to_list() == ["1"]
    (explanation,) = taken.rejected["explanation"].to_list()
    assert "by `sources` it is of Lago, whose events have no customer_id" in explanation
    own = {"told": Source(files="*.jsonl", shape="meterhouse")}
    assert read(lago, event(), sources=own).events["event_id"].to_list() == ["e"]
