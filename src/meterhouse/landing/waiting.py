"""Batches that wait for more, so that few commits keep many files."""

from __future__ import annotations

from typing import Final

from meterhouse.landing.batch import Batch

BATCH_ROWS: Final = 500_000
"""Records appended at once: with their metadata some hundred MB."""

BATCH_BYTES: Final = 256 << 20
"""As much is appended at once where records are large. Storing them takes several times that memory."""

NUMBER_BYTES: Final = 16


class Waiting:
    """What will be appended together."""

    def __init__(self, most_rows: int = BATCH_ROWS) -> None:
        self._most_rows = most_rows
        self._clear()

    def has_room(self, batch: Batch) -> bool:
        """Whether it may be added: each batch then has the columns of all, whatever it has itself."""
        columns = self._columns.union(batch.events.columns)
        return not self.batches or (self._rows + batch.records) * len(columns) * NUMBER_BYTES < BATCH_BYTES

    def add(self, batch: Batch) -> None:
        """Let a batch wait."""
        self.batches.append(batch)
        self._rows += batch.records
        self._bytes += batch.bytes
        self._columns.update(batch.events.columns)

    def is_full(self) -> bool:
        """Whether it is enough."""
        return self._rows >= self._most_rows or self._bytes >= BATCH_BYTES

    def take(self) -> list[Batch]:
        """All that waits, which then waits no more."""
        taken = self.batches
        self._clear()
        return taken

    def _clear(self) -> None:
        self.batches: list[Batch] = []
        self._rows = self._bytes = 0
        self._columns: set[str] = set()
