"""Refused records are read again under other settings (rule 1.4), each still at its file and position."""

from __future__ import annotations

import contextlib
import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from meterhouse.catalog.settings import Limits, Settings
from meterhouse.landing import RetryReport, land_folder, look_at, retry_rejected
from tests.records import CLOCK, DyingStore, KilledError, event
from tests.tables import assert_rows

NOBODY = '{"event_id": "n", "name": "call", "timestamp": "2026-03-01T12:00:00Z"}'
LATER = event(event_id="l", at="2026-03-05T12:00:00Z")
WITHOUT_ID = '{"name": "call", "customer_id": "ada", "timestamp": "2026-03-05T12:00:00Z"}'


def _land(folder: Path, store: DyingStore, **settings: Any) -> None:
    land_folder(folder, store, Settings(name="test", **settings), CLOCK)


def _retry(folder: Path, store: DyingStore, **settings: Any) -> RetryReport:
    return retry_rejected(folder, store, Settings(name="test", **settings), CLOCK)


def _refusing(folder: Path, name: str = "one.jsonl", content: str = f"{NOBODY}\nno json\n\n{LATER}\n") -> DyingStore:
    (folder / name).write_text(content)
    store = DyingStore()
    _land(folder, store)
    return store


def _kept(store: DyingStore, *columns: str) -> pl.LazyFrame:
    return store.table("events").select(*columns).lazy()


def test_what_a_changed_setting_can_use_becomes_events_at_their_own_places(tmp_path: Path) -> None:
    store = _refusing(tmp_path)
    (tmp_path / "one.jsonl").unlink()
    report = _retry(tmp_path, store, missing_customer="unattributed", future_limit_days=30)
    assert (report.outcomes, +report.refused) == ({"event": 2}, {"bad_json": 1})
    assert_rows(_kept(store, "event_id", "position"), "event_id | position\nn | 1\nl | 4")
    assert_rows(store.table("retried_records").lazy(), "position | outcome\n1 | event\n4 | event")
    assert store.table("rejected_events").height == 3, "they stay as evidence"
    assert store.open_rejects()["position"].to_list() == [2]


def test_nothing_is_doubled_by_another_retry(tmp_path: Path) -> None:
    store = _refusing(tmp_path)
    _retry(tmp_path, store, future_limit_days=30)
    before = {table: store.table(table) for table in ("events", "retried_records", "rejected_events")}
    assert _retry(tmp_path, store, future_limit_days=30).outcomes.total() == 0
    assert all(store.table(table).equals(rows) for table, rows in before.items())


def test_nothing_changes_without_another_setting(tmp_path: Path) -> None:
    store = _refusing(tmp_path)
    before = store.table("rejected_events")
    report = _retry(tmp_path, store)
    assert report.outcomes.total() == 0
    assert store.table("rejected_events").equals(before)


def test_an_id_that_was_derived_is_that_of_the_first_reading(tmp_path: Path) -> None:
    content = f"no json\n{WITHOUT_ID}\n"
    store = _refusing(tmp_path, content=content)
    _retry(tmp_path, store, future_limit_days=30)
    at_once = DyingStore()
    _land(tmp_path, at_once, future_limit_days=30)
    assert store.table("events")["event_id"].to_list() == at_once.table("events")["event_id"].to_list()


def test_a_record_that_was_sent_again_meanwhile_is_a_duplicate_or_a_conflict(tmp_path: Path) -> None:
    other = event(event_id="m", at="2026-03-05T12:00:00Z", metadata='{"n": 1}')
    store = _refusing(tmp_path, content=f"{LATER}\n{other}\n")
    (tmp_path / "mended.jsonl").write_text(f"{LATER}\n{other.replace('1}', '2}')}\n")
    _land(tmp_path, store, future_limit_days=30)
    assert _retry(tmp_path, store, future_limit_days=30).outcomes == {"duplicate": 1, "conflict": 1}
    assert store.table("events").height == 2


