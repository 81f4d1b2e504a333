"""What identifies the files of a landing zone, found without reading those that are as they were."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import zip_longest
from typing import Final

from meterhouse.landing.files import FileToLand, Identity, Problem, identify, look_at
from meterhouse.landing.keep import EventStore
from meterhouse.landing.small import SMALL_BYTES

STILL_WRITTEN: Final = (
    "It changed while it was read, so it is still being written. It is left for the next landing. "
    "Write files under a name that begins with `.` or `_`, and rename them when they are complete."
)


class Identities:
    """Files by name, as they were hashed last."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._before = store.identities()
        self._now: dict[str, Identity] = {}

    def each(self, files: tuple[FileToLand, ...]) -> Iterator[tuple[FileToLand, Identity | Problem]]:
        """Find file after file; a large new one is hashed while whoever iterates reads the one before it."""
        with ThreadPoolExecutor(1, thread_name_prefix="hashing") as thread:
            ahead: Future[Identity | Problem] | None = None
            for file, following in zip_longest(files, files[1:]):
                found = self.find(file) if ahead is None else ahead.result()
                is_worth_it = following is not None and self._is_large_and_new(following)
                ahead = thread.submit(self.find, following) if is_worth_it else None
                yield file, found

    def find(self, file: FileToLand) -> Identity | Problem:
        """Hash a file, unless it is as it was; a problem where it cannot be read, or changes meanwhile."""
        before = self._now.get(file.name) or self._before.get(file.name)
        if before is not None and look_at(file.path) == before.look:
            self._now[file.name] = before
            return before
        try:
            identity = identify(file.path)
        except OSError as error:
            return Problem(
                file.name, f"It cannot be opened: {error.strerror}. Let this program read it, and land again."
            )
        if identity is None:
            return Problem(file.name, STILL_WRITTEN)
        self._now[file.name] = identity
        return identity

    def _is_large_and_new(self, file: FileToLand) -> bool:
        look = None if file.name in self._before or file.name in self._now else look_at(file.path)
        return look is not None and look.bytes > SMALL_BYTES

    def save(self) -> None:
        """Keep what was found for the next landing."""
        if self._now != self._before:
            self._store.note_identities(self._now)
