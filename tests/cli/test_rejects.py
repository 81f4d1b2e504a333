"""Records that could not be used: shown with what was wrong, and landed once they can be (rule 1.4)."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Commands

NAMELESS = '{"event_id":"odd","customer_id":"ada","timestamp":"2026-01-20T00:00:00Z"}'
STEERING = 'no json \x1b[31m "quoted", and more \x00\u202e'


@pytest.fixture
def refusing(copy: Commands) -> Commands:
    """Besides the template's own record without a timestamp, two of another file."""
    (copy.project / "events" / "odd.jsonl").write_text(f"\n{NAMELESS}\n{STEERING}\n", encoding="utf-8")
    assert copy("land", "--landed-at", "2026-02-04").code == 0
    return copy


def test_refused_records_are_counted_by_reason_and_file(refusing: Commands) -> None:
    shown = [line.split() for line in refusing("rejects").out.splitlines()]
    assert ["bad_json", "odd.jsonl", "1", "3"] in shown
    assert ["no_name", "odd.jsonl", "1", "2"] in shown
    assert ["no_timestamp", "2026-01-08.jsonl", "1", "8"] in shown


def test_a_refused_record_is_shown_with_what_was_wrong(refusing: Commands) -> None:
    shown = refusing("rejects", "--reason", "no_name").out
    assert "odd.jsonl, line 2: no_name\n  The record has no name. Expected what happened, in `name`" in shown
    assert f"\n  {NAMELESS}\n" in shown
    assert "land --retry-rejected" in shown
    both = refusing("rejects", "--file", "odd.jsonl", "--limit", "1").out
    assert "... and 1 more record: --limit 0 shows all" in both


def test_no_record_steers_the_screen_and_programs_get_it_as_it_was(refusing: Commands) -> None:
    shown = refusing("rejects", "--reason", "bad_json").out
    assert 'no json \\x1b[31m "quoted", and more \\x00\\u202e\n' in shown
    assert all(character.isprintable() or character == "\n" for character in shown)
    document = refusing("rejects", "--reason", "bad_json", "--json").document
    assert (document["records"], [row["record"] for row in document["rejects"]]) == (1, [STEERING])
    (row,) = csv.DictReader(io.StringIO(refusing("rejects", "--reason", "bad_json", "--csv").out))
    assert (row["path"], row["position"], row["record"]) == ("odd.jsonl", "3", STEERING)


def test_a_long_record_is_cut_on_the_screen_only(refusing: Commands) -> None:
    record = "no json" + "x" * 5000
    (refusing.project / "events" / "long.jsonl").write_text(record, encoding="utf-8")
    refusing("land", "--landed-at", "2026-02-04")
    shown = refusing("rejects", "--file", "long.jsonl").out
    assert f"\n  {record[:500]}... (5,007 characters; --json shows all)\n" in shown
    assert refusing("rejects", "--file", "long.jsonl", "--json").document["rejects"][0]["record"] == record


def test_what_there_is_is_said_where_nothing_has_the_name(refusing: Commands) -> None:
    ended = refusing("rejects", "--reason", "bad_jsn")
    assert ended.code != 0
    assert "Did you mean bad_json? There are: bad_json, no_name, no_timestamp." in ended.err


def test_csv_and_json_are_not_both_to_be_had(refusing: Commands) -> None:
    assert "not both" in refusing("rejects", "--csv", "--json").err


def test_records_that_a_setting_makes_good_are_landed_and_billed(refusing: Commands) -> None:
    later = '{"event_id":"later","name":"request","external_customer_id":"user-1","timestamp":"2026-02-10T00:00:00Z"}'
    (refusing.project / "events" / "later.jsonl").write_text(f"no json\n{later}\n", encoding="utf-8")
    refusing("land", "--landed-at", "2026-02-04")
    assert "timestamp_in_future" in refusing("rejects").out
    with (refusing.project / "meterhouse.yaml").open("a", encoding="utf-8") as file:
        file.write("\nfuture_limit_days: 30\n")
    ended = refusing("land", "--retry-rejected", "--landed-at", "2026-02-04")
    assert "Landed     nothing new" in ended.out
    assert "Retried    1 event\n           4 records still refused; why: " in ended.out
    assert "timestamp_in_future" not in refusing("rejects").out
    assert refusing("status", "--json").document["set_aside"]["rejected"] == {
        "bad_json": 2,
        "no_name": 1,
        "no_timestamp": 1,
    }
    assert refusing("run", "--through", "2026-02-11", "--landed-at", "2026-02-12").code == 0
    assert refusing("audit").code == 0
    again = refusing("land", "--retry-rejected", "--json").document["retried"]
    assert again == {
        "outcomes": {},
        "still_refused": {"bad_json": 2, "no_name": 1, "no_timestamp": 1},
        "file_is_missing": {},
    }


def test_rows_whose_file_is_gone_are_named(refusing: Commands) -> None:
    table = refusing.project / "events" / "one.csv"
    table.write_text("event_id,name,customer_id,timestamp\na,,ada,2026-01-20T00:00:00Z\n", encoding="utf-8")
    refusing("land", "--landed-at", "2026-02-04")
    table.unlink()
    told = "1 reject of one.csv can be read from the file only: put it back, and retry"
    assert told in refusing("land", "--retry-rejected").out


def test_a_file_that_was_refused_as_a_whole_is_landed_once_its_columns_are_known(refusing: Commands) -> None:
    table = refusing.project / "events" / "one.csv"
    table.write_text("id,what,who,when\na,request,ada,2026-01-20T00:00:00Z\n", encoding="utf-8")
    refusing("land", "--landed-at", "2026-02-04")
    assert "one.csv, the file: unknown_columns" in refusing("rejects", "--file", "one.csv").out
    with (refusing.project / "meterhouse.yaml").open("a", encoding="utf-8") as file:
        columns = "{event_id: id, name: what, customer_id: who, timestamp: when}"
        file.write(f"\nsources:\n  partner:\n    files: '*.csv'\n    columns: {columns}\n")
    assert "Retried    1 file\n" in refusing("land", "--retry-rejected").out
    assert refusing("status", "--json").document["unreadable"] == []
    assert refusing("run", "--through", "2026-02-02").code == 0
    assert refusing("audit").code == 0


def test_events_that_are_alike_but_for_their_ids_are_told(copy: Commands) -> None:
    assert copy("audit", "duplicates").code == 0
    alike = '{"event_id":"%s","name":"request","external_customer_id":"user-1","timestamp":"2026-01-20T00:00:00Z"}'
    (copy.project / "events" / "alike.jsonl").write_text(f"{alike % 'a'}\n{alike % 'b'}\n", encoding="utf-8")
    copy("land", "--landed-at", "2026-02-04")
    ended = copy("audit", "duplicates")
    assert ended.code == 0
    assert "event_ids [a, b]" in ended.out
    assert "No id is there twice" in ended.out
    checks = copy("audit", "duplicates", "--json").document["checks"]
    assert [(check["check"], check["differing"]) for check in checks] == [
        ("same_id", 0),
        ("same_content", 1),
        ("same_content_without_id", 0),
    ]
