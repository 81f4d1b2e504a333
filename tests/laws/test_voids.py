"""What holds for voids, whatever is voided and in whatever order all of it comes (rules 1.6, 8.6)."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.records import DyingStore, KilledError, event, land

ids = st.sampled_from("abcdef")
records = st.one_of(
    ids.map(lambda event_id: event(event_id=event_id, at=f"2026-02-{10 + ord(event_id) % 3}T12:00:00Z")),
    ids.map(lambda event_id: f'{{"void": "{event_id}"}}'),
)
landings = st.lists(st.lists(records, max_size=6), min_size=1, max_size=4)


def _landed(parts: list[list[str]], batch_rows: int) -> DyingStore:
    """Land each part as a file of its own, in a landing of its own."""
    store = DyingStore()
    with TemporaryDirectory() as folder:
        for number, lines in enumerate(parts):
            _write(Path(folder), number, lines)
            land(Path(folder), store, batch_rows)
    return store


def _write(folder: Path, number: int, lines: list[str]) -> None:
    # Files of the same content are one file, so each gets a line of its own.
    (folder / f"{number:03}.jsonl").write_text("\n".join([*lines, f"file {number}"]))


def _marked(store: DyingStore) -> list[tuple[str, object]]:
    return store.table("voided_events").select("event_id", "date").sort("event_id").rows()


@settings(max_examples=60, deadline=None)
@given(landings, st.randoms(use_true_random=False), st.integers(1, 5))
def test_no_order_of_records_and_files_matters(parts: list[list[str]], random: object, batch_rows: int) -> None:
    lines = [line for part in parts for line in part]
    shuffled = list(lines)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    once = _landed([lines], batch_rows=1000)
    assert _marked(_landed(parts, batch_rows)) == _marked(once)
    assert _marked(_landed([[line] for line in shuffled], batch_rows)) == _marked(once)
    voided = [letter for letter in "abcdef" if f'{{"void": "{letter}"}}' in lines]
    both = [letter for letter in voided if any("name" in line and f'"{letter}"' in line for line in lines)]
    assert [event_id for event_id, _ in _marked(once)] == both


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(records, max_size=5), min_size=1, max_size=2), st.integers(0, 12), st.integers(1, 4))
def test_a_landing_that_dies_is_finished_by_the_next(parts: list[list[str]], appends: int, batch_rows: int) -> None:
    with TemporaryDirectory() as folder:
        for number, lines in enumerate(parts):
            _write(Path(folder), number, lines)
        store = DyingStore(appends)
        try:
            land(Path(folder), store, batch_rows)
        except KilledError:
            store.appends_left = None
            land(Path(folder), store, batch_rows)
        whole = land(Path(folder), None, batch_rows)
    for table in ("events", "voids", "voided_events", "landed_files"):
        kept, expected = store.table(table), whole.table(table)
        assert kept.sort(kept.columns).equals(expected.sort(expected.columns)), table


@settings(max_examples=30, deadline=None)
@given(landings)
def test_every_void_is_kept_and_counted(parts: list[list[str]]) -> None:
    store = _landed(parts, batch_rows=3)
    sent = [line for part in parts for line in part]
    assert store.table("voids").height == sum("void" in line for line in sent)
    noted = store.table("landed_files").drop("file_id", "path", "bytes", "landed_at", "rounded_numbers").sum()
    assert noted["records"].item() == sum(noted.drop("records").row(0))
