"""The warehouse: the declared tables, as Delta tables in one folder.

A write is checked, sorted by key, committed against the version that was read, and on the disk when it returns.
"""

from __future__ import annotations

import hashlib
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from meterhouse.errors import WarehouseError
from meterhouse.tables import WAREHOUSE, Stored, empty, schema_of, verify, verify_many
from meterhouse.warehouse.commit import make_durable, newest_commit, read_commit, until_it_holds
from meterhouse.warehouse.files import (
    StoredFile,
    add_columns,
    commit_files,
    crowded_files,
    join_files,
    live_files,
    write_files,
)
from meterhouse.warehouse.layout import (
    configuration,
    delta_schema,
    grown_columns,
    refuse_columns,
    refuse_drift,
)
from meterhouse.warehouse.lock import WriterLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

_ODD: Final = frozenset("%=*?[]")
"""Characters of a path that delta-rs decodes twice, that Polars takes for a partition, or DuckDB for a pattern."""


class Warehouse:
    """Reads and writes the tables that `tables.WAREHOUSE` declares, in a folder."""

    def __init__(self, root: str) -> None:
        if "://" in root:
            message = f"Warehouse '{root}' is not a local folder. Only local folders are supported so far."
            raise WarehouseError(message)
        self.root = Path(root).absolute()
        odd = sorted(_ODD.intersection(str(self.root)))
        if odd:
            message = (
                f"Warehouse {self.root} cannot be used: its path has {' '.join(odd)}. Give the folder another name."
            )
            raise WarehouseError(message)
        self._lock = WriterLock(self.root)

    def lock(self) -> AbstractContextManager[None]:
        """One writer at a time; raises WarehouseBusy, saying who, where another process writes."""
        return self._lock.held()

    def holder(self) -> str | None:
        """Who writes to the warehouse right now, None where no process does; takes no lock that others would meet."""
        return self._lock.holder()

    def exists(self, table: str) -> bool:
        """Whether the table was ever written."""
        _declared(table)
        return DeltaTable.is_deltatable(str(self.root / table))

    def version(self, table: str) -> int | None:
        """Version of the table; None where it was never written."""
        handle = self._open(table)
        return None if handle is None else handle.version()

    def stamp(self, table: str) -> str:
        """Tells any two states of the table apart, found without opening it; empty where it was never written.

        Not the version: a table that was restored from a backup may reach the same one again with other rows.
        """
        newest = newest_commit(self.root / table)
        return "" if newest is None else f"{newest.stem} {hashlib.sha256(newest.read_bytes()).hexdigest()}"

    def scan_stamped(self, table: str, stamp: str) -> pl.LazyFrame:
        """The table's rows as they were when it had this stamp; raises WarehouseError where they are there no more."""
        version, _, digest = stamp.partition(" ")
        commit = read_commit(self.root / table, int(version))
        if commit is None or commit.digest != digest:
            message = (
                f"Table '{table}' has no version {stamp} any more: its log was cleaned, or it was made anew since."
            )
            raise WarehouseError(message)
        return self.scan(table, int(version))

    def versions(self) -> dict[str, int]:
        """Version of each table that was ever written."""
        found = {table: self.version(table) for table in WAREHOUSE}
        return {table: version for table, version in found.items() if version is not None}

    def scan(self, table: str, version: int | None = None) -> pl.LazyFrame:
        """The table's rows in no order, as of one version; property columns come last, sorted by name."""
        handle = self._open(table, version)
        return empty(_declared(table).table) if handle is None else _rows(handle, _declared(table))

    def file_uris(self, table: str) -> list[str]:
        """Parquet files that make up the table now. The folder holds older ones as well: never read it by a pattern."""
        handle = self._open(table)
        return [] if handle is None else _files(handle)

    def replace(self, table: str, frame: pl.DataFrame, where: str | None = None) -> bool:
        """Replace all rows, or those of the partitions that `where` names; False where they were the same already.

        `where` is SQL on the partition column with dates as text: `date >= '2026-01-01' AND date <= '2026-01-31'`.
        """
        return self.update(table, lambda _: frame, where)

    def overwrite(self, table: str, frame: pl.DataFrame, where: str) -> None:
        """Replace the rows of partitions without a look at what they are: for those that are known to be stale."""

        def attempt() -> None:
            rows = _checked(table, frame)
            _refuse_outside(table, rows, where)
            handle = self._open(table) or self._create(table)
            self._write(handle, table, rows, _named_files(handle, table, where))

        until_it_holds(table, attempt)

    def update(self, table: str, change: Callable[[pl.LazyFrame], pl.DataFrame], where: str | None = None) -> bool:
        """Replace rows by what `change` makes of them; computed again where another writer came between."""
        stored = _declared(table)
        if stored.append_only:
            message = f"Table '{table}' is append-only: its rows prove what was billed. Append a correction instead."
            raise WarehouseError(message)

        def attempt() -> bool:
            handle = self._open(table)
            before = empty(stored.table) if handle is None else _within(_rows(handle, stored), table, handle, where)
            after = _checked(table, change(before))
            _refuse_outside(table, after, where)
            if _same_rows(before, after, stored):
                return False
            handle = handle or self._create(table)
            self._write(handle, table, after, _named_files(handle, table, where))
            return True

        return until_it_holds(table, attempt)

    def append(self, table: str, frame: pl.DataFrame, once: tuple[str, int] | None = None) -> bool:
        """Add rows; False where there are none, or where `once` (an application and its sequence) was written already.

        A sequence counts as written when that application wrote it or a higher one.
        """
        rows = _checked(table, frame)

        def attempt() -> bool:
            handle = self._open(table) or self._create(table)
            if once is None and rows.is_empty():
                return False
            if once is not None and _sequence(handle, once[0]) >= once[1]:
                return False
            self._refuse_stored_keys(table, handle, rows)
            self._write(handle, table, rows, once=once)
            return True

        return until_it_holds(table, attempt)

    def sequence(self, table: str, application: str) -> int:
        """The highest sequence that `append` wrote for an application; -1 before the first."""
        handle = self._open(table)
        return -1 if handle is None else _sequence(handle, application)

    def refuse_append(self, table: str, frame: pl.DataFrame) -> None:
        """Raise what `append` would raise, without writing."""
        rows = _checked(table, frame)
        handle = self._open(table)
        if handle is not None:
            self._refuse_stored_keys(table, handle, rows)

    def compact(self, table: str, files: int = 8) -> bool:
        """Join files of about one size where a partition has more than `files` of them; False where there is none.

        So every row is written again a few times at most, however large its partition is.
        """
        stored = _declared(table)

        def attempt() -> bool:
            handle = self._open(table)
            crowded = [] if handle is None else crowded_files(live_files(handle, stored), files)
            if handle is None or not crowded:
                return False
            schema = schema_of(stored.table) | grown_columns(stored, handle)
            joined = [join_files(self.root / table, stored, pl.Schema(schema), together) for together in crowded]
            commit_files(handle, stored, joined, chain.from_iterable(crowded), is_change=False)
            return True

        return until_it_holds(table, attempt)

    def _open(self, table: str, version: int | None = None) -> DeltaTable | None:
        """One pinned handle: what is read and what is committed belong to the same version."""
        if not self.exists(table):
            if version is None:
                return None
            message = f"Table '{table}' has no version {version}: it was never written in {self.root}."
            raise WarehouseError(message)
        try:
            handle = DeltaTable(str(self.root / table), version=version)
        except (DeltaError, TableNotFoundError, OSError) as fault:
            wanted = "" if version is None else f" at version {version}"
            message = (
                f"Table '{table}' in {self.root} cannot be read{wanted} ({fault}). "
                f"Ask for a version between 0 and the newest, or restore the folder from a backup."
            )
            raise WarehouseError(message) from fault
        refuse_drift(table, _declared(table), handle)
        return handle

    def _create(self, table: str) -> DeltaTable:
        """Create the empty table, or open it where another writer was quicker."""
        stored = _declared(table)
        handle = DeltaTable.create(
            str(self.root / table),
            delta_schema(stored),
            mode="ignore",
            partition_by=stored.partition,
            configuration=configuration(stored),
        )
        make_durable(handle)
        return handle

    def _write(
        self,
        handle: DeltaTable,
        table: str,
        rows: pl.DataFrame,
        removed: Iterable[StoredFile] = (),
        once: tuple[str, int] | None = None,
    ) -> None:
        stored = _declared(table)
        if stored.grows_columns:
            add_columns(handle, stored, rows)
        commit_files(handle, stored, write_files(self.root / table, stored, rows), removed, once=once)

    def _refuse_stored_keys(self, table: str, handle: DeltaTable, rows: pl.DataFrame) -> None:
        """A key of an append-only table is written once: an invoice twice would be billed twice."""
        stored = _declared(table)
        if not stored.append_only:
            return
        key = stored.table.primary_key()
        keys = rows.lazy().select(key)
        again = keys.join(_rows(handle, stored), on=key, how="semi", nulls_equal=True).head(1).collect()
        if not again.is_empty():
            message = (
                f"Append-only table '{table}' holds {again.to_dicts()[0]} already and would get it twice. "
                f"This is a fault in meterhouse, not in your data: nothing was written."
            )
            raise WarehouseError(message)


