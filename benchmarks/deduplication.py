"""What finding resends costs, by how many events are new and how many are stored: `python -m benchmarks.deduplication`.

Exact over all history (rule 1.3), so the cost must follow what is new. `warehouse`: new events are looked up among the
stored ones, appended, and taken into the index. `index`: the same with hashes alone, for histories that take too long
to write. Seconds are those of the processor, on all cores together, medians of three.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.planning.events import WarehouseEvents
from meterhouse.tables import Events, conform
from meterhouse.warehouse import Warehouse
from meterhouse.warehouse.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH: Final = 500_000
NEW: Final = (100_000, 1_000_000)
STORED: Final = (1_000_000, 10_000_000)
HASHES: Final = (1_000_000, 10_000_000, 100_000_000)
TIMES: Final = 3

_DAYS: Final = 30
_MICROSECONDS_A_DAY: Final = 86_400_000_000


def main() -> None:
    """Measure, and print a table."""
    print("| what | stored | new | look up | look up, 1% resent | append | index | a new event |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        _measure_warehouse(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        _measure_index(Path(folder))


def events(first: int, rows: int) -> pl.DataFrame:
    """Events number `first` and on, spread over 30 days, in the order of their time."""
    number = pl.int_range(first, first + rows, dtype=pl.Int64)
    start = pl.lit(datetime(2026, 1, 1, tzinfo=UTC)).cast(pl.Datetime("us", "UTC"))
    place = pl.int_range(rows, dtype=pl.Int64)
    happened = start + pl.duration(microseconds=place * (_DAYS * _MICROSECONDS_A_DAY // rows))
    frame = pl.LazyFrame({"row": pl.Series(range(rows))}).select(
        source=pl.lit("user"),
        event_id=pl.format("event-{}", number.hash(1)),
        name=pl.lit("call"),
        customer_id=pl.format("customer-{}", number % 10_000),
        external_customer_id=pl.lit(None, pl.String),
        subscription_id=pl.lit(None, pl.String),
        timestamp=happened,
        received_at=happened,
        metadata=pl.concat_str(pl.lit('{"n": '), number, pl.lit("}")),
        file_id=pl.lit("f"),
        position=place + 1,
        date=happened.dt.date(),
    )
    return conform(frame, Events).collect()


def _measure_warehouse(folder: Path) -> None:
    warehouse = Warehouse(str(folder))
    store = WarehouseEvents(warehouse)
    stored = 0
    for history in STORED:
        while stored < history:
            warehouse.append("events", events(stored, BATCH))
            stored += BATCH
            store.known_events(events(0, 1).select("source", "event_id", "date"))
        warehouse.compact("events")
        store.known_events(events(0, 1).select("source", "event_id", "date"))
        for new in NEW:
            found = [_land(store, warehouse, stored + number * new, new, stored) for number in range(TIMES)]
            stored += TIMES * new
            _tell("warehouse", history, new, found)


def _land(store: WarehouseEvents, warehouse: Warehouse, first: int, new: int, stored: int) -> list[float]:
    rows = events(first, new)
    keys = rows.select("source", "event_id", "date")
    resent = pl.concat([keys.slice(new // 100), events(stored // 2, new // 100).select(keys.columns)])
    looked = _seconds(lambda: store.known_events(keys))
    looked_resent = _seconds(lambda: store.known_events(resent))
    appended = _seconds(lambda: warehouse.append("events", rows))
    indexed = _seconds(lambda: store.known_events(keys.head(1)))
    return [looked, looked_resent, appended, indexed]


def _measure_index(folder: Path) -> None:
    runs = Runs(folder)
    stored = 0
    for history in HASHES:
        while stored < history:
            runs.add(_hashes(stored, BATCH))
            stored += BATCH
        runs.save({})
        for new in NEW:
            found = []
            for _ in range(TIMES):
                numbers = _hashes(stored, new)
                stored += new
                looked = _seconds(lambda numbers=numbers: runs.find(numbers))  # type: ignore[misc]
                indexed = _seconds(lambda numbers=numbers: _add(runs, numbers))  # type: ignore[misc]
                found.append([looked, indexed])
            medians = [statistics.median(seconds) for seconds in zip(*found, strict=True)]
            cells = [f"{medians[0]:.3f} s", "", "", f"{medians[1]:.3f} s", f"{sum(medians) / new * 1e6:.2f} us"]
            print(f"| index | {history:,} | {new:,} | {' | '.join(cells)} |", flush=True)


def _add(runs: Runs, numbers: pl.Series) -> None:
    runs.add(numbers)
    runs.save({})


def _hashes(first: int, rows: int) -> pl.Series:
    return pl.select(pl.int_range(first, first + rows, dtype=pl.Int64).hash(3)).to_series()


def _tell(what: str, stored: int, new: int, found: list[list[float]]) -> None:
    medians = [statistics.median(seconds) for seconds in zip(*found, strict=True)]
    cells = [f"{seconds:.3f} s" for seconds in medians]
    each = (medians[0] + medians[3]) / new * 1e6
    print(f"| {what} | {stored:,} | {new:,} | {' | '.join(cells)} | {each:.2f} us |", flush=True)


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
