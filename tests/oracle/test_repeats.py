"""Events that may be one and the same are found over all history, whatever landing let in (rule 1.3)."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterhouse.auditing import REPEATS, Finding, find_repeats_in
from meterhouse.tables import Events, LandedFiles, VoidedEvents
from tests.oracle.engine import register
from tests.tables import rows

if TYPE_CHECKING:
    import polars as pl

GIVEN = hashlib.sha256(b"f:1").hexdigest(), hashlib.sha256(b"g:1").hexdigest(), hashlib.sha256(b"f:2").hexdigest()

HEAD = "event_id | file_id | position | name | customer_id | timestamp        | metadata | date"


def _events(*lines: str) -> pl.LazyFrame:
    return rows(Events, "\n".join([HEAD, *lines]), source="user", received_at="2026-03-02")


def _find(events: pl.LazyFrame, voided: str | None = None, events_at_once: int = 1000) -> dict[str, Finding]:
    counts = dict.fromkeys(("bytes", "records", "events", "rejected", "duplicates", "conflicts", "voids"), 0)
    files = rows(
        LandedFiles, "file_id | path | landed_at\nf | - | 2026-03-02\ng | - | 2026-03-02", **counts, rounded_numbers=0
    )
    head = "event_id | file_id | position | source | landed_at | date"
    mark = "" if voided is None else f"\n{voided} | f | 9 | user | 2026-03-02 | 2026-03-01"
    marks = rows(VoidedEvents, head + mark)
    with duckdb.connect() as connection:
        register(connection, {"events": events, "landed_files": files, "voided_events": marks})
        return {finding.check: finding for finding in find_repeats_in(connection, 5, events_at_once)}


ALIKE = "call | ada | 2026-03-01T12:00 | {} | 2026-03-01"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([f"a | f | 1 | {ALIKE}", f"b | f | 2 | {ALIKE.replace('12:00', '12:01')}"], {}),
        ([f"a | f | 1 | {ALIKE}", f"a | g | 1 | {ALIKE}"], {"same_id": 1}),
        ([f"a | f | 1 | {ALIKE}", f"b | g | 1 | {ALIKE}"], {"same_content": 1}),
        ([f"a | f | 1 | {ALIKE}", f"b | g | 1 | {ALIKE.replace('ada', 'bob')}"], {}),
        ([f"a | f | 1 | {ALIKE}", f"b | g | 1 | {ALIKE.replace('{}', '{1}')}"], {}),
        ([f"{GIVEN[0]} | f | 1 | {ALIKE}", f"{GIVEN[1]} | g | 1 | {ALIKE}"], {"same_content_without_id": 1}),
        ([f"{GIVEN[0]} | f | 1 | {ALIKE}", f"{GIVEN[2]} | f | 2 | {ALIKE}"], {}),
        ([f"{GIVEN[0]} | f | 1 | {ALIKE}", f"b | g | 1 | {ALIKE}"], {"same_content": 1}),
        ([f"a | other | 1 | {ALIKE}", f"a | f | 1 | {ALIKE}"], {}),
    ],
)
def test_repeats_are_told_by_what_they_have_in_common(lines: list[str], found: dict[str, int]) -> None:
    findings = _find(_events(*lines))
    assert {check: finding.differing for check, finding in findings.items() if finding.differing} == found
    assert findings["same_id"].passed == ("same_id" not in found)
    assert {check: finding.is_notice for check, finding in findings.items()} == REPEATS


def test_an_event_that_was_voided_is_no_repeat() -> None:
    alike = _events(f"a | f | 1 | {ALIKE}", f"b | g | 1 | {ALIKE}")
    assert _find(alike, voided="b")["same_content"].differing == 0


def test_examples_name_the_ids_to_void() -> None:
    (example,) = _find(_events(f"a | f | 1 | {ALIKE}", f"b | g | 1 | {ALIKE}"))["same_content"].examples
    assert (example["event_ids"], example["times"], example["customer"]) == ("[a, b]", "2", "ada")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3)), min_size=1, max_size=25), st.integers(1, 9))
def test_looking_at_a_share_at_a_time_finds_the_same(events: list[tuple[str, int]], at_once: int) -> None:
    lines = [
        f"{event_id} | f | {n} | call | c{key} | 2026-03-01 | {{}} | 2026-03-01"
        for n, (event_id, key) in enumerate(events)
    ]
    found = {check: finding.differing for check, finding in _find(_events(*lines), events_at_once=at_once).items()}
    ids = Counter(event_id for event_id, _ in events)
    contents = {key: {event_id for event_id, held in events if held == key} for _, key in events}
    assert found["same_id"] == sum(times > 1 for times in ids.values())
    assert found["same_content"] == sum(len(held) > 1 for held in contents.values())
