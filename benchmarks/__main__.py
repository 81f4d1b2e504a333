"""`make bench`: a run over a million events beside hand-written DuckDB, and a run in which nothing is new."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from benchmarks.generate import SEED, SHAPE, write_project
from benchmarks.measure import Measured, measure

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS: Final = 3
REPORT: Final = Path("build/bench.txt")


def main(rows: int) -> None:
    """Measure, print the table, and write it to a file."""
    with tempfile.TemporaryDirectory(prefix="meterhouse-bench-") as folder:
        root = Path(folder)
        _say(f"Generating {rows:,} events")
        write_project(root / "project", rows)
        _say("Hand-written DuckDB")
        reference = _median(lambda: _reference(root))
        _say("meterhouse run")
        full = _median(lambda: _run(root, fresh=True))
        _say("meterhouse run, nothing new")
        again = _median(lambda: _run(root, fresh=False))
    table = Table(title=f"{rows:,} events, {SHAPE}; seed {SEED}; medians of {REPEATS}", title_justify="left")
    for heading in ("what", "seconds", "peak MiB", "ratio"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for what, measured, base in (
        ("DuckDB by hand: JSON to typed Parquet, 5 meters per customer and day", reference, reference),
        ("meterhouse run: land, deduplicate, meter, price, invoice", full, reference),
        ("meterhouse run with nothing new (ratio to the full run)", again, full),
    ):
        ratio = measured.seconds / base.seconds
        table.add_row(what, f"{measured.seconds:.2f}", f"{measured.peak_mib:,.0f}", f"{ratio:.2f}x")
    machine = f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
    REPORT.parent.mkdir(exist_ok=True)
    with REPORT.open("w", encoding="utf-8") as file:
        for console in (Console(width=110), Console(file=file, width=110)):
            console.print(table)
            console.print(machine)


def _reference(root: Path) -> Measured:
    events, output = root / "project" / "events" / "events.parquet", root / "reference.parquet"
    output.unlink(missing_ok=True)
    return measure(sys.executable, "-m", "benchmarks.reference", str(events), str(output))


def _run(root: Path, *, fresh: bool) -> Measured:
    project = root / "project"
    if fresh:
        shutil.rmtree(project / "warehouse", ignore_errors=True)
    return measure(sys.executable, "-m", "meterhouse", "--project", str(project), "run", "--through", "2026-01-31")


def _median(once: Callable[[], Measured]) -> Measured:
    measured = [once() for _ in range(REPEATS)]
    return Measured(*(statistics.median(column) for column in zip(*measured, strict=True)))


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
