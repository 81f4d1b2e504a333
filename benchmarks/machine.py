"""What this machine can do at most, so that a reader sees what bounds a row of the table.

Run as `python -m benchmarks.machine LINES FILES FOLDER`: a pattern of JSON lines, a list of typed Parquet files, and a
folder to write to. Prints JSON: for each limit the seconds that these events would take.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from benchmarks.references.duck import connect
from benchmarks.sets import GENERATED

if TYPE_CHECKING:
    from collections.abc import Callable

_REPEATS: Final = 3
_BLOCK: Final = 16 << 20


def limits(lines: str, files: list[str], folder: Path) -> dict[str, float]:
    """Seconds of each bare step over the given events."""
    size = sum(Path(file).stat().st_size for file in files)
    typed = [f"{kind}_{name}" for name, kind in GENERATED.properties.items()]
    stored = pl.scan_parquet(files, hive_partitioning=True, glob=False)
    shape = json.dumps(dict.fromkeys(GENERATED.properties, "VARCHAR"))
    read = f"read_json('{lines}', format = 'newline_delimited', columns = {{event_id: 'varchar', metadata: 'json'}})"
    parsed = f"select count(typed.model) from (select json_transform(metadata, '{shape}') as typed from {read})"
    steps: dict[str, Callable[[], object]] = {
        "start meterhouse": lambda: _start("meterhouse.planning"),
        "start DuckDB": lambda: _start("duckdb"),
        "read the JSON lines as bytes": lambda: _read(lines),
        "parse the JSON lines (DuckDB)": lambda: connect().execute(parsed).fetchall(),
        "write the stored files' bytes, synced": lambda: _write(folder / "bytes", size),
        "read and decode the ten meters' columns (Polars)": lambda: (
            stored.select("external_customer_id", "date", "timestamp", "name", pl.col(typed)).select(pl.all().count())
        ).collect(engine="streaming"),
        "hash the ids (Polars)": lambda: stored.select(pl.col("event_id").n_unique()).collect(),
        "group by customer and day (Polars)": lambda: (
            stored.group_by("external_customer_id", "date").agg(pl.len()).collect(engine="streaming")
        ),
    }
    return {name: _seconds(step) for name, step in steps.items()}


def _seconds(step: Callable[[], object]) -> float:
    taken = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        step()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _start(module: str) -> None:
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


def _read(pattern: str) -> None:
    for path in Path(pattern).parent.glob(Path(pattern).name):
        with path.open("rb", buffering=0) as file:
            while file.read(_BLOCK):
                pass


def _write(path: Path, size: int) -> None:
    block = os.urandom(_BLOCK)
    with path.open("wb", buffering=0) as file:
        for _ in range(-(-size // _BLOCK)):
            file.write(block)
        os.fsync(file.fileno())
    path.unlink()


if __name__ == "__main__":
    found = limits(sys.argv[1], Path(sys.argv[2]).read_text(encoding="utf-8").splitlines(), Path(sys.argv[3]))
    print(json.dumps(found))
