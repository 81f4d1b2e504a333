"""Taking usage back (rule 1.6): a void names an event, which stays and stops counting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.records import DyingStore, event, land, read
from tests.tables import assert_rows


def _void(void: str, **fields: object) -> str:
    return json.dumps({"void": void, **fields})


def _land(folder: Path, store: DyingStore | None = None, **files: list[str]) -> DyingStore:
    for name, records in files.items():
        (folder / f"{name}.jsonl").write_text("\n".join(records))
    return land(folder, store)


def test_a_void_is_a_record_of_its_own_kind() -> None:
    taken = read(
        _void("a"),
        _void("b", source="gateway", event_id="v-1", timestamp="2026-03-01T08:00:00Z", metadata={"reason": "test"}),
        _void("c", received_at="2026-03-01T09:00:00+01:00"),
    )
    assert taken.events.is_empty()
    assert taken.rejected.is_empty()
    assert taken.records == 3
    assert_rows(
        taken.voids.lazy(),
        """
        position | source  | event_id | void_id | timestamp        | received_at      | metadata           | landed_on
        1        | user    | a        | -       | 2026-03-02       | 2026-03-02       | {}                 | 2026-03-02
        2        | gateway | b        | v-1     | 2026-03-01T08:00 | 2026-03-02       | {"reason": "test"} | 2026-03-02
        3        | user    | c        | -       | 2026-03-01T08:00 | 2026-03-01T08:00 | {}                 | 2026-03-02
        """,
    )


def test_the_event_stays_and_is_marked(tmp_path: Path) -> None:
    store = _land(tmp_path, one=[event(event_id="a"), event(event_id="b", at="2026-02-27T23:00:00Z")], two=[_void("b")])
    assert store.table("events").height == 2
    (void,) = store.table("voids").to_dicts()
    assert_rows(store.table("voided_events").lazy(), "source | event_id | date\nuser | b | 2026-02-27")
    assert store.table("voided_events")["file_id"].to_list() == [void["file_id"]]
    assert store.table("landed_files")["voids"].sort().to_list() == [0, 1]


@pytest.mark.parametrize("order", ["event first", "void first", "one file"])
def test_which_of_both_comes_first_makes_no_difference(tmp_path: Path, order: str) -> None:
    void, sent = _void("e"), event()
    one, two = {"event first": ([sent], [void]), "void first": ([void], [sent]), "one file": ([void, sent], [])}[order]
    store = _land(tmp_path, one=one, two=two)
    assert_rows(store.table("voided_events").lazy(), "source | event_id | date\nuser | e | 2026-03-01")


def test_an_event_that_comes_in_a_later_landing_does_not_count(tmp_path: Path) -> None:
    store = _land(tmp_path, one=[_void("e")])
    assert store.table("voided_events").is_empty()
    assert _land(tmp_path, store, two=[event()]).table("voided_events").height == 1


def test_a_void_names_an_event_of_its_source_only(tmp_path: Path) -> None:
    store = _land(tmp_path, one=[event(), _void("e", source="gateway")])
    assert store.table("voided_events").is_empty()


def test_a_void_sent_again_changes_nothing_but_is_kept(tmp_path: Path) -> None:
    store = _land(tmp_path, one=[event(), _void("e"), _void("e")])
    once = store.table("voided_events")
    again = _land(tmp_path, store, two=[_void("e", metadata={"why": "again"})])
    assert again.table("voided_events").equals(once)
    assert again.table("voids").height == 3


def test_a_resend_of_a_voided_event_is_a_duplicate_and_does_not_count_either(tmp_path: Path) -> None:
    store = _land(tmp_path, one=[event(), _void("e")])
    again = _land(tmp_path, store, two=[event(), "{}"])
    assert (again.table("event_duplicates").height, again.table("voided_events").height) == (1, 1)


def test_a_record_without_id_is_voided_by_the_id_that_it_was_given(tmp_path: Path) -> None:
    store = _land(tmp_path, one=[event().replace('"event_id": "e", ', "")])
    (given,) = store.table("events")["event_id"]
    assert _land(tmp_path, store, two=[_void(given)]).table("voided_events")["event_id"].to_list() == [given]


def test_a_void_without_id_in_a_changed_file_is_taken_since_it_cannot_count_twice(tmp_path: Path) -> None:
    store = _land(tmp_path, one=[event()])
    again = _land(tmp_path, store, one=[event(), _void("e")])
    assert again.table("voided_events").height == 1
    assert again.table("rejected_events").is_empty()
