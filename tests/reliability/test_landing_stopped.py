"""A landing whose disk is full, and one that is told to stop: what the user reads, and what the next landing finds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from meterhouse.auditing import audit
from tests.records import LANDED
from tests.reliability.comparing import assert_same
from tests.small_project import call, contents, make_project, warehouse_of, write

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY: Final = Path(__file__).parents[2]

IN_SMALL_BATCHES: Final = """
import sys
from meterhouse.cli import main
from meterhouse.landing import land_folder, small
small.SMALL_BYTES = -1
land_folder.__kwdefaults__["batch_rows"] = 20
main()
"""


def project(root: Path) -> Path:
    """One file of some hundred records, with something of every outcome in most batches."""
    make_project(root)
    for file in (root / "events").iterdir():
        file.unlink()
    days = [f"2026-03-{day:02}T12:00:00Z" for day in range(1, 11)]
    events = [call(f"{number} {at}", "ada", at) for number in range(30) for at in days]
    resent = [{**event, "metadata": {"tokens": 2}} for event in events[::50]]
    records = [*events, *events[::40], *resent, {"void": events[0]["event_id"]}, {}]
    write(root / "events" / "events.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    return root


def command(root: Path) -> list[str]:
    return [sys.executable, "-c", IN_SMALL_BATCHES, "--project", str(root), "land", "--landed-at", "2026-04-01T06:00Z"]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY / "src"), "POLARS_MAX_THREADS": "2"}


def land(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(root), env=environment(), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, landed without any trouble."""
    root = project(tmp_path_factory.mktemp("whole") / "project")
    landed = land(root)
    assert landed.returncode == 0, landed.stderr
    return root


def assert_ended_by_the_next(root: Path, whole: Path) -> None:
    """Nothing is lost, nothing doubled, and no file left behind that no commit names."""
    landed = land(root)
    assert landed.returncode == 0, landed.stderr
    assert_same(contents(root, LANDED), contents(whole, LANDED))
    assert [finding.check for finding in audit(warehouse_of(root)) if not finding.passed] == []
    assert not list((root / "warehouse").glob("_begun.json.*"))


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("only who may mount can try a full disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def resize(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


def test_a_full_disk_is_told_in_words_and_the_next_landing_ends_what_was_begun(tmp_path: Path, whole: Path) -> None:
    root = project(tmp_path / "project")
    with small_disk(root / "warehouse"):
        told = []
        for kibibytes in (4, 12, 40, 100, 160, 220):
            resize(root / "warehouse", f"{kibibytes}k")
            landed = land(root)
            assert "Traceback" not in landed.stderr
            assert "No space left on device" in landed.stderr
            told.append(landed.returncode)
        assert set(told) <= {3, 74}, told
        assert 3 in told
        resize(root / "warehouse", "64m")
        assert_ended_by_the_next(root, whole)


def test_a_write_that_fails_leaves_no_files_that_nothing_names(tmp_path: Path) -> None:
    """Else each landing on a full disk would fill it further."""
    root = project(tmp_path / "project")
    with small_disk(root / "warehouse"):
        resize(root / "warehouse", "60k")
        sizes = []
        for _ in range(3):
            assert land(root).returncode == 3
            sizes.append(sum(file.stat().st_size for file in (root / "warehouse").rglob("*.parquet")))
        assert sizes[1] == sizes[2]


@pytest.mark.parametrize("stored_batches", [1, 3, 6])
def test_ctrl_c_while_rows_are_stored_stops_between_two_commits(
    tmp_path: Path, whole: Path, stored_batches: int
) -> None:
    root = project(tmp_path / "project")
    log = root / "warehouse" / "events" / "_delta_log"
    with subprocess.Popen(command(root), env=environment(), stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (log / f"{stored_batches:020}.json").exists():
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.endswith("Stopped. Nothing is half done: the next run goes on from here.\n")
    assert "Traceback" not in errors
    assert (root / "warehouse" / "_begun.json").exists()
    assert_ended_by_the_next(root, whole)
