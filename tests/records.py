"""Records for tests of landing, and a store in memory that can die after any append."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
from polars.testing import assert_frame_equal
from pydantic import TypeAdapter

from meterhouse.catalog.settings import Limits, Settings
from meterhouse.landing import Batch, Begun, Identity, Origin, land_folder, read_records
from meterhouse.landing.batch import with_derived_ids
from meterhouse.landing.formats.lines import as_block, as_lines
from meterhouse.landing.json_text.known import Known
from meterhouse.landing.take import take_lines, take_with_care
from meterhouse.tables import WAREHOUSE, empty, schema_of, verify
from meterhouse.tables.properties import Held

BEGUN: Final = TypeAdapter(list[Begun])

PLACE: Final = ["file_id", "position"]

CLOCK: Final = datetime(2026, 3, 2, tzinfo=UTC)

LANDED: Final = (
    "events",
    "rejected_events",
    "event_duplicates",
    "event_conflicts",
    "voids",
    "voided_events",
    "landed_files",
)
"""Tables that landing writes."""


class KilledError(Exception):
    """The process was killed."""


class MemoryStore:
    """Keeps landed rows in memory, as landing's `EventStore` asks."""

    def __init__(self) -> None:
        self._rows: dict[str, list[pl.DataFrame]] = defaultdict(list)
        self._identities: dict[str, Identity] = {}
        self._begun = "[]"

    def table(self, name: str) -> pl.DataFrame:
        """All rows of a table."""
        return pl.concat([empty(WAREHOUSE[name].table).collect(), *self._rows[name]], how="diagonal")

    def landed_files(self) -> pl.DataFrame:
        return self.table("landed_files").select("file_id", "path", "events")

    def identities(self) -> dict[str, Identity]:
        return self._identities

    def note_identities(self, identities: Mapping[str, Identity]) -> None:
        self._identities = dict(identities)

    def begun(self) -> list[Begun]:
        return BEGUN.validate_json(self._begun)

    def note_begun(self, begun: list[Begun]) -> None:
        self._begun = BEGUN.dump_json(begun).decode()

    def event_columns(self) -> list[str]:
        return self.table("events").columns

    def untyped_properties(self) -> set[Held]:
        return set(self.table("untyped_properties").select("kind", "property").iter_rows())

    def known_events(self, keys: pl.DataFrame, window_days: int | None = None) -> pl.DataFrame:
        assert window_days is None
        return self.table("events").join(keys, on=["source", "event_id"], how="semi")

    def named(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        return self.table(table).join(keys, on=keys.columns, how="semi", maintain_order="left")

    def places(self, table: str, file_ids: pl.Series) -> pl.DataFrame:
        return self.table(table).filter(pl.col("file_id").is_in(file_ids.implode())).select("file_id", "position")

    def open_rejects(self) -> pl.DataFrame:
        sizes = self.table("landed_files").select("file_id", file_bytes="bytes")
        found = self.table("rejected_events").join(self.table("retried_records"), on=PLACE, how="anti")
        columns = ["file_id", "path", "position", "reason", "landed_on", "file_bytes", "bytes"]
        with_bytes = found.join(sizes, on="file_id").with_columns(bytes=pl.col("record").str.len_bytes())
        return with_bytes.select(columns).sort("path", "file_id", "position")

    def rejected_texts(self, rejects: pl.DataFrame) -> pl.DataFrame:
        return self.table("rejected_events").join(rejects, on=PLACE, how="semi").select(*PLACE, "record")

    def renew_rejects(self, evidence: pl.DataFrame) -> None:
        self._rows["rejected_events"] = [self.table("rejected_events").update(evidence, on=PLACE)]

    def note_read_again(self, rows: pl.DataFrame) -> None:
        before = self.table("files_read_again").join(rows, on="file_id", how="anti")
        self._rows["files_read_again"] = [before, rows]

    def append(self, table: str, rows: pl.DataFrame) -> None:
        self._rows[table].append(rows)


class DyingStore(MemoryStore):
    """After `appends_left` appends the process dies, as far as landing can tell. What is kept is checked."""

    def __init__(self, appends_left: int | None = None) -> None:
        super().__init__()
        self.appends_left = appends_left

    def renew_rejects(self, evidence: pl.DataFrame) -> None:
        self._live_on()
        super().renew_rejects(evidence)

    def note_read_again(self, rows: pl.DataFrame) -> None:
        self._live_on()
        super().note_read_again(rows)

    def append(self, table: str, rows: pl.DataFrame) -> None:
        self._live_on()
        declared = WAREHOUSE[table].table
        verify(rows, declared)
        assert table == "events" or rows.schema == schema_of(declared)
        super().append(table, rows)

    def _live_on(self) -> None:
        if self.appends_left == 0:
            raise KilledError
        self.appends_left = None if self.appends_left is None else self.appends_left - 1


def read(*records: str, **settings: Any) -> Batch:
    """Read records as the lines of a file, in all ways that there are: they must agree."""
    return read_in_all_ways([record.encode() for record in records], **settings)


def read_in_all_ways(lines: list[bytes], *taught: list[bytes], **settings: Any) -> Batch:
    """Read lines with care, and quickly with nothing known, with what other lines taught, and with what these do."""
    origin = Origin("file", "events.jsonl", Settings(name="test", **settings), CLOCK)
    numbered = as_lines(pl.Series(lines, dtype=pl.Binary()), range(1, len(lines) + 1), {})
    careful = with_derived_ids(take_with_care(numbered, origin, Known(most=0)))
    known = Known()
    for other in taught:
        read_records(other, origin, known=known)
    for _ in range(3):
        _assert_same(read_records(lines, origin, known=known), careful)
    if not any(b"\n" in line for line in lines):
        block = as_block(b"".join(line + b"\n" for line in lines), 1, {})
        _assert_same(with_derived_ids(take_lines(block, origin, known)), careful)
    return careful


def _assert_same(quick: Batch, careful: Batch) -> None:
    assert_frame_equal(quick.events, careful.events, check_column_order=False)
    assert_frame_equal(quick.voids, careful.voids)
    assert_frame_equal(quick.rejected, careful.rejected)
    assert_frame_equal(quick.rounded, careful.rounded, check_row_order=False)


def event(metadata: str = "{}", event_id: str = "e", customer: str = "ada", at: str = "2026-03-01T12:00:00Z") -> str:
    """Spell a record in meterhouse's own shape."""
    return (
        f'{{"event_id": "{event_id}", "name": "call", "customer_id": "{customer}", "timestamp": "{at}", '
        f'"metadata": {metadata}}}'
    )


def land(
    folder: Path, store: DyingStore | None = None, batch_rows: int = 1000, limits: Limits | None = None
) -> DyingStore:
    """Land a folder into the store, a new one where none is given."""
    filled = store or DyingStore()
    land_folder(folder, filled, Settings(name="test", limits=limits or Limits()), CLOCK, batch_rows=batch_rows)
    return filled
