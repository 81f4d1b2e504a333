"""Events like those of an AI product: from a seed, in pieces, so that a hundred million need no memory.

Run as `python -m benchmarks.generate project|events PROJECT ROWS jsonl|parquet FIRST_DAY DAYS`, or with
`google PROJECT FOLDER`.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import polars as pl

from benchmarks.sets import GENERATED, GOOGLE_JOBS, EventSet

if TYPE_CHECKING:
    from collections.abc import Iterator

Form = Literal["jsonl", "parquet"]

SEED: Final = 20260101
CUSTOMERS: Final = 10_000
USERS: Final = 100_000
DAYS: Final = 30
FIRST_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
SHAPE: Final = (
    f"{CUSTOMERS:,} customers with Zipf's shares (the largest sends 7.5 %), {DAYS} days, random ids, metadata of some "
    f"130 bytes with 8 properties: 4 numbers (one with 6 places, one in a third of the events), 3 texts (one with "
    f"{USERS:,} values), 1 boolean"
)

_PIECE: Final = 500_000
_MICROSECONDS: Final = DAYS * 86_400 * 10**6
_MODELS: Final = ("small", "mid", "large", "vision")
_DRAWS: Final = ("id", "customer", "user", "model", "input", "output", "cache", "seconds", "flags")


def write_project(root: Path, rows: int, form: Form, days: range = range(DAYS)) -> None:
    """A project of `rows` events over 30 days, some of which may be left out, with ten meters that are priced."""
    customers = [f"customer-{number}" for number in range(CUSTOMERS)]
    _write_definitions(root, GENERATED, customers, FIRST_DAY)
    (root / "events").mkdir()
    write_events(root / "events", rows, form, days)


def write_events(folder: Path, rows: int, form: Form, days: range) -> None:
    """Files of the named days, of at most half a million events each."""
    for day in days:
        # The first event of a day is the first whose instant is not before it.
        first, last = -(-rows * day // DAYS), -(-rows * (day + 1) // DAYS)
        for number, piece in enumerate(_pieces(first, last)):
            frame = events(piece, rows)
            name = f"day-{day + 1:02}-{number:03}.{form}"
            if form == "parquet":
                frame.write_parquet(folder / name)
            else:
                _lines(frame).write_csv(folder / name, include_header=False, quote_style="never")


def write_google_jobs(root: Path, source: Path) -> None:
    """A project of the jobs that Google's users ran on a cluster in May 2011."""
    jobs = pl.scan_parquet(source / "events.parquet")
    customers = jobs.select(pl.col("external_customer_id").unique().sort()).collect().to_series().to_list()
    _write_definitions(root, GOOGLE_JOBS, customers, datetime(2011, 5, 1, tzinfo=UTC))
    (root / "events").mkdir()
    shutil.copy(source / "events.parquet", root / "events")


def write_catalog(root: Path, meters: dict[str, dict[str, Any]]) -> None:
    """The meters, each with a price."""
    prices = [{"id": name, "kind": "unit", "meter": name, "amount": "0.01"} for name in meters]
    catalog = {"meters": meters, "products": {"plan": {"prices": prices}}}
    (root / "catalog" / "catalog.yaml").write_text(json.dumps(catalog, indent=1), encoding="utf-8")


def _write_definitions(root: Path, measured: EventSet, customers: list[str], started: datetime) -> None:
    (root / "catalog").mkdir(parents=True)
    (root / "meterhouse.yaml").write_text("name: benchmark\n", encoding="utf-8")
    write_catalog(root, measured.meters)
    _write_csv(root / "customers.csv", ["customer_id"], [[name] for name in customers])
    header = ["subscription_id", "customer_id", "product", "started_at"]
    rows = [[f"s-{name}", name, "plan", started.date().isoformat()] for name in customers]
    _write_csv(root / "subscriptions.csv", header, rows)