def test_what_is_wrong_today_replaces_what_was_wrong(tmp_path: Path) -> None:
    nameless = '{"event_id": "x", "timestamp": "2026-03-05T12:00:00Z", "name": "call"}'
    store = _refusing(tmp_path, content=nameless)
    assert store.table("rejected_events")["reason"].to_list() == ["no_customer"]
    report = _retry(tmp_path, store, missing_customer="unattributed")
    assert report.refused["timestamp_in_future"] == 1
    (row,) = store.table("rejected_events").to_dicts()
    assert (row["reason"], row["record"]) == ("timestamp_in_future", nameless)


def test_a_void_can_be_refused_and_retried_too(tmp_path: Path) -> None:
    content = event() + '\n{"void": "e", "timestamp": "2026-03-05T12:00:00Z"}'
    store = _refusing(tmp_path, content=content)
    assert _retry(tmp_path, store, future_limit_days=30).outcomes == {"void": 1}
    assert store.table("voided_events")["event_id"].to_list() == ["e"]


def test_records_of_a_changed_file_that_have_no_id_stay_refused(tmp_path: Path) -> None:
    store = _refusing(tmp_path, content=event())
    (tmp_path / "one.jsonl").write_text(f"{event()}\n{WITHOUT_ID}\n")
    _land(tmp_path, store)
    assert _retry(tmp_path, store, future_limit_days=30).refused["no_id_in_changed_file"] == 1
    assert store.table("events").height == 1


def test_rows_of_tables_are_read_from_their_file_wherever_it_lies(tmp_path: Path) -> None:
    rows = pl.DataFrame(json.loads(line) for line in (LATER, event()))
    rows = rows.with_columns(metadata=pl.lit("{}"), timestamp=pl.col("timestamp").str.to_datetime(time_zone="UTC"))
    rows.write_parquet(tmp_path / "one.parquet")
    rows.drop("metadata").write_csv(tmp_path / "two.csv")
    store = DyingStore()
    _land(tmp_path, store)
    (tmp_path / "one.parquet").rename(tmp_path / "moved.parquet")
    (tmp_path / "two.csv").rename(tmp_path / ".two.csv")
    report = _retry(tmp_path, store, future_limit_days=30)
    assert (report.outcomes, +report.missing) == ({"event": 1}, {"two.csv": 1})
    (tmp_path / ".two.csv").rename(tmp_path / "two.csv")
    assert _retry(tmp_path, store, future_limit_days=30).outcomes == {"duplicate": 1}


def test_files_that_vanish_or_cannot_be_opened_do_not_stop_a_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = "1,call,ada,2026-03-05T12:00:00Z"
    (tmp_path / "e.csv").write_text(f"event_id,name,customer_id,timestamp\n{row}")
    (tmp_path / "e.jsonl").write_text(LATER)
    store = DyingStore()
    _land(tmp_path, store)

    def refuse(_path: Path) -> str:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr("meterhouse.landing.files.hash_file", refuse)
        (tmp_path / "link.jsonl").symlink_to(tmp_path / "e.jsonl")
        patched.setattr("meterhouse.landing.retry.look_at", lambda path: None if path.is_symlink() else look_at(path))
        report = _retry(tmp_path, store, future_limit_days=30)
    assert (report.outcomes, report.missing) == ({"event": 1}, {"e.csv": 1})
    assert _retry(tmp_path, store, future_limit_days=30).outcomes == {"event": 1}


def test_a_file_with_unknown_columns_is_read_once_settings_say_what_they_hold(tmp_path: Path) -> None:
    content = "id,what,who,when\na,call,ada,2026-03-01T12:00:00Z\nb,,ada,2026-03-01T12:00:00Z\n"
    store = _refusing(tmp_path, "one.csv", content)
    assert store.table("landed_files").select("records", "rejected").row(0) == (1, 1)
    columns = {"event_id": "id", "name": "what", "customer_id": "who", "timestamp": "when"}
    sources = {"partner": {"files": "*.csv", "columns": columns}}
    report = _retry(tmp_path, store, sources=sources)
    assert (report.outcomes, +report.refused) == ({"file": 1}, {"no_name": 1})
    assert_rows(_kept(store, "event_id", "position"), "event_id | position\na | 2")
    assert_rows(
        store.table("files_read_again").lazy(),
        "records | events | rejected | duplicates | conflicts | voids\n3 | 1 | 2 | 0 | 0 | 0",
    )
    assert store.open_rejects()["position"].to_list() == [3]


