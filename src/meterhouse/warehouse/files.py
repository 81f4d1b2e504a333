"""Rows as Parquet files of a table, several at once, and the commits that take them in and out.

Polars writes them more than twice as fast as delta-rs does. A file is on the disk before a commit names it.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, unquote
from uuid import uuid4

import polars as pl
from deltalake import Field
from deltalake.transaction import AddAction, RemoveAction

from meterhouse.tables import Stored, schema_of
from meterhouse.warehouse.commit import compare_and_set, make_durable, sync_files
from meterhouse.warehouse.layout import delta_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from deltalake import DeltaTable

ZSTD_LEVEL: Final = 1
"""Level 3 makes files an eighth smaller and takes a third longer."""

ROW_GROUP_ROWS: Final = 1 << 18

_PARQUET: Final[dict[str, Any]] = {
    "compression": "zstd",
    "compression_level": ZSTD_LEVEL,
    "row_group_size": ROW_GROUP_ROWS,
}

_SMALLEST_TIER: Final = 1 << 20
_TIER: Final = 8
_LARGE: Final = 64 << 20
"""Files of about one size make a tier: below 1 MiB, 8 MiB, 64 MiB. Larger ones are never joined."""

_WRITERS: Final = 2
"""Files written at once. Polars itself uses all cores for one, but not all of the time."""


class StoredFile(NamedTuple):
    """A data file that makes up a table now. `path` is relative to the table's folder."""

    path: str
    bytes: int
    partition: str | None


def write_files(table: Path, stored: Stored, rows: pl.DataFrame) -> list[AddAction]:
    """Write rows as new files, one per partition; no reader sees them until a commit names them."""
    if rows.is_empty():
        return []
    with ThreadPoolExecutor(_WRITERS) as pool:
        written = [
            pool.submit(_write_file, table, stored.partition, value, part)
            for value, part in _by_partition(rows, stored.partition)
        ]
    if any(action.exception() for action in written):
        # Where the disk is full, files that no commit will name would leave even less of it.
        for action in written:
            if action.exception() is None:
                (table / unquote(action.result().path)).unlink()
    return [action.result() for action in written]


def commit_files(
    handle: DeltaTable,
    stored: Stored,
    added: list[AddAction],
    removed: Iterable[StoredFile] = (),
    *,
    once: tuple[str, int] | None = None,
    is_change: bool = True,
) -> None:
    """Take files in and out in one commit, which is on the disk when this returns."""
    now = _milliseconds()
    actions = [RemoveAction(file.path, is_change, now, file.bytes, _values(stored, file.partition)) for file in removed]
    handle.create_write_transaction(
        [*added, *actions],
        mode="append",
        schema=handle.schema(),
        partition_by=[] if stored.partition is None else [stored.partition],
        commit_properties=compare_and_set(once),
    )
    handle.update_incremental()
    make_durable(handle)


def add_columns(handle: DeltaTable, stored: Stored, rows: pl.DataFrame) -> None:
    """Declare columns that the rows have and the table has not, in a commit of its own before theirs."""
    known = {field.name for field in handle.schema().fields} | set(schema_of(stored.table))
    new = [Field(name, delta_type(dtype)) for name, dtype in rows.schema.items() if name not in known]
    if new:
        handle.alter.add_columns(new, commit_properties=compare_and_set())
        make_durable(handle)


def live_files(handle: DeltaTable, stored: Stored) -> list[StoredFile]:
    """The files that make up the table at the handle's version, in the order of their names."""
    listed = pl.DataFrame(handle.get_add_actions(flatten=True))
    partition = pl.lit(None, pl.String) if stored.partition is None else pl.col(f"partition.{stored.partition}")
    columns = listed.select("path", "size_bytes", partition.cast(pl.String).alias("partition")).sort("path")
    return [StoredFile(*row) for row in columns.iter_rows()]


