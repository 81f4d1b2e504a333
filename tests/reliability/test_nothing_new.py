"""A run with nothing new does nothing; whatever is new, or was tampered with, is seen."""

from __future__ import annotations

import os
import shutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from meterhouse.planning import events
from tests.reliability.comparing import BILLED, FEBRUARY, assert_same
from tests.small_project import contents, edit, run_through, warehouse_of

pytestmark = pytest.mark.usefixtures("quick")

STEPS = {
    "hash a file": ("landing.files", "hash_file"),
    "read the definitions": ("planning.definitions", "read_definitions"),
    "bill": ("planning.billing", "_bill_and_store"),
    "note the run": ("planning.run", "_append_run"),
}


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done again of what a run does."""
    told: list[str] = []

    def tell(step: str, module: ModuleType, name: str) -> None:
        real = getattr(module, name)

        def telling(*arguments: object, **named: object) -> object:
            told.append(step)
            return real(*arguments, **named)

        monkeypatch.setattr(module, name, telling)

    for step, (module, name) in STEPS.items():
        tell(step, import_module(f"meterhouse.{module}"), name)
    # The files of the tests are only just written.
    monkeypatch.setattr(events, "_TICK_NS", -(10**18))
    return told


def again(root: Path, done: list[str]) -> list[str]:
    done.clear()
    versions = warehouse_of(root).versions()
    run_through(root)
    assert warehouse_of(root).versions() == versions
    return sorted(set(done))


def test_a_run_with_nothing_new_does_nothing(ran: Path, done: list[str]) -> None:
    run_through(ran)
    assert again(ran, done) == []


def test_without_its_notes_a_run_does_all_again_and_changes_nothing(ran: Path, done: list[str]) -> None:
    run_through(ran)
    shutil.rmtree(ran / "warehouse" / "_index")
    assert again(ran, done) == sorted(STEPS)
    assert again(ran, done) == []


@pytest.mark.parametrize("note", ["steps.json", "files.json"])
def test_notes_that_were_cut_off_are_as_none(ran: Path, done: list[str], note: str) -> None:
    run_through(ran)
    notes = ran / "warehouse" / "_index" / note
    notes.write_bytes(notes.read_bytes()[:-9])
    again(ran, done)
    assert again(ran, done) == []


def test_a_file_changed_within_a_moment_is_hashed_again(
    ran: Path, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_TICK_NS", 10**18)
    run_through(ran)
    assert again(ran, done) == ["hash a file"]


def test_other_content_of_the_same_size_and_time_is_seen(ran: Path, done: list[str]) -> None:
    run_through(ran)
    file = ran / "events" / "00.jsonl"
    before = file.stat()
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    done.clear()
    assert run_through(ran).landing.files["path"].to_list() == ["00.jsonl"]
    assert done.count("hash a file") == 1


@pytest.mark.parametrize("table", ["estimates", "draft_invoices", "customers", "tiers"])
def test_a_table_that_someone_changed_is_mended(uninterrupted: Path, ran: Path, table: str) -> None:
    run_through(ran)
    warehouse = warehouse_of(ran)
    warehouse.replace(table, warehouse.scan(table).collect().clear())
    run_through(ran)
    assert_same(contents(ran, BILLED), contents(uninterrupted, BILLED))
    assert_same(contents(ran, [table]), contents(uninterrupted, [table]))


def test_what_is_new_is_taken(ran: Path, done: list[str]) -> None:
    run_through(ran, FEBRUARY)
    edit(ran / "customers.csv", "Ada", "Ada King")
    done.clear()
    run_through(ran)
    assert {"read the definitions", "bill", "note the run"} <= set(done)
    done.clear()
    edit(ran / "catalog" / "products.yaml", "amount: 49", "amount: 50")
    run_through(ran)
    assert {"read the definitions", "bill", "note the run"} <= set(done)
