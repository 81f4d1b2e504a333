"""`make bench`: landing, metering and runs, each beside a reference in the same run; `make bench-large`: 100 M events.

Everything is made in a temporary folder, which is removed at the end, also where it is interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.generate import DAYS
from benchmarks.measure import Measured, measure, median
from benchmarks.references import postgres
from benchmarks.report import Report, Row
from benchmarks.sets import GENERATED
from meterhouse.catalog import Meter

LANDED_AT: Final = ("--landed-at", "2026-02-01T00:00:00Z")
ALL_DAYS: Final = "2026-01-31"
BY_HAND: Final = "DuckDB by hand, "
ONE_QUERY_A_METER: Final = "one query a meter"
_INTERRUPTED: Final = 130


class Bench:
    """Projects in one folder, and what was measured on them."""

    def __init__(self, root: Path, repeats: int) -> None:
        self.root = root
        self.repeats = repeats
        self.report = Report()

    # --- What is measured ---------------------------------------------------------------------------------------------

    def lines(self, rows: int) -> None:
        """Landing of JSON lines, metering of what was landed, and the limits of the machine."""
        project = self._project("lines", rows, "jsonl")
        self._landing(project, rows, "generated", "*.jsonl", "landing JSONL", "read_json to typed Parquet")
        self._metering(project, rows, "generated")
        files = self._stored_files(project)
        say("Limits of the machine")
        pattern = str(project / "events" / "*.jsonl")
        told = python("-m", "benchmarks.machine", pattern, str(files), str(self.root))
        self.report.limits, self.report.limits_of = json.loads(told), rows
        shutil.rmtree(project)

    def parquet(self, rows: int) -> None:
        """Landing of Parquet with the metadata as JSON text."""
        project = self._project("parquet", rows, "parquet")
        beside = "JSON properties to typed Parquet"
        self._landing(project, rows, "generated", "*.parquet", "landing Parquet with JSON text", beside)
        shutil.rmtree(project)

    def google(self, source: Path) -> None:
        """The same on real events."""
        if not source.is_dir():
            self.report.notes.append("Google's jobs were skipped: name the folder of real events with --real.")
            return
        project = self.root / "google"
        say("Google's jobs")
        python("-m", "benchmarks.generate", "google", str(project), str(source))
        rows = json.loads((source / "totals.json").read_text(encoding="utf-8"))["events"]
        beside = "JSON properties to typed Parquet"
        self._landing(project, rows, "google", "*.parquet", "landing Google's jobs (Parquet)", beside)
        self._metering(project, rows, "google")
        shutil.rmtree(project)

    def postgres(self, rows: int) -> None:
        """Metering beside PostgreSQL in Polar's way."""
        installed = postgres.binaries()
        if installed is None:
            self.report.notes.append("PostgreSQL was skipped: it is not installed (Debian: postgresql-15).")
            return
        project = self._project("postgres", rows, "parquet")
        meterhouse(project, "land", *LANDED_AT)
        ours = median(lambda: self._meter(project), self.repeats)
        with postgres.server(installed) as server:
            say("PostgreSQL: loading, indexes")
            server.load(str(project / "events" / "*.parquet"))
            say("PostgreSQL: one query a meter")
            meters = {name: Meter.model_validate(meter) for name, meter in GENERATED.meters.items()}
            theirs = median(lambda: server.meter(meters), self.repeats)
        beside = f"PostgreSQL 15, JSONB, {ONE_QUERY_A_METER}"
        self._add("metering 10 meters", rows, ours, beside, theirs, 0.02)
        self.report.notes.append(f"PostgreSQL: {postgres.TUNED}. It was measured at {rows:,} events.")
        shutil.rmtree(project)

    def runs(self, rows: int) -> None:
        """Full runs, and what little is left to do where little changed."""
        project = self._project("runs", rows, "jsonl")
        say("Full runs")
        full = median(lambda: self._run_afresh(project), self.repeats)
        beside = "a full run"
        self._add("full run: land, meter, price, invoice", rows, full)
        say("Runs with nothing new, and with one changed meter")
        self._add("nothing changed", rows, median(lambda: run(project), self.repeats), beside, full, 0.02)
        self._add(
            "one meter of ten changed", rows, median(lambda: self._change(project), self.repeats), beside, full, 0.15
        )
        shutil.rmtree(project)
        say("The last of 30 days")
        daily = self._project("daily", rows, "jsonl", DAYS - 1)
        run(daily, "2026-01-29")
        shutil.copytree(daily / "warehouse", self.root / "before")
        generate("events", daily, rows, "jsonl", DAYS - 1, DAYS)
        last = median(lambda: self._run_last_day(daily), self.repeats)
        self._add("daily run, 1/30 new", rows, last, beside, full, 0.08)
        shutil.rmtree(self.root / "before")
        shutil.rmtree(daily)

    def large(self, rows: int, small: int) -> None:
        """Growth and memory: once, as it takes long."""
        full_small, metered_small = self._once(small)
        full, metered = self._once(rows)
        growth = rows / small * 1.05
        self._add("growth of metering", rows, metered, f"{small:,} events", metered_small, growth)
        self._add("growth of a full run", rows, full, f"{small:,} events", full_small, growth)
        if full.peak_mib and full_small.peak_mib:
            grown = f"Peak memory of a full run grows {full.peak_mib / full_small.peak_mib:.2f}x (target <= 2x)"
            self.report.notes.append(f"{grown}, to {full.peak_mib:,.0f} MiB (target <= 6,144).")

    def _once(self, rows: int) -> tuple[Measured, Measured]:
        """A full run and metering alone, each once."""
        project = self._project("large", rows, "parquet")
        say(f"Full run over {rows:,} events")
        full = run(project)
        say("Metering, and DuckDB by hand")
        metered = self._meter(project)
        typed = self._by_hand("typed", "generated", self._stored_files(project))
        shutil.rmtree(project)
        self._add("metering 10 meters, once", rows, metered, f"{BY_HAND}the same typed Parquet", typed, 0.5)
        self._add("full run from Parquet, once", rows, full)
        return full, metered

    # --- How ----------------------------------------------------------------------------------------------------------

    def _landing(self, project: Path, rows: int, events: str, files: str, what: str, beside: str) -> None:
        pattern = str(project / "events" / files)
        say(f"{what}: {BY_HAND}{rows:,} events")
        theirs = median(lambda: self._by_hand("land", events, pattern), self.repeats)
        say(f"{what}: meterhouse")
        ours = median(lambda: self._land(project), self.repeats)
        size = sum(path.stat().st_size for path in (project / "events").iterdir())
        self._add(what, rows, ours, BY_HAND + beside, theirs, 1.5, size)

    def _metering(self, project: Path, rows: int, events: str) -> None:
        files = self._stored_files(project)
        what = "metering 10 meters" + (" on Google's jobs" if events == "google" else "")
        say(f"{what}: meterhouse")
        ours = median(lambda: self._meter(project), self.repeats)
        size = sum(Path(file).stat().st_size for file in files.read_text(encoding="utf-8").splitlines())
        for step, beside, target in (("typed", "the same typed Parquet", 0.5), ("text", "its JSON text", 0.05)):
            say(f"{what}: {BY_HAND}{beside}")
            theirs = median(lambda step=step: self._by_hand(step, events, str(files)), self.repeats)  # type: ignore[misc]
            self._add(what, rows, ours, f"{BY_HAND}{beside}, {ONE_QUERY_A_METER}", theirs, target, size)

    def _add(
        self,
        what: str,
        events: int,
        measured: Measured,
        beside: str = "",
        reference: Measured | None = None,
        target: float | None = None,
        size: int | None = None,
    ) -> None:
        repeats = 1 if "once" in what or "growth" in what else self.repeats
        self.report.rows.append(Row(what, events, measured, beside, reference, target, size, repeats))

    def _project(self, name: str, rows: int, form: str, days: int = DAYS) -> Path:
        say(f"Generating {rows:,} events as {form}")
        generate("project", self.root / name, rows, form, 0, days)
        return self.root / name

    def _by_hand(self, step: str, events: str, source: str | Path) -> Measured:
        output = self.root / "by-hand"
        shutil.rmtree(output, ignore_errors=True)
        measured = measure(sys.executable, "-m", "benchmarks.references.duck", step, events, str(source), str(output))
        shutil.rmtree(output)
        return measured

    def _stored_files(self, project: Path) -> Path:
        listed = self.root / "files.txt"
        listed.write_text(python("-m", "benchmarks.steps", "files", str(project)), encoding="utf-8")
        return listed

    def _land(self, project: Path) -> Measured:
        shutil.rmtree(project / "warehouse", ignore_errors=True)
        return meterhouse(project, "land", *LANDED_AT)

    def _meter(self, project: Path) -> Measured:
        python("-m", "benchmarks.steps", "forget", str(project))
        python("-m", "benchmarks.steps", "define", str(project))
        return measure(sys.executable, "-m", "benchmarks.steps", "meter", str(project))

    def _run_afresh(self, project: Path) -> Measured:
        shutil.rmtree(project / "warehouse", ignore_errors=True)
        return run(project)

    def _run_last_day(self, project: Path) -> Measured:
        shutil.rmtree(project / "warehouse")
        shutil.copytree(self.root / "before", project / "warehouse")
        return run(project, "2026-01-30")

    def _change(self, project: Path) -> Measured:
        """Let a meter count other events than before, and the other way round the next time."""
        catalog = project / "catalog" / "catalog.yaml"
        text = catalog.read_text(encoding="utf-8")
        values = ('"value": "large"', '"value": "vision"')
        old, new = values if values[0] in text else values[::-1]
        catalog.write_text(text.replace(old, new), encoding="utf-8")
        return run(project)