def crowded_files(files: Iterable[StoredFile], most: int) -> list[list[StoredFile]]:
    """Files to be joined, as lists of one partition each: those of a tier that has more than `most`."""
    tiers: dict[tuple[str | None, int], list[StoredFile]] = defaultdict(list)
    for file in files:
        if file.bytes < _LARGE:
            tiers[file.partition, _tier(file)].append(file)
    crowded = [tier for tier in tiers.values() if len(tier) > most]
    return [together for tier in crowded for together in _portions(tier)]


def _tier(file: StoredFile) -> int:
    tier, bound = 0, _SMALLEST_TIER
    while file.bytes >= bound:
        tier, bound = tier + 1, bound * _TIER
    return tier


def _portions(tier: list[StoredFile]) -> Iterator[list[StoredFile]]:
    """Lists of files that make a large one together; a single one that is left stays as it is."""
    portion: list[StoredFile] = []
    for file in tier:
        portion.append(file)
        if sum(held.bytes for held in portion) >= _LARGE:
            yield portion
            portion = []
    if len(portion) > 1:
        yield portion


def _by_partition(rows: pl.DataFrame, partition: str | None) -> Iterator[tuple[str | None, pl.DataFrame]]:
    if partition is None:
        yield None, rows
        return
    kept = [name for name in rows.columns if name != partition]
    if rows[partition].is_sorted():
        # As events of one sender come: nothing needs to be moved.
        lengths = rows[partition].rle().struct.unnest()
        starts = lengths["len"].cum_sum() - lengths["len"]
        for value, start, length in zip(lengths["value"], starts, lengths["len"], strict=True):
            yield str(value), rows.slice(start, length).select(kept)
        return
    parts = rows.partition_by(partition, include_key=False, maintain_order=True, as_dict=True)
    for (value,), part in sorted(parts.items()):
        yield str(value), part


def _write_file(table: Path, partition: str | None, value: str | None, rows: pl.DataFrame) -> AddAction:
    path = _new_path(table, partition, value)
    with _no_half_file(path):
        rows.write_parquet(path, **_PARQUET)
    return _added(table, path, partition, value, rows.height, is_change=True)


def join_files(table: Path, stored: Stored, schema: pl.Schema, files: list[StoredFile]) -> AddAction:
    """Write the rows of several files of one partition as one new file, in bounded memory."""
    value = files[0].partition
    path = _new_path(table, stored.partition, value)
    held = pl.Schema({name: dtype for name, dtype in schema.items() if name != stored.partition})
    rows = pl.scan_parquet(
        [table / unquote(file.path) for file in files],
        schema=held,
        missing_columns="insert",
        glob=False,
        hive_partitioning=False,
    )
    with _no_half_file(path):
        rows.sink_parquet(path, **_PARQUET)
    count = int(pl.scan_parquet(path, glob=False, hive_partitioning=False).select(pl.len()).collect().item())
    return _added(table, path, stored.partition, value, count, is_change=False)


@contextmanager
def _no_half_file(path: Path) -> Iterator[None]:
    """Take away what was written where the disk is full; Polars tells that as a fault of computing."""
    try:
        yield
    except pl.exceptions.ComputeError as fault:
        path.unlink(missing_ok=True)
        raise OSError(str(fault)) from fault


def _new_path(table: Path, partition: str | None, value: str | None) -> Path:
    folder = table if partition is None else table / f"{partition}={value}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"part-00000-{uuid4()}-c000.zstd.parquet"


def _added(
    table: Path, path: Path, partition: str | None, value: str | None, rows: int, *, is_change: bool
) -> AddAction:
    sync_files([path])
    return AddAction(
        path=quote(path.relative_to(table).as_posix(), safe="/="),
        size=path.stat().st_size,
        partition_values={} if partition is None else {partition: value},
        modification_time=_milliseconds(),
        data_change=is_change,
        # Without minima and maxima, see `layout.configuration`.
        stats=json.dumps({"numRecords": rows}),
    )


def _values(stored: Stored, value: str | None) -> dict[str, str | None]:
    return {} if stored.partition is None else {stored.partition: value}


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
