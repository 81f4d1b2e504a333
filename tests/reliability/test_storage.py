"""What storage promises when processes die, compete, or find no space."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from meterhouse.errors import WarehouseBusy, WarehouseError
from meterhouse.warehouse import Warehouse, recover
from meterhouse.warehouse.commit import write_note
from tests.reliability.writer import DAY, ROWS, counter_of, day_of, run_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]
KILLS_AFTER_MILLISECONDS = (0, 3, 7, 12, 18, 25, 33, 42, 52, 63)


def test_a_killed_writer_leaves_old_or_new_and_the_next_run_mends(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    for milliseconds in KILLS_AFTER_MILLISECONDS:
        promised = _kill_writer(tmp_path, milliseconds)
        day = warehouse.scan("event_duplicates").collect()
        assert len(day) == ROWS
        assert day["file_id"].n_unique() == 1
        assert day["file_id"][0] in {f"file {promised}", f"file {promised + 1}"}

        with warehouse.lock():
            recover(warehouse)
        runs = [int(run.removeprefix("run ")) for run in warehouse.scan("runs").collect()["run_id"].to_list()]
        assert sorted(runs) in (list(range(promised + 1)), list(range(promised + 2)))
        files = warehouse.scan("landed_files").collect()["file_id"].to_list()
        assert sorted(files) == sorted(f"file {run}" for run in runs)


def test_two_processes_lose_no_update_and_write_once_what_must_be_written_once(tmp_path: Path) -> None:
    times = 12
    ada, bob = (_start(tmp_path, str(times), who) for who in ("ada", "bob"))
    with _running(ada), _running(bob):
        firsts = [int(writer.communicate(timeout=60)[0]) for writer in (ada, bob)]
    warehouse = Warehouse(str(tmp_path))
    assert sum(firsts) == times
    assert warehouse.scan("runs").collect().height == times
    assert warehouse.scan("fingerprints").collect()["inputs"].to_list() == [str(2 * times)]
    assert warehouse.scan("event_duplicates").collect()["source"].n_unique() == 2 * times


def test_a_second_writer_is_told_who_holds_the_warehouse_until_that_process_dies(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    with _running(_start(tmp_path)) as writer:
        _said(writer).readline()
        told = f"held by process {writer.pid} on .* since .* end that process"
        with pytest.raises(WarehouseBusy, match=told), warehouse.lock():
            pytest.fail("two writers at once")
        assert f"process {writer.pid} on" in (warehouse.holder() or "")
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        assert (tmp_path / "_lock.owner").exists()
        assert warehouse.holder() is None
        with warehouse.lock(), warehouse.lock():
            assert (tmp_path / "_lock.owner").read_text().startswith(f'{{"pid": {os.getpid()}')
    assert not (tmp_path / "_lock.owner").exists()


@pytest.mark.parametrize("space", [0, 500])
def test_a_write_without_space_leaves_the_table_as_it_was(tmp_path: Path, space: int) -> None:
    warehouse = Warehouse(str(tmp_path))
    warehouse.replace("event_duplicates", day_of(1), DAY)
    with _no_file_larger_than(space), pytest.raises(WarehouseError, match=r"could not be written .* run again"):
        warehouse.replace("event_duplicates", day_of(2), DAY)
    assert warehouse.scan("event_duplicates").collect()["file_id"].unique().to_list() == ["file 1"]
    assert warehouse.replace("event_duplicates", day_of(2), DAY)
    assert warehouse.scan("event_duplicates").collect()["file_id"].unique().to_list() == ["file 2"]


@pytest.mark.parametrize("torn", ["data", "log"])
def test_a_commit_that_a_power_cut_left_empty_is_forgotten(tmp_path: Path, torn: str) -> None:
    warehouse = Warehouse(str(tmp_path))
    warehouse.replace("fingerprints", counter_of(1))
    before = set(warehouse.file_uris("fingerprints"))
    warehouse.replace("fingerprints", counter_of(2))
    (new,) = set(warehouse.file_uris("fingerprints")) - before
    log = tmp_path / "fingerprints" / "_delta_log" / f"{warehouse.version('fingerprints'):020d}.json"
    (Path(new) if torn == "data" else log).write_bytes(b"")
    recover(warehouse)
    assert warehouse.version("fingerprints") == 1
    assert warehouse.scan("fingerprints").collect().equals(counter_of(1))


def test_a_data_file_that_someone_took_away_is_not_forgotten(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    warehouse.append("runs", run_of(1))
    Path(warehouse.file_uris("runs")[0]).unlink()
    recover(warehouse)
    with pytest.raises(OSError, match="No such file"):
        warehouse.scan("runs").collect()


def test_a_note_takes_its_name_only_when_its_content_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, seen = tmp_path / "note", []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        synced = Path(f"/proc/self/fd/{descriptor}").resolve()
        seen.append((synced.read_bytes() if synced.is_file() else b"", note.read_bytes()))
        fsync(descriptor)

    write_note(note, b"old")
    monkeypatch.setattr(os, "fsync", spy)
    write_note(note, b"new")
    assert seen[0] == (b"new", b"old")
    assert seen[1:]
    assert all(found == (b"", b"new") for found in seen[1:])


def _kill_writer(root: Path, milliseconds: int) -> int:
    """Kill a writer so many milliseconds after it promised something; returns the last promise."""
    with _running(_start(root)) as writer:
        said = [_said(writer).readline()]
        time.sleep(milliseconds / 1000)
        os.kill(writer.pid, signal.SIGKILL)
        said += [line for line in _said(writer).read().splitlines(keepends=True) if line.endswith("\n")]
        writer.wait()
    return int(said[-1])


def _start(root: Path, *task: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT / "src"), str(PROJECT)])}
    command = [sys.executable, "-m", "tests.reliability.writer", str(root), *task]
    return subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True)


@contextmanager
def _running(writer: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    with writer:
        try:
            yield writer
        finally:
            writer.kill()


def _said(writer: subprocess.Popen[str]) -> IO[str]:
    assert writer.stdout is not None
    return writer.stdout


@contextmanager
def _no_file_larger_than(size: int) -> Iterator[None]:
    """What a full disk does to a writer, without filling one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
