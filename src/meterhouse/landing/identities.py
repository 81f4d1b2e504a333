"""What identifies the files of a landing zone, found without reading those that are as they were."""

from __future__ import annotations

from typing import Final

from meterhouse.landing.files import FileToLand, Identity, Problem, identify, look_at
from meterhouse.landing.keep import EventStore

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

    def save(self) -> None:
        """Keep what was found for the next landing."""
        if self._now != self._before:
            self._store.note_identities(self._now)