def events(part: range, rows: int) -> pl.DataFrame:
    """A part of `rows` events: event_id, name, external_customer_id, timestamp, metadata as JSON text."""
    drawn = pl.LazyFrame({"row": pl.int_range(part.start, part.stop, dtype=pl.UInt64, eager=True)}).with_columns(
        _mixed(pl.col("row") * len(_DRAWS) + place).alias(name) for place, name in enumerate(_DRAWS)
    )
    # An exponent that is drawn evenly gives each customer a share as its rank in Zipf's law.
    uniform = pl.col("customer").cast(pl.Float64) / 2.0**64
    customer = (pl.lit(float(CUSTOMERS)).pow(uniform).floor() - 1).clip(0, CUSTOMERS - 1).cast(pl.Int64)
    microsecond = (pl.col("row").cast(pl.Int128) * _MICROSECONDS // rows).cast(pl.Int64)
    start = pl.lit(FIRST_DAY).cast(pl.Datetime("us", "UTC"))
    return drawn.select(
        event_id=pl.format("evt_{}", pl.col("id").cast(pl.String).str.zfill(20)),
        name=pl.when(pl.col("flags") // 8 % 50 == 0).then(pl.lit("embedding")).otherwise(pl.lit("completion")),
        external_customer_id=pl.format("customer-{}", customer),
        timestamp=start + pl.duration(microseconds=microsecond),
        metadata=_metadata(),
    ).collect()


def _metadata() -> pl.Expr:
    model = (pl.col("model") % len(_MODELS)).replace_strict(dict(enumerate(_MODELS)), return_dtype=pl.String)
    cached = pl.when(pl.col("flags") % 8 == 0).then(pl.lit("true")).otherwise(pl.lit("false"))
    cache = _joined(',"cache_tokens":', pl.col("cache") // 3 % 20_000)
    millionths = (pl.col("seconds") // 40 % 1_000_000).cast(pl.String).str.zfill(6)
    return _joined(
        *('{"model":"', model, '","region":"eu-', pl.col("flags") // 8 % 7),
        *('","user":"user_', pl.col("user") % USERS),
        *('","input_tokens":', pl.col("input") % 8_000, ',"output_tokens":', pl.col("output") % 2_000),
        pl.when(pl.col("cache") % 3 == 0).then(cache).otherwise(pl.lit("")),
        *(',"seconds":', pl.col("seconds") % 40, ".", millionths, ',"cached":', cached, "}"),
    )


def _lines(frame: pl.DataFrame) -> pl.DataFrame:
    line = _joined(
        *('{"event_id":"', pl.col("event_id"), '","name":"', pl.col("name")),
        *('","external_customer_id":"', pl.col("external_customer_id")),
        *('","timestamp":"', pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")),
        *('","metadata":', pl.col("metadata"), "}"),
    )
    return frame.select(line)


def _joined(*parts: str | pl.Expr) -> pl.Expr:
    return pl.concat_str(pl.lit(part) if isinstance(part, str) else part for part in parts)


def _mixed(number: pl.Expr) -> pl.Expr:
    """Random bits for a number, as splitmix64 makes them: Polars' own hash may differ between versions."""
    mixed = (number + SEED) * 0x9E3779B97F4A7C15
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed // 2**shift)) * pl.lit(factor, pl.UInt64)
    return mixed ^ (mixed // 2**31)


def _pieces(first: int, last: int) -> Iterator[range]:
    bounds = [*range(first, last, _PIECE), last]
    return (range(start, stop) for start, stop in pairwise(bounds))


def _write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def main(what: str, root: str, *words: str) -> None:
    """Write what is named."""
    if what == "google":
        write_google_jobs(Path(root), Path(words[0]))
        return
    rows, form, days = int(words[0]), _form(words[1]), range(int(words[2]), int(words[3]))
    if what == "project":
        write_project(Path(root), rows, form, days)
    else:
        write_events(Path(root) / "events", rows, form, days)


def _form(name: str) -> Form:
    return next(form for form in get_args(Form) if form == name)


if __name__ == "__main__":
    main(*sys.argv[1:])
