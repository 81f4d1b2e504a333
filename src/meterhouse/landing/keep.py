"""Keep what a batch holds: events, and beside them what was refused, came twice, or takes an event back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

import polars as pl

from meterhouse.catalog.settings import Settings
from meterhouse.landing.batch import PLACE, Batch
from meterhouse.landing.begun import Begun
from meterhouse.landing.duplicates import KEY, settle
from meterhouse.landing.files import Identity
from meterhouse.landing.properties.rare import SentProperties
from meterhouse.landing.voids import newly_voided
from meterhouse.tables import Events, schema_of
from meterhouse.tables.columns import INSTANT
from meterhouse.tables.properties import MOST_REMEMBERED, Held, column_of, is_typable, property_columns

_SIDE_TABLES: Final = {
    "rejected": "rejected_events",
    "duplicates": "event_duplicates",
    "conflicts": "event_conflicts",
    "voids": "voids",
}
_DATED: Final = (*KEY, "date")


class EventStore(Protocol):
    """Where landed rows are kept. Each append happens wholly or not at all."""

    def landed_files(self) -> pl.DataFrame:
        """(file_id, path, events) of the files that were landed to their end."""

    def identities(self) -> Mapping[str, Identity]:
        """Files by name that were hashed before, and what they were like then."""

    def note_identities(self, identities: Mapping[str, Identity]) -> None:
        """Keep what files are like, so that those that stay so need not be hashed again."""

    def event_columns(self) -> list[str]:
        """Columns of the stored events, with those of properties."""

    def untyped_properties(self) -> set[Held]:
        """Properties that will never have a column."""

    def begun(self) -> list[Begun]:
        """What was noted last."""

    def note_begun(self, begun: list[Begun]) -> None:
        """Note which files were begun and not ended; it is as safe as what is appended when this returns."""

    def known_events(self, keys: pl.DataFrame, window_days: int | None = None) -> pl.DataFrame:
        """The stored events with one of these (source, event_id), with at least the columns of `Events`.

        `date` beside a key is the day of the record that has it: stored events further than `window_days` from it do
        not count. Where it is null, all do.
        """

    def named(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """Rows of `voids` or `voided_events` with one of these (source, event_id), in the order of their landing."""

    def places(self, table: str, file_ids: pl.Series) -> pl.DataFrame:
        """(file_id, position) of some files that a table of records set aside, or `voids`, has."""

    def append(self, table: str, rows: pl.DataFrame) -> None:
        """Add rows to a table; `events` may bring new property columns."""


class Keeper:
    """Appends batches to a store. Where they may be stored in part, it looks, and appends what is missing."""

    def __init__(
        self, store: EventStore, settings: Settings, landed_at: datetime, *, may_be_stored: bool = False
    ) -> None:
        self._store = store
        self._settings = settings
        self._landed_at = landed_at
        self._may_be_stored = may_be_stored

    def keep(self, batch: Batch) -> dict[str, pl.DataFrame]:
        """Append a batch; returns its records by what became of them, each at its file and position."""
        # A void names an event of any day.
        of_voids = batch.voids.select(*KEY, date=pl.lit(None, pl.Date))
        keys = pl.concat([batch.events.select(*KEY, "date"), of_voids])
        known = self._store.known_events(keys, self._settings.dedupe_window_days)
        settled = settle(batch.events, known, self._landed_at)
        voids = pl.concat([self._store.named("voids", batch.events.select(KEY)), batch.voids])
        if not settled.events.is_empty():
            self._append_events(settled.events)
        sides = {
            "rejected": batch.rejected,
            "duplicates": settled.duplicates,
            "conflicts": settled.conflicts,
            "voids": batch.voids,
        }
        for kind, rows in sides.items():
            self._append(_SIDE_TABLES[kind], rows)
        if not voids.is_empty():
            self._append_voided(pl.concat([known.select(_DATED), settled.events.select(_DATED)]), voids)
        resent = pl.concat([settled.duplicates.select(PLACE), settled.conflicts.select(PLACE)])
        events = batch.events.select(PLACE)
        kept = {"events": events if resent.is_empty() else events.join(resent, on=PLACE, how="anti"), **sides}
        return {kind: rows.select(PLACE) for kind, rows in kept.items()}

    def _append(self, table: str, rows: pl.DataFrame) -> None:
        if self._may_be_stored and not rows.is_empty():
            rows = rows.join(self._store.places(table, rows["file_id"].unique()), on=PLACE, how="anti")
        if not rows.is_empty():
            self._store.append(table, rows)

    def _append_voided(self, events: pl.DataFrame, voids: pl.DataFrame) -> None:
        voided = newly_voided(
            events, voids, self._store.named("voided_events", voids.select(KEY).unique()), self._landed_at
        )
        if not voided.is_empty():
            self._store.append("voided_events", voided)

    def _append_events(self, events: pl.DataFrame) -> None:
        """Properties without a column are remembered first: events that nothing says they lack it would not count."""
        untyped = self._store.untyped_properties()
        most = 0 if len(untyped) >= MOST_REMEMBERED else self._settings.limits.max_property_columns
        typed, new = _typed_and_untyped(events, self._store.event_columns(), untyped, most)
        remembered = new[: MOST_REMEMBERED - len(untyped)]
        if remembered:
            rows = pl.DataFrame(remembered, schema=["kind", "property"], orient="row")
            self._store.append("untyped_properties", rows.with_columns(landed_at=pl.lit(self._landed_at, INSTANT)))
        self._store.append("events", typed)


def _typed_and_untyped(
    events: pl.DataFrame, stored: list[str], untyped: set[Held], most: int
) -> tuple[pl.DataFrame, list[Held]]:
    """Give new properties their columns for ever, in the order in which accepted events first have them.

    So which ones have columns depends on what is stored and on nothing else: not on refused records, nor on where a
    landing was cut off. Properties that come when there are `most` columns have none, and are returned where they were
    not known as such.
    """
    held_in_columns, sent = set(property_columns(stored)), SentProperties(events)
    new: list[Held] = []
    typed: dict[str, pl.Series] = {}
    for held in sent.in_order():
        if held in held_in_columns or (is_typable(held[1]) and held not in untyped and len(held_in_columns) < most):
            held_in_columns.add(held)
            typed[column_of(*held)] = sent.column(held)
        elif is_typable(held[1]) and held not in untyped:
            new.append(held)
    return events.select(schema_of(Events).names()).with_columns(**typed), new