def run(project: Path, through: str = ALL_DAYS) -> Measured:
    """A run of the command line."""
    return meterhouse(project, "run", "--through", through, *LANDED_AT)


def meterhouse(project: Path, *words: str) -> Measured:
    """A command of meterhouse."""
    return measure(sys.executable, "-m", "meterhouse", "--project", str(project), *words)


def generate(what: str, project: Path, rows: int, form: str, first: int, last: int) -> None:
    """Write events, in a process of its own: what this process holds would count as memory of those that it starts."""
    python("-m", "benchmarks.generate", what, str(project), str(rows), form, str(first), str(last))


def python(*words: str) -> str:
    """What a program prints."""
    return subprocess.run([sys.executable, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def say(what: str) -> None:
    """Progress."""
    print(f"{what} ...", file=sys.stderr, flush=True)


def main() -> None:
    """Measure what the arguments ask for."""
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="meterhouse-bench-", dir=asked.folder) as folder:
        bench = Bench(Path(folder), asked.repeats)
        sections = {
            "lines": lambda: bench.lines(asked.events),
            "parquet": lambda: bench.parquet(asked.events),
            "postgres": lambda: bench.postgres(asked.postgres_events),
            "google": lambda: bench.google(asked.real / "google_cluster_2011_jobs"),
            "runs": lambda: bench.runs(asked.events),
            "large": lambda: bench.large(asked.large_events, asked.events),
        }
        try:
            for name in asked.only:
                sections[name]()
        except KeyboardInterrupt:
            bench.report.notes.append("INTERRUPTED: what was measured until then.")
            sys.exit(_INTERRUPTED)
        except subprocess.CalledProcessError as fault:
            say(f"{' '.join(fault.cmd)} failed:\n{fault.stderr or ''}")
            raise
        finally:
            if bench.report.rows:
                bench.report.write()


def _arguments() -> argparse.Namespace:
    beside = sorted(Path(__file__).resolve().parents[2].glob("*/data/real"))
    real = os.environ.get("METERHOUSE_REAL_EVENTS") or next(iter(beside), "no folder")
    known = ("lines", "parquet", "postgres", "google", "runs", "large")
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--events", type=int, default=10_000_000, help="Events of most rows.")
    add("--postgres-events", type=int, default=2_000_000, help="Events of the row with PostgreSQL.")
    add("--large-events", type=int, default=100_000_000, help="Events of the rows of growth and memory.")
    add("--repeats", type=int, default=3, help="Runs of which the median is shown.")
    add("--only", nargs="+", choices=known, default=known[:-1], help="Sections. Default: all but `large`.")
    add("--folder", type=Path, default=None, help="Where everything is made. Default: the system's temporary folder.")
    add("--real", type=Path, default=Path(real), help="Folder of real events.")
    return parser.parse_args()


if __name__ == "__main__":
    main()
