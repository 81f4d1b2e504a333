"""Sorted numbers in files, searched by bisection: a set that grows at a cost that follows what is added.

What is added is a *run*. A few runs of about one size are merged into a larger one, so that there are few to search,
and each number is written again a few times at most. A run is a list of files that follow one another. `manifest.json`
names them, with a note of what they cover; files that it does not name were left by a process that died.

A number is found by its leading bits; what follows them is what is looked for.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import uuid4

import msgspec
import polars as pl
import pyarrow as pa

from meterhouse.warehouse.commit import sync_files, sync_folders, write_note, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX_BITS: Final = 14
SUFFIX: Final = (1 << SUFFIX_BITS) - 1
PREFIX: Final = ((1 << 64) - 1) ^ SUFFIX

FILE_NUMBERS: Final = 1 << 23
"""Numbers of a file, 64 MB. Merging holds as many in memory, and some copies."""

SMALLEST_TIER: Final = 1 << 18
RUNS: Final = 4
"""So many runs of one tier are merged, and so many times as large as the tier below it is a tier."""

_MANIFEST: Final = "manifest.json"
_BYTES: Final = 8
_SEARCHES: Final = 2
_NUMBER: Final = pl.UInt64()


class Segment(msgspec.Struct, frozen=True):
    """A file of sorted numbers, a part of a run."""

    file: str
    numbers: int


Run: TypeAlias = tuple[Segment, ...]


class Manifest(msgspec.Struct, frozen=True):
    """Which files make up the set, and what it covers."""

    covers: dict[str, str]
    runs: tuple[Run, ...]


class Runs:
    """The runs of a folder. One process at a time may change them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: list[Run] = []
        self._saved: set[str] = set()
        self._opened: dict[str, pl.Series] = {}

    def load(self) -> dict[str, str] | None:
        """Read the manifest; returns what it covers, None where there is none or its files are not whole."""
        try:
            manifest = msgspec.json.decode((self._folder / _MANIFEST).read_bytes(), type=Manifest)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        segments = [segment for run in manifest.runs for segment in run]
        if any(_bytes_of(self._folder / held.file) != held.numbers * _BYTES for held in segments):
            return None
        self._runs = list(manifest.runs)
        self._saved = {segment.file for segment in segments}
        return manifest.covers

    def clear(self) -> None:
        """Begin with an empty set. What is on the disk stays until the next `save`."""
        self._runs = []

    def add(self, numbers: pl.Series) -> None:
        """Add a run, and merge where there are enough of one size. Not kept before `save`."""
        if numbers.is_empty():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._runs.append((self._write(numbers.sort()),))
        while (similar := self._similar()) is not None:
            merged = self._merge(similar)
            self._runs = [run for run in self._runs if run not in similar] + [merged]
            self._drop({segment.file for run in similar for segment in run} - self._saved)

    def save(self, covers: dict[str, str]) -> None:
        """Keep the set as it is now, on the disk, with what it covers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        named = {segment.file for run in self._runs for segment in run}
        sync_files(self._folder / file for file in named - self._saved)
        sync_folders([self._folder])
        write_note(self._folder / _MANIFEST, msgspec.json.encode(Manifest(covers, tuple(self._runs))))
        self._saved = named
        self._drop({file.name for file in self._folder.iterdir()} - named - {_MANIFEST})

    def find(self, prefixes: pl.Series) -> pl.DataFrame:
        """(place, suffix) of each number that begins with one of these, by the place of that one."""
        wanted = prefixes.alias("prefix").to_frame().with_row_index("place").sort("prefix")
        segments = [segment for run in self._runs for segment in run]
        with ThreadPoolExecutor(_SEARCHES) as pool:
            found = pool.map(lambda segment: _matches(self._open(segment), wanted), segments)
            return pl.concat([_matches(pl.Series([], dtype=_NUMBER), wanted), *found])

    def _similar(self) -> list[Run] | None:
        tiers: dict[int, list[Run]] = defaultdict(list)
        for run in self._runs:
            tiers[_tier(run)].append(run)
        return next((runs for _, runs in sorted(tiers.items()) if len(runs) >= RUNS), None)

    def _merge(self, runs: list[Run]) -> Run:
        files = -(-sum(map(_length, runs)) // FILE_NUMBERS)
        # Leading bits are those of a hash, so that equal parts of their range hold about as many numbers each.
        cuts = [(number << 64) // files for number in range(files)]
        bounds = zip(cuts, [*(cut - 1 for cut in cuts[1:]), (1 << 64) - 1], strict=True)
        return tuple(self._write(pl.concat(self._between(runs, *bound)).sort()) for bound in bounds)

    def _between(self, runs: list[Run], first: int, last: int) -> Iterator[pl.Series]:
        for run in runs:
            for segment in run:
                numbers = self._open(segment)
                start = numbers.search_sorted(first)
                yield numbers.slice(start, numbers.search_sorted(last, side="right") - start)

    def _write(self, numbers: pl.Series) -> Segment:
        segment = Segment(f"{uuid4()}.numbers", len(numbers))
        held = numbers.to_arrow()
        write_whole(self._folder / segment.file, held.buffers()[1].slice(held.offset * _BYTES, len(held) * _BYTES))
        return segment

    def _open(self, segment: Segment) -> pl.Series:
        """The numbers of a file, mapped and not read: only what a search touches comes into memory."""
        if segment.file not in self._opened:
            with pa.memory_map(str(self._folder / segment.file)) as file:
                held = pa.Array.from_buffers(pa.uint64(), segment.numbers, [None, file.read_buffer()])
            self._opened[segment.file] = pl.Series(held)
        return self._opened[segment.file]

    def _drop(self, files: set[str]) -> None:
        for file in files:
            self._opened.pop(file, None)
            (self._folder / file).unlink(missing_ok=True)


def _matches(numbers: pl.Series, wanted: pl.DataFrame) -> pl.DataFrame:
    if not numbers.is_empty():
        start = wanted["prefix"].search_sorted(int(numbers[0]) & PREFIX)
        wanted = wanted.slice(start, wanted["prefix"].search_sorted(numbers[-1], side="right") - start)
    if numbers.is_empty() or wanted.is_empty():
        return pl.DataFrame(schema={"place": pl.UInt32, "suffix": _NUMBER})
    first = numbers.search_sorted(wanted["prefix"])
    nearest = numbers.gather(first.clip(upper_bound=len(numbers) - 1))
    is_found = (nearest & PREFIX) == wanted["prefix"]
    found, first = wanted.filter(is_found), first.filter(is_found)
    after = numbers.search_sorted(found["prefix"] | SUFFIX, side="right")
    spans = found.select("place", at=pl.int_ranges(first, after)).explode("at")
    return spans.select("place", suffix=numbers.gather(spans["at"]) & SUFFIX)


def _length(run: Run) -> int:
    return sum(segment.numbers for segment in run)


def _tier(run: Run) -> int:
    tier, bound = 0, SMALLEST_TIER
    while _length(run) >= bound:
        tier, bound = tier + 1, bound * RUNS
    return tier


def _bytes_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return -1
