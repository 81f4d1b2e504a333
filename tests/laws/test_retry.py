"""What holds for retries, at whatever instant they die (rules 1.4, 8.6)."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from meterhouse.catalog.settings import Settings
from meterhouse.landing import land_folder, retry_rejected
from tests.records import CLOCK, DyingStore, KilledError, event

LATER = Settings(name="test", future_limit_days=30, missing_customer="unattributed")

records = st.one_of(
    st.builds(event, st.just("{}"), st.sampled_from("abcd"), st.sampled_from(["ada", ""]), st.sampled_from(
        ["2026-03-01T12:00:00Z", "2026-03-05T12:00:00Z"]
    )),
    st.sampled_from(["no json", '{"void": "a"}', '{"void": "b", "timestamp": "2026-03-05T12:00:00Z"}']),
    st.just('{"name": "call", "timestamp": "2026-03-05T12:00:00Z"}'),
)  # fmt: skip
files = st.lists(st.lists(records, max_size=6), min_size=1, max_size=3)


def _refusing(folder: Path, parts: list[list[str]]) -> DyingStore:
    store = DyingStore()
    for number, lines in enumerate(parts):
        (folder / f"{number}.jsonl").write_text("\n".join([*lines, f"file {number}"]))
    land_folder(folder, store, Settings(name="test"), CLOCK)
    return store


@settings(max_examples=60, deadline=None)
@given(files)
def test_every_record_is_where_it_would_be_with_the_setting_from_the_beginning(parts: list[list[str]]) -> None:
    """But for resends: of several records with one id, the one that could be used first wins."""
    with TemporaryDirectory() as folder:
        retried = _refusing(Path(folder), parts)
        report = retry_rejected(Path(folder), retried, LATER, CLOCK)
        at_once = DyingStore()
        land_folder(Path(folder), at_once, LATER, CLOCK)
    for table in ("events", "voids", "voided_events"):
        keys = [
            store.table(table).select("source", "event_id").sort("source", "event_id") for store in (retried, at_once)
        ]
        assert keys[0].equals(keys[1]), table
    still = retried.open_rejects()
    assert sorted(still["position"]) == sorted(at_once.table("rejected_events")["position"])
    assert still.height == report.refused.total()
    assert report.outcomes.total() == retried.table("rejected_events").height - still.height


@settings(max_examples=60, deadline=None)
@given(files, st.integers(0, 8))
def test_a_retry_that_dies_is_finished_by_the_next(parts: list[list[str]], appends: int) -> None:
    with TemporaryDirectory() as folder:
        whole, cut = _refusing(Path(folder), parts), _refusing(Path(folder), parts)
        retry_rejected(Path(folder), whole, LATER, CLOCK)
        cut.appends_left = appends
        try:
            retry_rejected(Path(folder), cut, LATER, CLOCK)
        except KilledError:
            cut.appends_left = None
            retry_rejected(Path(folder), cut, LATER, CLOCK)
    tables = ("events", "event_duplicates", "event_conflicts", "voids", "voided_events", "retried_records")
    for table in (*tables, "rejected_events", "landed_files"):
        kept, expected = cut.table(table), whole.table(table)
        assert kept.sort(kept.columns).equals(expected.sort(expected.columns)), table
