"""The table of what was measured: printed, written to a file, and as JSON lines for those who compare runs."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from benchmarks.generate import SEED, SHAPE

if TYPE_CHECKING:
    from benchmarks.measure import Measured

TEXT: Final = Path("build/bench.txt")
LINES: Final = Path("build/bench.jsonl")
_WIDTH: Final = 150


@dataclass(frozen=True)
class Row:
    """One comparison: what was measured, beside what, and the most that the ratio should be."""

    what: str
    events: int
    measured: Measured
    beside: str = ""
    reference: Measured | None = None
    target: float | None = None
    input_bytes: int | None = None
    repeats: int = 1

    @property
    def ratio(self) -> float | None:
        """Of the seconds."""
        return None if self.reference is None else self.measured.seconds / self.reference.seconds


@dataclass
class Report:
    """Rows in the order in which they were measured, each printed at once."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    limits: dict[str, float] = field(default_factory=dict)
    limits_of: int = 0

    def write(self) -> None:
        """Print the table, and write both files."""
        TEXT.parent.mkdir(exist_ok=True)
        with TEXT.open("w", encoding="utf-8") as file:
            for console in (Console(width=_WIDTH), Console(file=file, width=_WIDTH)):
                self._print(console)
        machine = {"machine": _machine(), "seed": SEED, "measured_at": datetime.now(UTC).isoformat(timespec="seconds")}
        with LINES.open("w", encoding="utf-8") as file:
            for row in self.rows:
                held = {**asdict(row), "measured": row.measured._asdict(), "ratio": row.ratio, **machine}
                held["reference"] = None if row.reference is None else row.reference._asdict()
                file.write(json.dumps(held) + "\n")
            for limit, seconds in self.limits.items():
                file.write(json.dumps({"limit": limit, "events": self.limits_of, "seconds": seconds, **machine}) + "\n")

    def _print(self, console: Console) -> None:
        console.print(self._table())
        if self.limits:
            console.print(self._table_of_limits())
        console.print(
            "Ratios are of seconds on the clock, which other work on the machine distorts; CPU seconds it does not."
        )
        console.print(f"Events: {SHAPE}; seed {SEED}.")
        for note in self.notes:
            console.print(note)
        console.print(_machine())

    def _table(self) -> Table:
        table = Table(title="meterhouse beside a reference in the same run", title_justify="left")
        table.add_column("what")
        for heading in ("events", "seconds", "CPU s", "peak MiB", "events/s"):
            table.add_column(heading, justify="right")
        table.add_column("beside")
        for heading in ("seconds", "CPU s", "ratio", "target"):
            table.add_column(heading, justify="right")
        for row in self.rows:
            table.add_row(*_cells(row))
        return table

    def _table_of_limits(self) -> Table:
        table = Table(title=f"What this machine can do with {self.limits_of:,} events", title_justify="left")
        table.add_column("bare step")
        for heading in ("seconds", "events/s"):
            table.add_column(heading, justify="right")
        for name, seconds in self.limits.items():
            rate = "" if name.startswith("start ") else f"{self.limits_of / seconds:,.0f}"
            table.add_row(name, f"{seconds:.2f}", rate)
        return table


def _cells(row: Row) -> list[str]:
    measured = row.measured
    return [
        row.what,
        f"{row.events:,}",
        f"{measured.seconds:.2f}",
        f"{measured.cpu_seconds:.1f}",
        "" if measured.peak_mib is None else f"{measured.peak_mib:,.0f}",
        f"{row.events / measured.seconds:,.0f}",
        row.beside,
        "" if row.reference is None else f"{row.reference.seconds:.2f}",
        "" if row.reference is None or row.reference.peak_mib is None else f"{row.reference.cpu_seconds:.1f}",
        "" if row.ratio is None else f"{row.ratio:.3g}x",
        "" if row.target is None else f"<= {row.target:g}x",
    ]


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB"
