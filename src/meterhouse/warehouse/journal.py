"""Several append-only tables change together, whatever instant the process dies.

Delta commits one table at a time. So a batch is first written beside the tables and made durable (its journal), then
appended table by table, each append noting the batch's sequence in the same commit. A journal that is found complete is
finished; one that is not was never promised, and is dropped.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.errors import WarehouseError
from meterhouse.tables import WAREHOUSE
from meterhouse.warehouse.commit import drop_torn_commit, sync_files, sync_folders

if TYPE_CHECKING:
    from pathlib import Path

    from meterhouse.warehouse.store import Warehouse

FOLDER: Final = "_journal"
_UNFINISHED: Final = ".tmp"
_BATCH: Final = "batch.json"


def commit_together(warehouse: Warehouse, batch_id: str, sequence: int, appends: dict[str, pl.DataFrame]) -> bool:
    """Append to several tables as one batch; False where the batch of this sequence was written already.

    Name the same tables in every batch, with no rows where there is nothing: each keeps count of the sequence.
    """
    recover(warehouse)
    if _is_written(warehouse, sequence, appends):
        return False
    for table, frame in appends.items():
        warehouse.refuse_append(table, frame)
    journal = _write(warehouse, batch_id, sequence, appends)
    _apply(warehouse, journal)
    _remove(journal)
    return True


def recover(warehouse: Warehouse) -> list[str]:
    """Mend what a run left that died: finish the batches that it began; returns their ids."""
    for table in WAREHOUSE:
        drop_torn_commit(warehouse.root / table)
    root = warehouse.root / FOLDER
    if not root.exists():
        return []
    for unfinished in root.glob(f"*{_UNFINISHED}"):
        shutil.rmtree(unfinished)
    finished = []
    # A file manager may have left files of its own.
    journals = [journal for journal in root.iterdir() if journal.name.isdecimal()]
    for journal in sorted(journals, key=lambda journal: int(journal.name)):
        finished.append(_apply(warehouse, journal))
        _remove(journal)
    return finished


def _is_written(warehouse: Warehouse, sequence: int, appends: dict[str, pl.DataFrame]) -> bool:
    last = {table: warehouse.sequence(table, table) for table in appends}
    ahead = {table: written for table, written in last.items() if written >= sequence}
    if ahead and len(ahead) < len(last):
        message = (
            f"Batch {sequence} cannot be written: tables {sorted(ahead)} are at batch {max(ahead.values())} already, "
            f"tables {sorted(last.keys() - ahead.keys())} are not. Two runs chose the same number: run again."
        )
        raise WarehouseError(message)
    return bool(ahead)


def _write(warehouse: Warehouse, batch_id: str, sequence: int, appends: dict[str, pl.DataFrame]) -> Path:
    """Write the journal beside its place and rename it there when all of it is on the disk."""
    root = warehouse.root / FOLDER
    journal = root / str(sequence)
    unfinished = root / f"{sequence}{_UNFINISHED}"
    unfinished.mkdir(parents=True)
    for table, frame in appends.items():
        frame.write_parquet(unfinished / f"{table}.parquet")
    batch = json.dumps({"batch_id": batch_id, "tables": list(appends)})
    (unfinished / _BATCH).write_text(batch, encoding="utf-8")
    sync_files(unfinished.iterdir())
    sync_folders([unfinished])
    unfinished.rename(journal)
    sync_folders([root, warehouse.root])
    return journal


def _apply(warehouse: Warehouse, journal: Path) -> str:
    """Append what is not appended yet; returns the batch's id."""
    batch = json.loads((journal / _BATCH).read_text(encoding="utf-8"))
    for table in batch["tables"]:
        frame = pl.read_parquet(journal / f"{table}.parquet")
        warehouse.append(table, frame, once=(table, int(journal.name)))
    return str(batch["batch_id"])


def _remove(journal: Path) -> None:
    """Rename before deleting, so that a journal half deleted is not taken for one to be finished."""
    done = journal.with_name(f"{journal.name}{_UNFINISHED}")
    journal.rename(done)
    shutil.rmtree(done)
    sync_folders([journal.parent])