def _declared(table: str) -> Stored:
    try:
        return WAREHOUSE[table]
    except KeyError:
        message = f"The warehouse has no table '{table}'. Known tables: {', '.join(sorted(WAREHOUSE))}."
        raise WarehouseError(message) from None


def _rows(handle: DeltaTable, stored: Stored) -> pl.LazyFrame:
    """The table's rows; not by `scan_delta`, which does not find files where a folder's name has a space."""
    schema = schema_of(stored.table) | grown_columns(stored, handle)
    files = _files(handle)
    if not files:
        return pl.LazyFrame(schema=schema)
    partition = {} if stored.partition is None else {stored.partition: schema[stored.partition]}
    return pl.scan_parquet(
        files,
        schema=schema,
        missing_columns="insert",
        hive_partitioning=bool(partition),
        hive_schema=partition or None,
        glob=False,
    ).select(list(schema))


def _files(handle: DeltaTable) -> list[str]:
    return sorted(unquote(uri) for uri in handle.file_uris())


def _checked(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The rows with exact columns and types, verified, sorted so that equal content is written as equal bytes.

    Events stay as they came: sorting them costs as much as writing them, and makes larger files.
    """
    stored = _declared(table)
    refuse_columns(table, stored, frame)
    declared = schema_of(stored.table).names()
    columns = [*declared, *sorted(set(frame.columns) - set(declared))]
    verified = (verify_many if stored.has_many_rows else verify)(frame, stored.table).select(columns)
    return verified if stored.grows_columns else _in_order(verified, _order(stored))


def _in_order(rows: pl.DataFrame, order: list[str]) -> pl.DataFrame:
    """The rows sorted. To see that they are takes a quarter of the time of sorting them."""
    return rows if rows.select(order).to_struct().is_sorted() else rows.sort(order)


def _order(stored: Stored) -> list[str]:
    return list(dict.fromkeys(chain([stored.partition] if stored.partition else [], stored.table.primary_key())))


def _within(rows: pl.LazyFrame, table: str, handle: DeltaTable, where: str | None) -> pl.LazyFrame:
    """The stored rows that `where` names, by the partition values themselves, so that other files are not read."""
    if where is None:
        return rows
    name = _partition(table)
    values = pl.Series(name, [partition[name] for partition in handle.partitions()], pl.String)
    named = _matching(table, values, where)
    typed = named.str.to_date() if schema_of(_declared(table).table)[name] == pl.Date() else named
    return rows.filter(pl.col(name).is_in(typed.implode()))


def _named_files(handle: DeltaTable, table: str, where: str | None) -> list[StoredFile]:
    """Files of the partitions that `where` names; all of them where it is not given."""
    files = live_files(handle, _declared(table))
    if where is None:
        return files
    values = pl.Series(_partition(table), sorted({str(file.partition) for file in files}), pl.String)
    named = set(_matching(table, values, where))
    return [file for file in files if file.partition in named]


def _refuse_outside(table: str, rows: pl.DataFrame, where: str | None) -> None:
    if where is None:
        return
    values = rows[_partition(table)].unique().cast(pl.String)
    outside = values.filter(~values.is_in(_matching(table, values, where).implode())).sort()
    if len(outside):
        message = (
            f"Rows for table '{table}' lie outside the partitions replaced ({where}): {outside.head(5).to_list()}. "
            f"This is a fault in meterhouse, not in your data: nothing was written."
        )
        raise WarehouseError(message)


def _matching(table: str, values: pl.Series, where: str) -> pl.Series:
    """Partition values, as text, that `where` names. Dates as ISO text sort and compare as dates do."""
    try:
        return values.to_frame().filter(pl.sql_expr(where)).to_series()
    except pl.exceptions.PolarsError as fault:
        message = (
            f"Table '{table}' cannot be replaced where {where} ({fault}). Name only its partition column "
            f"'{values.name}', and write dates as text: '2026-01-31'."
        )
        raise WarehouseError(message) from fault


def _partition(table: str) -> str:
    partition = _declared(table).partition
    if partition is None:
        message = f"Table '{table}' has no partitions: replace it as a whole, without `where`."
        raise WarehouseError(message)
    return partition


def _same_rows(before: pl.LazyFrame, after: pl.DataFrame, stored: Stored) -> bool:
    if before.select(pl.len()).collect().item() != after.height:
        return False
    schema = before.collect_schema()
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in after.columns]
    grown = [pl.lit(None, dtype).alias(name) for name, dtype in after.schema.items() if name not in schema]
    columns = sorted({*schema.names(), *after.columns})
    old = before.with_columns(grown).select(columns).collect().sort(_order(stored))
    return old.equals(after.with_columns(lacking).select(columns).sort(_order(stored)))


def _sequence(handle: DeltaTable, application: str) -> int:
    written = handle.transaction_version(application)
    return -1 if written is None else written
