"""On which days events with given keys may be stored, found without reading the history.

A cache beside the tables, always made again from `events` where it does not fit them. It holds a number per event: 50
bits of a hash of its key, and 14 bits of its day. What it finds says only where to look: other keys may have the same
hash, days 44 years apart have the same number, and the event may be gone.
"""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable

from meterhouse.warehouse.commit import read_commit
from meterhouse.warehouse.runs import PREFIX, SUFFIX, Runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FOLDER: Final = "_index/events"

READ_BYTES: Final = 256 << 20
"""Of Parquet, whose keys are read at once while the index is made."""

_FORMAT: Final = 1
_KEY: Final = ("source", "event_id")
_PROBES: Final = ("", "a", "event-1234567890", "o\u00df" * 40)


class EventIndex:
    """The index of a warehouse's `events`, for the one process that holds the warehouse's lock."""

    def __init__(self, root: Path, on_rebuild: Callable[[int, int], None] = lambda _done, _all: None) -> None:
        """`on_rebuild` is told how many files were read while the index is made again, and how many there are."""
        self._table = root / "events"
        self._runs = Runs(root / FOLDER)
        self._covers = self._runs.load()
        self._on_rebuild = on_rebuild

    def candidates(self, keys: pl.DataFrame) -> pl.DataFrame:
        """The rows of `keys`, each with every `stored_on`: a day on which an event with its key may be stored."""
        days = self.follow()
        found = self._runs.find(keys.select(_prefix()).to_series())
        named = days.to_frame().with_columns(suffix=_suffix("stored_on"))
        places = found.join(named, on="suffix").select("place", "stored_on").unique()
        return keys[places["place"]].with_columns(places["stored_on"])

    def follow(self) -> pl.Series:
        """Take in what was committed since; all of it again where the index is of other events. Returns all days."""
        if not DeltaTable.is_deltatable(str(self._table)):
            return pl.Series("stored_on", [], pl.Date)
        handle = DeltaTable(str(self._table))
        new = self._new_files(handle)
        if new is None:
            self._runs.clear()
            self._take(self._live_files(handle), self._on_rebuild)
        else:
            self._take(new, lambda _done, _all: None)
        covers = self._identity(handle, handle.version())
        if covers != self._covers:
            self._runs.save(covers)
            self._covers = covers
        return pl.Series("stored_on", [day["date"] for day in handle.partitions()], pl.String).str.to_date()

    def _new_files(self, handle: DeltaTable) -> list[Path] | None:
        """Files of events that the index does not have; None where what it has is not of this table's past."""
        if self._covers is None or int(self._covers["version"]) > handle.version():
            return None
        covered = int(self._covers["version"])
        if self._covers != self._identity(handle, covered):
            return None
        commits = [read_commit(self._table, version) for version in range(covered + 1, handle.version() + 1)]
        files = [self._table / path for commit in commits for path in (() if commit is None else commit.new_files)]
        # They may have been joined and removed meanwhile.
        return None if None in commits or not all(file.exists() for file in files) else files

    def _identity(self, handle: DeltaTable, version: int) -> dict[str, str]:
        """What the index says it covers: a table of the same number of commits may be another one, or restored."""
        commit = read_commit(self._table, version)
        return {
            "made_by": _made_by(),
            "table": str(handle.metadata().id),
            "version": str(version),
            "commit": "" if commit is None else commit.digest,
        }

    def _live_files(self, handle: DeltaTable) -> list[Path]:
        return [self._table / unquote(path) for path in pl.DataFrame(handle.get_add_actions())["path"].sort()]

    def _take(self, files: list[Path], on_file: Callable[[int, int], None]) -> None:
        done = 0
        for portion in _portions(files):
            on_file(done, len(files))
            rows = pl.scan_parquet(portion, glob=False, hive_partitioning=True, hive_schema={"date": pl.Date})
            self._runs.add(rows.select(_prefix() | _suffix("date")).collect(engine="streaming").to_series())
            done += len(portion)


def _prefix() -> pl.Expr:
    # Two seeds, since a source and an id that are the same text would cancel each other out.
    return ((pl.col("source").hash(1) ^ pl.col("event_id").hash(2)) & pl.lit(PREFIX, pl.UInt64)).alias("prefix")


def _suffix(day: str) -> pl.Expr:
    return (pl.col(day).to_physical().cast(pl.Int64) & SUFFIX).cast(pl.UInt64)


def _made_by() -> str:
    """Tells hashes of another Polars or machine from ours."""
    hashes = pl.DataFrame({"source": _PROBES, "event_id": _PROBES[::-1]}).select(_prefix()).to_series().to_list()
    return hashlib.sha256(f"{_FORMAT} {sys.byteorder} {hashes}".encode()).hexdigest()


def _portions(files: list[Path]) -> Iterator[list[Path]]:
    portion: list[Path] = []
    held = 0
    for file in files:
        portion.append(file)
        held += file.stat().st_size
        if held >= READ_BYTES:
            yield portion
            portion, held = [], 0
    if portion:
        yield portion