@pytest.mark.parametrize("steps", range(8))
def test_a_file_whose_second_reading_dies_is_read_again_by_the_next_retry(tmp_path: Path, steps: int) -> None:
    columns = {"event_id": "id", "name": "what", "customer_id": "who", "timestamp": "when"}
    sources = {"partner": {"files": "*.csv", "columns": columns}}
    rows = "a,call,ada,2026-03-01T12:00:00Z\na,call,ada,2026-03-01T12:00:00Z\na,other,ada,2026-03-01T12:00:00Z\nb,,,\n"
    whole, cut = (_refusing(tmp_path, "one.csv", f"id,what,who,when\n{rows}") for _ in range(2))
    _retry(tmp_path, whole, sources=sources)
    cut.appends_left = steps
    with contextlib.suppress(KilledError):
        _retry(tmp_path, cut, sources=sources)
    cut.appends_left = None
    _retry(tmp_path, cut, sources=sources)
    assert cut.table("files_read_again").select("records", "events", "rejected").row(0) == (5, 1, 2)
    for table in ("events", "event_duplicates", "event_conflicts", "rejected_events", "retried_records"):
        kept, expected = cut.table(table), whole.table(table)
        assert kept.sort(kept.columns).equals(expected.sort(expected.columns)), table


def test_a_file_that_still_breaks_off_stays_open(tmp_path: Path) -> None:
    store = _refusing(tmp_path, "one.csv", "id,what\na,call\n")
    assert _retry(tmp_path, store).refused == {"unknown_columns": 1}
    assert store.open_rejects()["position"].to_list() == [0]


@pytest.mark.parametrize("name", ["one.jsonl", "one.csv"])
def test_bytes_that_are_no_text_are_not_read_from_what_is_shown_of_them(tmp_path: Path, name: str) -> None:
    lines = {"one.jsonl": b'{"event_id": "\xff"}\n', "one.csv": b"event_id,name\n\xff,call\n"}
    (tmp_path / name).write_bytes(lines[name])
    store = DyingStore()
    _land(tmp_path, store)
    assert store.table("rejected_events")["reason"].to_list() == ["bad_utf8"]
    report = _retry(tmp_path, store)
    assert report.refused["bad_utf8"] == 1
    assert report.missing.total() == 0


def test_a_bomb_is_read_again_when_the_limit_is_raised(tmp_path: Path) -> None:
    blank = b" " * (1 << 20) + b"\n"
    with gzip.open(tmp_path / "e.jsonl.gz", "wb") as packed:
        packed.write(event(event_id="a").encode() + b"\n")
        for _ in range(260):
            packed.write(blank)
        packed.write(event(event_id="b").encode())
    store = DyingStore()
    _land(tmp_path, store)
    assert store.table("rejected_events").select("position", "reason").rows() == [(0, "unreadable_file")]
    _land(tmp_path, store, limits=Limits(max_inflation=10_000))
    assert store.table("events")["event_id"].to_list() == ["a"], "the file was landed, as far as it could be read"
    report = _retry(tmp_path, store, limits=Limits(max_inflation=10_000))
    assert report.outcomes == {"file": 1}
    assert store.table("events")["event_id"].to_list() == ["a", "b"]
    assert store.open_rejects().is_empty()


def test_a_file_whose_name_said_the_wrong_format_is_landed_under_the_right_one(tmp_path: Path) -> None:
    named = tmp_path / "e.jsonl.gz"
    named.write_text(event(event_id="a"), encoding="utf-8")
    store = DyingStore()
    _land(tmp_path, store)
    (refused,) = store.table("rejected_events").to_dicts()
    assert ".gz says is compressed is not" in refused["explanation"]
    assert "put that right and run `meterhouse land --retry-rejected`" in refused["explanation"]
    named.rename(tmp_path / "e.jsonl")
    _land(tmp_path, store)
    assert store.table("events").is_empty(), "its bytes were landed before"
    assert _retry(tmp_path, store).outcomes == {"file": 1}
    assert store.table("events")["event_id"].to_list() == ["a"]
