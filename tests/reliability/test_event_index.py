"""The index of events is a cache: whatever becomes of it, stored events are found as if all of them were read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl
import pytest
from deltalake import DeltaTable

from meterhouse.planning.events import WarehouseEvents
from meterhouse.tables import Events
from meterhouse.warehouse import Warehouse, runs
from meterhouse.warehouse.event_index import FOLDER, EventIndex
from tests.tables import rows

DAYS: Final = ("2026-01-05", "2026-01-06", "2026-01-07")


class Died(BaseException):
    """The process ends here."""


@pytest.fixture(autouse=True)
def _small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SMALLEST_TIER", 2)
    monkeypatch.setattr(runs, "FILE_NUMBERS", 8)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """Three batches of events, of which the index has seen two."""
    opened = Warehouse(str(tmp_path / "warehouse"))
    for number in range(3):
        opened.append("events", batch(number))
        if number == 1:
            index_of(opened).follow()
    return opened


def batch(number: int) -> pl.DataFrame:
    text = "event_id | date \n" + "\n".join(f"{number}-{row} | {DAYS[row % len(DAYS)]}" for row in range(9))
    stamps = dict.fromkeys(("timestamp", "received_at"), "2026-01-05")
    return rows(Events, text, source="user", name="-", metadata="{}", file_id="f", position=1, **stamps).collect()


def index_of(warehouse: Warehouse) -> EventIndex:
    return EventIndex(warehouse.root)


def folder_of(warehouse: Warehouse) -> Path:
    return warehouse.root / FOLDER


def finds_all(warehouse: Warehouse, batches: int = 3) -> bool:
    """Whether each stored event is looked for on its day, and no other event on any."""
    keys = pl.concat([batch(number) for number in range(batches + 1)])
    found = index_of(warehouse).candidates(keys.select("source", "event_id", "date"))
    stored = pl.concat([batch(number) for number in range(batches)])
    expected = stored.select("source", "event_id", "date", stored_on="date")
    return found.sort("event_id").equals(expected.sort("event_id"))


def is_made_again(warehouse: Warehouse) -> bool:
    told: list[int] = []
    EventIndex(warehouse.root, lambda done, _files: told.append(done)).follow()
    return bool(told)


def test_what_was_appended_since_is_taken_in(warehouse: Warehouse) -> None:
    assert not is_made_again(warehouse)
    assert finds_all(warehouse)


def test_joined_files_change_nothing(warehouse: Warehouse) -> None:
    assert warehouse.compact("events", files=1)
    assert finds_all(warehouse)
    assert warehouse.compact("events", files=1) is False
    assert not is_made_again(warehouse)


def test_an_event_that_is_gone_is_not_known(warehouse: Warehouse) -> None:
    keys = batch(0).select("source", "event_id", "date")
    warehouse.replace("events", pl.concat([batch(1), batch(2)]))
    assert WarehouseEvents(warehouse).known_events(keys).is_empty()
    assert WarehouseEvents(warehouse).known_events(batch(1).select(keys.columns)).height == 9


def _deleted(folder: Path) -> None:
    shutil.rmtree(folder)


def _without_a_file(folder: Path) -> None:
    next(folder.glob("*.numbers")).unlink()


def _with_half_a_file(folder: Path) -> None:
    file = next(folder.glob("*.numbers"))
    file.write_bytes(file.read_bytes()[:-8])


def _without_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _with_half_a_manifest(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-20])


def _with_an_empty_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"")


def _of_other_hashes(folder: Path) -> None:
    _change(folder, "made_by", "another version of Polars")


def _of_another_table(folder: Path) -> None:
    _change(folder, "table", "another")


def _of_another_past(folder: Path) -> None:
    _change(folder, "commit", "another")


def _of_the_future(folder: Path) -> None:
    _change(folder, "version", "99")


def _change(folder: Path, name: str, value: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["covers"][name] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "spoil",
    [
        *(_deleted, _without_a_file, _with_half_a_file, _without_manifest, _with_half_a_manifest),
        *(_with_an_empty_manifest, _of_other_hashes, _of_another_table, _of_another_past, _of_the_future),
    ],
)
def test_an_index_that_does_not_fit_is_made_again(warehouse: Warehouse, spoil: Callable[[Path], None]) -> None:
    spoil(folder_of(warehouse))
    assert is_made_again(warehouse)
    assert not is_made_again(warehouse)
    assert finds_all(warehouse)


@pytest.mark.parametrize("lost", [0, 1])
def test_an_index_whose_commits_the_log_has_no_more_is_made_again(warehouse: Warehouse, lost: int) -> None:
    covered = int(json.loads((folder_of(warehouse) / "manifest.json").read_text())["covers"]["version"])
    warehouse.compact("events", files=1)
    DeltaTable(str(warehouse.root / "events")).create_checkpoint()
    (warehouse.root / "events" / "_delta_log" / f"{covered + lost:020d}.json").unlink()
    assert is_made_again(warehouse)
    assert finds_all(warehouse)


def test_files_that_were_joined_and_removed_before_the_index_saw_them_are_not_missed(warehouse: Warehouse) -> None:
    live = set(warehouse.file_uris("events"))
    warehouse.compact("events", files=1)
    for uri in live - set(warehouse.file_uris("events")):
        Path(uri).unlink()
    assert is_made_again(warehouse)
    assert finds_all(warehouse)


def test_an_index_of_another_warehouse_is_made_again(warehouse: Warehouse, tmp_path: Path) -> None:
    other = Warehouse(str(tmp_path / "other"))
    other.append("events", batch(7))
    index_of(other).follow()
    shutil.rmtree(folder_of(warehouse))
    shutil.copytree(folder_of(other), folder_of(warehouse))
    assert is_made_again(warehouse)
    assert finds_all(warehouse)


@pytest.mark.parametrize("step", ["_write", "_merge", "_drop", "save"])
@pytest.mark.parametrize("call", [1, 2])
def test_a_death_at_any_step_leaves_an_index_that_the_next_run_mends(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, step: str, call: int
) -> None:
    for number in range(3, 8):
        warehouse.append("events", batch(number))
    calls = iter(range(1, call))
    real = getattr(runs.Runs, step)

    def dying(*arguments: object) -> object:
        if next(calls, None) is None:
            raise Died
        return real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(runs.Runs, step, dying)
        try:
            for number in range(8, 17):
                index_of(warehouse).follow()
                warehouse.append("events", batch(number))
        except Died:
            pass
        else:
            pytest.fail("it was to die")
    died_before = next(number for number in range(18) if warehouse_has(warehouse, number) is False)
    assert finds_all(warehouse, died_before)
    named = (folder_of(warehouse) / "manifest.json").read_text()
    assert all(file.name in named for file in folder_of(warehouse).glob("*.numbers"))


def warehouse_has(warehouse: Warehouse, number: int) -> bool:
    named = pl.col("event_id").str.starts_with(f"{number}-")
    return not warehouse.scan("events").filter(named).collect().is_empty()


# --- A window ---------------------------------------------------------------------------------------------------------


def test_with_a_window_only_stored_events_of_days_nearby_are_known(warehouse: Warehouse) -> None:
    sent_later = batch(0).select("source", "event_id", date=pl.lit(date(2026, 1, 9)))
    for window, days in ((None, 3), (4, 3), (3, 2), (2, 1), (1, 0)):
        known = WarehouseEvents(warehouse).known_events(sent_later, window)
        assert known["date"].n_unique() == days
        assert known.height == 3 * days
