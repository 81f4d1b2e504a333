"""Commits that are compare-and-set, tried again on conflict, and on the disk when they return.

Delta's own rules let an overwrite and a concurrent append both through, and leave half of each. Here every commit
must follow the version that was read, or it fails and is computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from urllib.parse import unquote

from deltalake import CommitProperties, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError

from meterhouse.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from deltalake import DeltaTable

ATTEMPTS: Final = 12

Result = TypeVar("Result")


def compare_and_set(once: tuple[str, int] | None = None) -> CommitProperties:
    """Properties of a commit that fails where another came between, and that records `once` in the same commit."""
    transactions = None if once is None else [Transaction(app_id=once[0], version=once[1])]
    return CommitProperties(max_commit_retries=0, app_transactions=transactions)


def until_it_holds(table: str, attempt: Callable[[], Result]) -> Result:
    """Run a read-compute-commit again until no other writer came between."""
    for tries in range(ATTEMPTS):
        try:
            return attempt()
        except CommitFailedError as conflict:
            if tries + 1 == ATTEMPTS:
                message = (
                    f"Table '{table}' could not be written: another writer changed it {ATTEMPTS} times meanwhile "
                    f"({conflict}). Nothing of this write was stored; wait for the other run and run again."
                )
                raise WarehouseError(message) from conflict
        except (DeltaError, OSError) as fault:
            message = (
                f"Table '{table}' could not be written ({_in_one_line(fault)}). All or nothing of it is stored; "
                f"see to free space and permissions of the warehouse folder, and run again."
            )
            raise WarehouseError(message) from fault
        # Writers that collided must not wake together; the process id differs between them without a random number.
        time.sleep(0.005 * (tries + 1) * (1 + os.getpid() % 7))
    raise AssertionError


def _in_one_line(fault: Exception) -> str:
    return " ".join(str(fault).replace("\u21b3", " ").split())


def make_durable(handle: DeltaTable) -> None:
    """Put the handle's newest commit on the disk: data files, their folders, the log and its folder.

    delta-rs leaves this to the system, and a power cut then loses a commit that was reported as done.
    """
    root = table_folder(handle)
    log = root / "_delta_log"
    version = f"{handle.version():020d}"
    commit = log / f"{version}.json"
    data = [root / path for path in _added(commit)]
    sync_files([*data, commit, *log.glob(f"{version}.checkpoint*"), *log.glob("_last_checkpoint")])
    sync_folders([*(path.parent for path in data), log, root, root.parent])


class Commit(NamedTuple):
    """What a commit says: a digest of all of it, and the files whose rows it added."""

    digest: str
    new_files: list[str]


def read_commit(table: Path, version: int) -> Commit | None:
    """One commit of a table, None where the log has it no more."""
    try:
        content = (table / "_delta_log" / f"{version:020d}.json").read_bytes()
    except FileNotFoundError:
        return None
    added = [action["add"] for line in content.splitlines() if "add" in (action := json.loads(line))]
    return Commit(hashlib.sha256(content).hexdigest(), [unquote(file["path"]) for file in added if file["dataChange"]])


def newest_commit(table: Path) -> Path | None:
    """The newest commit in the log of a table, None where it has none."""
    return max((table / "_delta_log").glob(f"{'[0-9]' * 20}.json"), default=None)


def drop_torn_commit(table: Path) -> bool:
    """Forget the newest commit where a power cut left it, or its data, empty: it was never reported as done."""
    log = table / "_delta_log"
    newest = newest_commit(table)
    if newest is None or not _is_torn(table, newest):
        return False
    for file in [*log.glob(f"{newest.stem}.*"), *log.glob("_last_checkpoint")]:
        file.unlink()
    sync_folders([log])
    return True


def table_folder(handle: DeltaTable) -> Path:
    """Where the table's files are."""
    return Path(unquote(handle.table_uri.removeprefix("file://")))


def write_cache(file: Path, content: bytes) -> None:
    """Write a file that may be lost, but that no reader ever sees half of."""
    _write_beside(file, content).rename(file)


def write_note(file: Path, content: bytes) -> None:
    """Write a file that is old or new after a power cut, and new once this returns."""
    unfinished = _write_beside(file, content)
    # Renamed before its content is on the disk, it might be found empty.
    sync_files([unfinished])
    unfinished.rename(file)
    sync_folders([file.parent, file.parent.parent])


def _write_beside(file: Path, content: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    write_whole(unfinished, content)
    return unfinished


def write_whole(file: Path, content: bytes) -> None:
    """Write a file, or none where there is no space for all of it; Python would not say in the fault which file."""
    try:
        file.write_bytes(content)
    except OSError as fault:
        file.unlink(missing_ok=True)
        raise OSError(fault.errno, fault.strerror, str(file)) from fault


def sync_files(paths: Iterable[Path]) -> None:
    """Wait until the contents of files are on the disk."""
    for path in paths:
        _sync(path, os.O_RDONLY)


def sync_folders(paths: Iterable[Path]) -> None:
    """Wait until the names in folders are on the disk."""
    for path in sorted(set(paths)):
        _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_torn(table: Path, commit: Path) -> bool:
    try:
        data = [table / path for path in _added(commit)]
    except ValueError:
        return True
    # A file that is missing, not empty, was taken away by someone: reading it fails, and must.
    return commit.stat().st_size == 0 or any(path.exists() and path.stat().st_size == 0 for path in data)


def _added(commit: Path) -> list[str]:
    actions = (json.loads(line) for line in commit.read_text(encoding="utf-8").splitlines())
    return [unquote(action["add"]["path"]) for action in actions if "add" in action]
