"""One writer at a time: a lock that the operating system frees when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from meterhouse.errors import WarehouseBusy, WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class WriterLock:
    """The lock of a warehouse folder. Beside it stands a file that says who holds it; only the lock itself counts."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._owner = root / "_lock.owner"
        self._lock = FileLock(root / "_lock")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; raise WarehouseBusy at once where another process does. May be nested."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except Timeout:
            raise WarehouseBusy(self._who()) from None
        except OSError as fault:
            message = f"Warehouse {self._root} cannot be written to ({fault}). Give it a folder that you may write in."
            raise WarehouseError(message) from fault
        try:
            if self._lock.lock_counter == 1:
                self._owner.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}), encoding="utf-8")
            yield
        finally:
            if self._lock.lock_counter == 1:
                self._owner.unlink(missing_ok=True)
            self._lock.release()

    def holder(self) -> str | None:
        """Who holds the lock, None where no process does; only looks, and writes nothing."""
        if not self._owner.exists():
            return None
        try:
            with (self._root / "_lock").open("rb") as file:
                # A process that died left its name: the lock tells. Closing the file lets go of it again.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._holder()
        except OSError:
            return None
        return None

    def _who(self) -> str:
        return (
            f"Warehouse {self._root} is held by {self._holder()}. Wait until that run ends and run again; "
            f"if it hangs, end that process: the lock is freed with it, and no file needs to be deleted."
        )

    def _holder(self) -> str:
        try:
            owner = json.loads(self._owner.read_text(encoding="utf-8"))
            since = datetime.fromtimestamp(self._owner.stat().st_mtime, UTC)
        except (OSError, ValueError):
            return "another run"
        return f"process {owner['pid']} on {owner['host']} since {since:%Y-%m-%d %H:%M:%S} UTC"
