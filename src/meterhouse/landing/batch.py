"""What was read of files: their events, their voids and their refused records."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

import polars as pl

from meterhouse.catalog.settings import Settings
from meterhouse.catalog.sources import Source, source_of
from meterhouse.landing.reasons import Fault
from meterhouse.tables import Events, RejectedEvents, Voids, conform, empty, schema_of
from meterhouse.tables.columns import INSTANT

PLACE: Final = ("file_id", "position")


@dataclass(frozen=True)
class Batch:
    """What a part of a file holds, or several files.

    `events` has the columns of `Events`, `untimed` (the sender left the timestamp out), and the typed properties, whose
    columns may still differ in letter case only. `voids` has the columns of `Voids`.
    `rounded` has the file and position of each number of them that had more than 12 places.
    """

    events: pl.DataFrame
    voids: pl.DataFrame
    rejected: pl.DataFrame
    rounded: pl.DataFrame

    @property
    def records(self) -> int:
        """How many records were read; a file that is refused as a whole counts as one."""
        return self.events.height + self.voids.height + self.rejected.height

    @property
    def places(self) -> pl.DataFrame:
        """File and position of each record that was read."""
        return pl.concat([rows.select(PLACE) for rows in (self.events, self.voids, self.rejected)])

    @property
    def bytes(self) -> int:
        """About how much memory it holds."""
        return int(self.events.estimated_size() + self.rejected.estimated_size())

    def each(self, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Batch:
        """The batch with a change to all of its rows."""
        return Batch(*map(change, (self.events, self.voids, self.rejected, self.rounded)))

    def where(self, condition: pl.Expr) -> Batch:
        """The rows of some files and positions."""
        return self.each(lambda rows: rows.filter(condition))


class Origin(NamedTuple):
    """Where records come from and under which rules they are taken."""

    file_id: str
    path: str
    settings: Settings
    landed_at: datetime
    is_changed: bool = False
    """A file of this path was landed before, with other content."""

    @property
    def source(self) -> Source:
        """What is known of the file before it is read."""
        return source_of(self.settings.sources, self.path)


def refused_file(fault: Fault, origin: Origin) -> Batch:
    """What is wrong with a file as a whole, as a refused record at position 0."""
    row = pl.DataFrame(
        {"position": [0], "reason": [fault.reason], "explanation": [fault.explanation()], "record": [""]}
    )
    no_events = empty(Events).with_columns(untimed=pl.lit(value=False)).collect()
    nothing = no_events.select(PLACE)
    return Batch(no_events, voids=empty(Voids).collect(), rejected=rejected_rows(row, origin), rounded=nothing)


def together(batches: Iterable[Batch]) -> Batch:
    """Several batches as one."""
    parts = list(batches)
    events = pl.concat([batch.events for batch in parts], how="diagonal")
    properties = sorted(name for name in events.columns if name not in {*schema_of(Events), "untimed"})
    return Batch(
        events=events.select(*schema_of(Events), "untimed", *properties),
        voids=pl.concat([batch.voids for batch in parts]),
        rejected=pl.concat([batch.rejected for batch in parts]),
        rounded=pl.concat([batch.rounded for batch in parts]),
    )


def with_derived_ids(batch: Batch) -> Batch:
    """Give ids to events that have none: the same file landed again gives the same ids (rule 1.3)."""
    ids = batch.events["event_id"]
    missing = ids.is_null().arg_true()
    if missing.is_empty():
        return batch
    names = (f"{file_id}:{position}" for file_id, position in batch.events.select(PLACE)[missing].iter_rows())
    derived = pl.Series([hashlib.sha256(name.encode()).hexdigest() for name in names], dtype=pl.String())
    return replace(batch, events=batch.events.with_columns(ids.scatter(missing, derived)))


def rejected_rows(rows: pl.DataFrame, origin: Origin) -> pl.DataFrame:
    """Rows of (position, reason, explanation, record) as those of `RejectedEvents`."""
    clock = pl.lit(origin.landed_at, dtype=INSTANT)
    rejected = rows.lazy().with_columns(
        file_id=pl.lit(origin.file_id), path=pl.lit(origin.path), landed_at=clock, landed_on=clock.dt.date()
    )
    return conform(rejected, RejectedEvents).collect()
