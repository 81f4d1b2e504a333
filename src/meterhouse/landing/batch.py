"""What was read of a file: its events, its voids and its refused records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import polars as pl

from meterhouse.catalog.settings import Settings
from meterhouse.catalog.sources import Source, source_of
from meterhouse.landing.reasons import Fault
from meterhouse.tables import Events, RejectedEvents, Voids, conform, empty, schema_of
from meterhouse.tables.columns import INSTANT


@dataclass(frozen=True)
class Batch:
    """What a part of a file holds.

    `events` has the columns of `Events`, `untimed` (the sender left the timestamp out), and the typed properties, whose
    columns may still differ in letter case only. `voids` has the columns of `Voids`.
    `rounded_numbers` counts the numbers of `events` that had more than 12 places.
    """

    events: pl.DataFrame
    voids: pl.DataFrame
    rejected: pl.DataFrame
    rounded_numbers: int

    @property
    def records(self) -> int:
        """How many records were read; a file that is refused as a whole counts as one."""
        return self.events.height + self.voids.height + self.rejected.height

    @property
    def bytes(self) -> int:
        """About how much memory it holds."""
        return int(self.events.estimated_size() + self.rejected.estimated_size())


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
    return Batch(events=no_events, voids=empty(Voids).collect(), rejected=rejected_rows(row, origin), rounded_numbers=0)


def together(batches: Iterable[Batch]) -> Batch:
    """Several batches as one."""
    parts = list(batches)
    events = pl.concat([batch.events for batch in parts], how="diagonal")
    properties = sorted(name for name in events.columns if name not in {*schema_of(Events), "untimed"})
    return Batch(
        events=events.select(*schema_of(Events), "untimed", *properties),
        voids=pl.concat([batch.voids for batch in parts]),
        rejected=pl.concat([batch.rejected for batch in parts]),
        rounded_numbers=sum(batch.rounded_numbers for batch in parts),
    )


def rejected_rows(rows: pl.DataFrame, origin: Origin) -> pl.DataFrame:
    """Rows of (position, reason, explanation, record) as those of `RejectedEvents`."""
    clock = pl.lit(origin.landed_at, dtype=INSTANT)
    rejected = rows.lazy().with_columns(
        file_id=pl.lit(origin.file_id), path=pl.lit(origin.path), landed_at=clock, landed_on=clock.dt.date()
    )
    return conform(rejected, RejectedEvents).collect()
