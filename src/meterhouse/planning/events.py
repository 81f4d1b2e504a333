"""Files of the landing zone into the warehouse."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
import polars as pl
from pydantic import TypeAdapter, ValidationError

from meterhouse.errors import WarehouseError
from meterhouse.landing import Begun, Identity, LandingReport, RetryReport, land_folder, retry_rejected
from meterhouse.metering import attribute
from meterhouse.planning.progress import Progress, Silent
from meterhouse.planning.rejects import open_rejects
from meterhouse.planning.untyped import untyped_properties
from meterhouse.tables import WAREHOUSE, Events, empty, schema_of
from meterhouse.warehouse.commit import write_cache, write_note
from meterhouse.warehouse.event_index import EventIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from meterhouse.catalog import Project
    from meterhouse.tables.properties import Held
    from meterhouse.warehouse import Warehouse

_IDENTITIES: Final = "_index/files.json"
_LANDED: Final = (
    "events",
    "untyped_properties",
    "landed_files",
    "rejected_events",
    "event_duplicates",
    "event_conflicts",
    "voids",
    "voided_events",
    "retried_records",
)
_BEGUN: Final = "_begun.json"
_BEGUN_LIST: Final = TypeAdapter(list[Begun])
_TICK_NS: Final = 2_000_000_000
"""Two changes that lie no further apart may have the same time: file systems keep it that coarsely."""


class WarehouseEvents:
    """The warehouse as landing sees it. Stored events are found by an index, at a cost that follows the new ones."""

    def __init__(self, warehouse: Warehouse, on_index: Callable[[int, int], None] = lambda _done, _all: None) -> None:
        """`on_index` is told how far making the index again is."""
        self._warehouse = warehouse
        self._index = EventIndex(warehouse.root, on_index)
        self._began_ns = time.time_ns()

    def landed_files(self) -> pl.DataFrame:
        """(file_id, path, events) of the files that were landed to their end; with the events of retries, or more."""
        landed = self._warehouse.scan("landed_files").select("file_id", "path", "events")
        by_file = _events_of_retries(self._warehouse)
        events = pl.col("events") + pl.col("more").fill_null(0)
        return landed.join(by_file, on="file_id", how="left").select("file_id", "path", events=events).collect()

    def identities(self) -> dict[str, Identity]:
        """Files by name that were hashed before; a cache, without which all of them are hashed again."""
        try:
            return msgspec.json.decode((self._warehouse.root / _IDENTITIES).read_bytes(), type=dict[str, Identity])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}

    def note_identities(self, identities: Mapping[str, Identity]) -> None:
        """Keep what files are like, but of those that were changed a moment ago: they may be again, unnoticed."""
        settled = {name: held for name, held in identities.items() if held.look.changed_ns < self._began_ns - _TICK_NS}
        write_cache(self._warehouse.root / _IDENTITIES, msgspec.json.encode(settled))

    def begun(self) -> list[Begun]:
        """Landings and retries that were cut off, with the files that they have not ended."""
        file = self._warehouse.root / _BEGUN
        try:
            return _BEGUN_LIST.validate_json(file.read_bytes())
        except FileNotFoundError:
            return []
        except ValidationError as fault:
            message = (
                f"A landing was cut off, and what it noted in {file} cannot be read ({fault.errors()[0]['msg']}). "
                f"Where another version of meterhouse noted it, let that version land once more."
            )
            raise WarehouseError(message) from fault

    def note_begun(self, begun: list[Begun]) -> None:
        """Note them on the disk, before rows of the files are stored."""
        write_note(self._warehouse.root / _BEGUN, _BEGUN_LIST.dump_json(begun))

    def event_columns(self) -> list[str]:
        """Columns of the stored events, with those of properties."""
        return self._warehouse.scan("events").collect_schema().names()

    def untyped_properties(self) -> set[Held]:
        """Properties that will never have a column."""
        return untyped_properties(self._warehouse)

    def known_events(self, keys: pl.DataFrame, window_days: int | None = None) -> pl.DataFrame:
        """The stored events with one of these (source, event_id), near enough to the key's own `date`."""
        places = self._index.candidates(keys)
        if window_days is not None:
            distance = (pl.col("stored_on") - pl.col("date")).dt.total_days().abs()
            places = places.filter((distance <= window_days) | pl.col("date").is_null())
        # Most landings resend nothing, and opening the table takes time.
        if places.is_empty():
            return empty(Events).collect()
        wanted = places.select("source", "event_id", date="stored_on").unique()
        stored = self._warehouse.scan("events").select(schema_of(Events).names())
        on_days = stored.filter(pl.col("date").is_in(wanted["date"].unique().implode()))
        # Keys first: all metadata of a day is more than memory may hold.
        known = wanted.lazy().join(on_days.select(wanted.columns), on=wanted.columns, how="semi").collect()
        if known.is_empty():
            return empty(Events).collect()
        named = on_days.filter(pl.col("event_id").is_in(known["event_id"].implode()))
        return named.join(known.lazy(), on=wanted.columns, how="semi").collect()

    def named(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """Rows of `voids` or `voided_events` with one of these (source, event_id), in the order of their landing."""
        # As good as always: keys of a whole batch would be hashed for nothing.
        if not self._warehouse.exists(table):
            return empty(WAREHOUSE[table].table).collect()
        named = self._warehouse.scan(table).join(keys.lazy(), on=keys.columns, how="semi")
        return named.sort("landed_at", "file_id", "position").collect()

    def places(self, table: str, file_ids: pl.Series) -> pl.DataFrame:
        """(file_id, position) of some files that a side table has."""
        rows = self._warehouse.scan(table).filter(pl.col("file_id").is_in(file_ids.implode()))
        return rows.select("file_id", "position").collect()

    def open_rejects(self) -> pl.DataFrame:
        """(file_id, path, position, reason, landed_on, file_bytes, bytes) of open refused records, file by file."""
        sizes = self._warehouse.scan("landed_files").select("file_id", file_bytes="bytes")
        found = open_rejects(self._warehouse).with_columns(bytes=pl.col("record").str.len_bytes().cast(pl.Int64()))
        columns = ["file_id", "path", "position", "reason", "landed_on", "file_bytes", "bytes"]
        return found.join(sizes, on="file_id").select(columns).sort("path", "file_id", "position").collect()

    def rejected_texts(self, rejects: pl.DataFrame) -> pl.DataFrame:
        """(file_id, position, record) of some rows of `open_rejects`."""
        places = ["file_id", "position"]
        # Before the join, so that only records of these files are read.
        may_be = pl.all_horizontal(
            pl.col(name).is_in(rejects[name].unique().implode()) for name in ("landed_on", "file_id")
        )
        near = pl.col("position").is_between(rejects["position"].min(), rejects["position"].max())
        rows = self._warehouse.scan("rejected_events").filter(may_be & near).select(*places, "record")
        return rows.join(rejects.lazy(), on=places, how="semi").collect()

    def renew_rejects(self, evidence: pl.DataFrame) -> None:
        """Say what is wrong with refused records today, where it is something else: file, position, reason, text."""
        told = self._warehouse.scan("rejected_events").select(*evidence.columns, "landed_on")
        known = told.join(evidence.lazy(), on=["file_id", "position"], suffix="_today").collect()
        is_new = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_today") for name in ("reason", "explanation"))
        for day in known.filter(is_new)["landed_on"].unique().sort():
            self._warehouse.update("rejected_events", partial(_renewed, by=evidence), f"landed_on = '{day}'")

    def note_read_again(self, rows: pl.DataFrame) -> None:
        """Replace or add rows of `files_read_again`."""
        self._warehouse.update(
            "files_read_again",
            lambda before: pl.concat([before.join(rows.lazy(), on="file_id", how="anti").collect(), rows]),
        )

    def append(self, table: str, rows: pl.DataFrame) -> None:
        """Add rows to a table."""
        self._warehouse.append(table, rows)


def _events_of_retries(warehouse: Warehouse) -> pl.LazyFrame:
    retried = warehouse.scan("retried_records").filter(pl.col("outcome") == "event").select("file_id", more=1)
    read_again = warehouse.scan("files_read_again").select("file_id", more="events")
    both = pl.concat([retried, read_again], how="vertical_relaxed")
    return both.group_by("file_id").agg(pl.col("more").sum())


def _renewed(before: pl.LazyFrame, by: pl.DataFrame) -> pl.DataFrame:
    return before.collect().update(by, on=["file_id", "position"])


def counting_events(warehouse: Warehouse, days: pl.Expr) -> pl.LazyFrame:
    """The events of some days but those that were taken back (rule 1.6); `days` is a condition on `date`."""
    events = warehouse.scan("events").filter(days)
    voided = warehouse.scan("voided_events").filter(days).select("source", "event_id", "date").collect()
    if voided.is_empty():
        return events
    return events.join(voided.lazy(), on=voided.columns, how="anti")


def unattributed_events(warehouse: Warehouse) -> pl.DataFrame:
    """How many metered events each id has that no customer has: `customer_id, events`, the id as it was sent."""
    days = warehouse.scan("usage_daily").filter(~pl.col("attributed")).select("date").unique().collect().to_series()
    if days.is_empty():
        return pl.DataFrame(schema={"customer_id": pl.String(), "events": pl.UInt32()})
    events = counting_events(warehouse, pl.col("date").is_in(days.implode()))
    ids = events.select("customer_id", "external_customer_id", "subscription_id")
    attributed = attribute(ids, warehouse.scan("customers"), warehouse.scan("subscriptions"))
    return attributed.filter(~pl.col("attributed")).group_by("customer_id").agg(events=pl.len()).collect()


def land(
    project: Project, warehouse: Warehouse, landed_at: datetime, progress: Progress | None = None
) -> LandingReport:
    """Land every file of the project's landing zone that was not landed before."""
    progress = progress or Silent()
    report = land_folder(
        project.events,
        WarehouseEvents(warehouse, _told_to(progress)),
        project.settings,
        landed_at,
        on_listed=lambda files: progress.begin("Landing", files),
        on_file=lambda file: progress.advance(file.name),
        on_bytes=lambda file, read, size: progress.within(_read_of(file.name, read, size), min(1, read / max(1, size))),
    )
    if not report.files.is_empty():
        _compact(warehouse)
    progress.end(_summary(report))
    return report


def retry(project: Project, warehouse: Warehouse, landed_at: datetime, progress: Progress | None = None) -> RetryReport:
    """Land the refused records that the settings of today can use."""
    progress = progress or Silent()
    report = retry_rejected(
        project.events,
        WarehouseEvents(warehouse, _told_to(progress)),
        project.settings,
        landed_at,
        on_listed=lambda files: progress.begin("Landing refused records", files),
        on_file=progress.advance,
    )
    if report.outcomes.total():
        _compact(warehouse)
    progress.end(f"{report.outcomes.total():,} of {report.outcomes.total() + report.refused.total():,} records")
    return report


def _compact(warehouse: Warehouse) -> None:
    """Join small files, so that what was landed a little at a time is read as quickly as what was landed at once."""
    for table in _LANDED:
        warehouse.compact(table)


def _told_to(progress: Progress) -> Callable[[int, int], None]:
    def tell(done: int, files: int) -> None:
        if files:
            progress.within(f"making the index of events again: {done:,} of {files:,} files read", done / files)

    return tell


def _read_of(name: str, read: int, size: int) -> str:
    return f"{name}: {read >> 20:,} of {size >> 20:,} MiB"


def _summary(report: LandingReport) -> str:
    if report.files.is_empty():
        return f"nothing new in {report.seen_before} files"
    total = report.files.select(pl.col("records", "events", "rejected", "duplicates", "conflicts").sum()).row(
        0, named=True
    )
    refused = ", ".join(f"{total[kind]:,} {kind}" for kind in ("rejected", "duplicates", "conflicts") if total[kind])
    return f"{report.files.height:,} files, {total['records']:,} records, {total['events']:,} events" + (
        f", {refused}" if refused else ""
    )
