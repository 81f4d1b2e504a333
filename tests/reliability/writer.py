"""A process that writes to a warehouse until it is killed: `python -m tests.reliability.writer ROOT [TIMES WHO]`."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime

import dataframely as dy
import polars as pl

from meterhouse.tables import EventDuplicates, Fingerprints, LandedFiles, Runs, schema_of
from meterhouse.warehouse import Warehouse, commit_together, recover

DAY = "landed_on = '2026-01-31'"
ROWS = 50


def run_of(sequence: int) -> pl.DataFrame:
    return _filled(Runs, run_id=f"run {sequence}")


def file_of(sequence: int) -> pl.DataFrame:
    return _filled(LandedFiles, file_id=f"file {sequence}")


def day_of(generation: int) -> pl.DataFrame:
    """A partition in which each row names its generation: rows of two generations would be seen."""
    row = _filled(EventDuplicates, file_id=f"file {generation}", landed_on=date(2026, 1, 31))
    return row.drop("position").join(pl.DataFrame({"position": range(ROWS)}), how="cross").select(row.columns)


def counter_of(value: int) -> pl.DataFrame:
    return _filled(Fingerprints, part_table="counter", inputs=str(value))


def write_for_ever(root: str) -> None:
    """Batch after batch, each said aloud when it is promised."""
    warehouse = Warehouse(root)
    with warehouse.lock():
        recover(warehouse)
        sequence = warehouse.sequence("runs", "runs")
        while True:
            sequence += 1
            batch = {"runs": run_of(sequence), "landed_files": file_of(sequence)}
            commit_together(warehouse, f"batch {sequence}", sequence, batch)
            warehouse.replace("event_duplicates", day_of(sequence), DAY)
            _say(sequence)


def count_up(root: str, times: int, who: str) -> None:
    """Add one to a counter and a row to a table, and try to be the one who writes each sequence."""
    warehouse = Warehouse(root)
    firsts = 0
    for turn in range(times):
        warehouse.update("fingerprints", _one_more)
        warehouse.append("event_duplicates", day_of(turn).head(1).with_columns(source=pl.lit(f"{who} {turn}")))
        firsts += warehouse.append("runs", run_of(turn), once=("turns", turn))
    _say(firsts)


def _one_more(rows: pl.LazyFrame) -> pl.DataFrame:
    counted = rows.collect()
    return counter_of(1 if counted.is_empty() else int(counted["inputs"].item()) + 1)


def _filled(table: type[dy.Schema], **values: object) -> pl.DataFrame:
    """One row; columns that are not given hold something of their type, so that tables may grow."""
    fillers = {pl.String: "-", pl.Int64: 0, pl.Boolean: False, pl.Datetime: datetime(2026, 1, 1, tzinfo=UTC)}
    row = {
        name: [values[name] if name in values else None if column.nullable else fillers[column.dtype.base_type()]]
        for name, column in table.columns().items()
    }
    return pl.DataFrame(row, schema=schema_of(table))


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    root, *task = sys.argv[1:]
    if task:
        count_up(root, int(task[0]), task[1])
    else:
        write_for_ever(root)
