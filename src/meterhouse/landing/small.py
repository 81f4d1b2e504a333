"""Small files of JSON, read together: a file costs as much as some thousand records do.

Their lines follow each other as if they were of one file, and what was read of them is given back to its files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import accumulate, chain
from typing import Final, NamedTuple

import polars as pl

from meterhouse.landing.batch import Batch, Origin, refused_file, together, with_derived_ids
from meterhouse.landing.files import JSON, JSON_LINES, FileToLand
from meterhouse.landing.formats.elements import Elements
from meterhouse.landing.formats.lines import BYTE_ORDER_MARK, Block, Lines, as_lines
from meterhouse.landing.json_text.known import Known
from meterhouse.landing.reasons import Fault
from meterhouse.landing.take import take_lines

SMALL_BYTES: Final = 256 << 10
"""Of a small file, and of what it becomes when it is inflated."""


class SmallFile(NamedTuple):
    """All that could be read of a file, or some of its records."""

    origin: Origin
    texts: list[bytes]
    positions: Sequence[int]
    """Where each text stands."""
    cut: dict[int, int]
    """By the number of a text from 1: its whole size, where it was too large and only its first bytes are given."""
    damage: str | None


def read_small(file: FileToLand, size: int, origin: Origin) -> SmallFile | None:
    """Read a file of this size whole; None where it is not small, or not of JSON."""
    name = file.path.name.lower()
    if size > SMALL_BYTES or not name.endswith((*JSON_LINES, *JSON)):
        return None
    limits = origin.settings.limits
    if name.endswith(JSON):
        elements = Elements(file.path, limits)
        texts = _if_small(text for _, text in elements)
        return None if texts is None else SmallFile(origin, texts, _from_one(texts), elements.cut, elements.damage)
    lines = Lines(file.path, limits)
    pieces = _if_small(lines.pieces())
    if pieces is None:
        return None
    texts = b"".join(pieces).removeprefix(BYTE_ORDER_MARK).split(b"\n")
    return SmallFile(origin, texts, _from_one(texts), lines.cut, lines.damage)


def _from_one(texts: list[bytes]) -> range:
    return range(1, len(texts) + 1)


def _if_small(parts: Iterable[bytes]) -> list[bytes] | None:
    held: list[bytes] = []
    size = 0
    for part in parts:
        size += len(part)
        if size > SMALL_BYTES:
            return None
        held.append(part)
    return held


class SmallFiles:
    """Small files that wait for more, to be taken at once."""

    def __init__(self) -> None:
        self.files: list[SmallFile] = []
        self.records = 0
        self.bytes = 0

    def add(self, file: SmallFile) -> None:
        """Let a file wait."""
        self.files.append(file)
        self.records += len(file.texts)
        self.bytes += sum(map(len, file.texts))

    def take(self, known: Known) -> Batch:
        """Take the records of all: the same as of each alone, in the order of the files."""
        alike: dict[tuple[str, bool], list[SmallFile]] = defaultdict(list)
        for file in self.files:
            # No two sources that apply have the same pattern.
            alike[file.origin.source.files, file.origin.is_changed].append(file)
        damages = [(Fault("unreadable_file", file.damage), file.origin) for file in self.files if file.damage]
        parts = [*(_take_alike(files, known) for files in alike.values()), *(refused_file(*each) for each in damages)]
        in_order = pl.col("file_id").cast(pl.Enum([file.origin.file_id for file in self.files]))
        return with_derived_ids(together(parts).each(lambda rows: rows.sort(in_order, "position")))


def _take_alike(files: list[SmallFile], known: Known) -> Batch:
    """Take the records of files that have the same rules."""
    *before, texts = accumulate((len(file.texts) for file in files), initial=0)
    cut = {start + place: size for start, file in zip(before, files, strict=True) for place, size in file.cut.items()}
    records = pl.Series([text for file in files for text in file.texts], dtype=pl.Binary())
    batch = take_lines(Block(as_lines(records, range(1, texts + 1), cut)), files[0].origin, known)
    own = pl.DataFrame(
        {
            "before": before,
            "file_id": [file.origin.file_id for file in files],
            "path": [file.origin.path for file in files],
        }
    )
    positions = pl.Series("position", list(chain.from_iterable(file.positions for file in files)), pl.Int64())
    return batch.each(partial(_in_files, own, positions))


def _in_files(files: pl.DataFrame, positions: pl.Series, rows: pl.DataFrame) -> pl.DataFrame:
    """Give rows their file, and the position that they have there."""
    own = files[files["before"].search_sorted(rows["position"], side="left") - 1]
    placed = rows.with_columns(own["file_id"], positions[rows["position"] - 1])
    return placed.with_columns(own["path"]) if "path" in rows.columns else placed
