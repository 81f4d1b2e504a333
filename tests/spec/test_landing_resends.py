"""What becomes of events that come again (rule 1.3): the first received wins."""

from __future__ import annotations

import json

import polars as pl

from meterhouse.landing import Settled, settle
from meterhouse.tables import Events, empty, schema_of
from tests.records import CLOCK, event, read
from tests.tables import assert_rows

NONE = empty(Events).collect()


def _settled(*records: str) -> Settled:
    return settle(read(*records).events, NONE, CLOCK)


def test_a_resend_with_the_same_content_is_a_duplicate() -> None:
    settled = _settled(
        event('{"n": 1, "t": "x"}'),
        event('{"t": "x", "n": 1.0}'),
        event('{"n": 1, "t": "x"}', at="2026-03-01T13:00:00+01:00"),
    )
    assert settled.events["position"].to_list() == [1]
    assert_rows(
        settled.duplicates.lazy(),
        """
        file_id | position | source | event_id | landed_on
        file    | 2        | user   | e        | 2026-03-02
        file    | 3        | user   | e        | 2026-03-02
        """,
    )
    assert settled.conflicts.is_empty()


def test_when_it_was_received_makes_no_difference() -> None:
    sent = event()[:-1]
    settled = _settled(f'{sent}, "received_at": "2026-03-01T13:00:00Z"}}', event())
    assert settled.duplicates.height == 1


def test_a_resend_with_other_content_is_a_conflict_that_names_the_fields() -> None:
    settled = _settled(
        event('{"n": 1}'),
        event('{"n": 2}'),
        event('{"n": true}'),
        event('{"n": 1}', customer="bob"),
        event('{"n": "1"}', at="2026-03-01T12:00:01Z"),
    )
    assert settled.duplicates.is_empty()
    assert settled.conflicts["reason"].to_list() == ["metadata", "metadata", "customer_id", "timestamp, metadata"]


def test_a_conflict_keeps_both_payloads() -> None:
    settled = _settled(event('{"n": 1.0}'), event('{"n": 2}', customer="bob"))
    (conflict,) = settled.conflicts.to_dicts()
    assert json.loads(conflict["kept"]) == {
        "source": "user",
        "event_id": "e",
        "name": "call",
        "customer_id": "ada",
        "timestamp": "2026-03-01T12:00:00Z",
        "received_at": "2026-03-02T00:00:00Z",
        "metadata": {"n": 1.0},
    }
    assert json.loads(conflict["refused"])["customer_id"] == "bob"


def test_the_same_id_from_another_source_is_another_event() -> None:
    settled = _settled(event(), event()[:-1] + ', "source": "gateway"}')
    assert settled.events.height == 2


def test_a_resend_that_leaves_the_time_to_us_does_not_disagree_about_it() -> None:
    polar = '{"external_id": "e", "name": "call", "customer_id": "ada"}'
    stored = read(polar).events.with_columns(pl.col("timestamp").dt.offset_by("-1d"), file_id=pl.lit("before"))
    settled = settle(read(polar).events, stored.select(schema_of(Events).names()), CLOCK)
    assert (settled.duplicates.height, settled.conflicts.height) == (1, 0)


def test_a_stored_event_wins_over_the_batch() -> None:
    stored = read(event('{"n": 1}')).events.with_columns(file_id=pl.lit("before"))
    settled = settle(read(event('{"n": 2}'), event('{"n": 1}')).events, stored, CLOCK)
    assert settled.events.is_empty()
    assert settled.conflicts["position"].to_list() == [1]
    assert settled.duplicates["position"].to_list() == [2]


def test_a_record_that_is_stored_itself_is_no_duplicate() -> None:
    records = event('{"n": 1}'), event('{"n": 1}')
    stored = settle(read(*records).events, NONE, CLOCK).events
    again = settle(read(*records).events, stored, CLOCK)
    assert (again.already_landed, again.events.height, again.duplicates["position"].to_list()) == (1, 0, [2])


def test_properties_of_refused_resends_make_no_column() -> None:
    assert "number_b" not in _settled(event('{"a": 1}'), event('{"b": 1}')).events.columns
