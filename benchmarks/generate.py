"""Events like those of an AI product: made from a seed, so that a figure can be measured again."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from pathlib import Path

SEED: Final = 20260101
CUSTOMERS: Final = 10_000
DAYS: Final = 30
MODELS: Final = ("small", "medium", "large", "vision")
SHAPE: Final = (
    f"{CUSTOMERS:,} customers with Zipf-like shares, {DAYS} days, 6 properties: 3 numbers (one with 6 places), "
    "2 texts, 1 boolean"
)

METERS: Final = {
    "input_tokens": {"event": "completion", "aggregation": {"func": "sum", "property": "input_tokens"}},
    "output_tokens_large": {
        "event": "completion",
        "filter": {"clauses": [{"property": "model", "operator": "eq", "value": "large"}]},
        "aggregation": {"func": "sum", "property": "output_tokens"},
    },
    "requests": {
        "filter": {"clauses": [{"property": "cached", "operator": "eq", "value": False}]},
        "aggregation": {"func": "count"},
    },
    "slowest": {"aggregation": {"func": "max", "property": "seconds"}},
    "models": {"aggregation": {"func": "unique", "property": "model"}},
}


def events(rows: int) -> pl.DataFrame:
    """Rows of (event_id, name, external_customer_id, timestamp, metadata as JSON text)."""
    row = pl.int_range(rows, dtype=pl.UInt64)
    draws = pl.LazyFrame({"row": range(rows)}).select(
        row.alias("row"), *(row.hash(SEED + number).alias(f"draw_{number}") for number in range(8))
    )
    # A product of two uniform draws crowds the low numbers: few customers send most events.
    customer = (pl.col("draw_0") % CUSTOMERS) * (pl.col("draw_1") % CUSTOMERS) // CUSTOMERS
    start = pl.lit(datetime(2026, 1, 1, tzinfo=UTC)).cast(pl.Datetime("us", "UTC"))
    second = (pl.col("row") * (DAYS * 86_400) // rows).cast(pl.Int64)
    model = pl.col("draw_2") % len(MODELS)
    seconds = pl.format(
        "{}.{}",
        pl.col("draw_5") % 40,
        (pl.col("draw_6") % 1_000_000).cast(pl.String).str.zfill(6),
    )
    metadata = pl.concat_str(
        pl.lit('{"model":"'),
        model.replace_strict(dict(enumerate(MODELS))),
        pl.lit('","input_tokens":'),
        pl.col("draw_3") % 8_000,
        pl.lit(',"output_tokens":'),
        pl.col("draw_4") % 2_000,
        pl.lit(',"seconds":'),
        seconds,
        pl.lit(',"cached":'),
        pl.when(pl.col("draw_7") % 5 == 0).then(pl.lit("true")).otherwise(pl.lit("false")),
        pl.lit(',"region":"eu-'),
        pl.col("draw_7") % 7,
        pl.lit('"}'),
    )
    return draws.select(
        event_id=pl.format("event-{}", "row"),
        name=pl.when(pl.col("draw_7") % 50 == 0).then(pl.lit("embedding")).otherwise(pl.lit("completion")),
        external_customer_id=pl.format("customer-{}", customer),
        timestamp=start + pl.duration(seconds=second),
        metadata=metadata,
    ).collect()


def write_project(root: Path, rows: int) -> None:
    """A project of `rows` events in one Parquet file, five meters, and a priced subscription for every customer."""
    (root / "events").mkdir(parents=True)
    (root / "catalog").mkdir()
    events(rows).write_parquet(root / "events" / "events.parquet")
    (root / "meterhouse.yaml").write_text("name: benchmark\n", encoding="utf-8")
    prices = [{"id": name, "kind": "unit", "meter": name, "amount": "0.01"} for name in METERS]
    catalog = {"meters": METERS, "products": {"plan": {"prices": prices}}}
    (root / "catalog" / "catalog.yaml").write_text(json.dumps(catalog, indent=1), encoding="utf-8")
    names = [f"customer-{number}" for number in range(CUSTOMERS)]
    _write_csv(root / "customers.csv", ["customer_id"], [[name] for name in names])
    started = "2026-01-01"
    header = ["subscription_id", "customer_id", "product", "started_at"]
    _write_csv(root / "subscriptions.csv", header, [[f"s-{name}", name, "plan", started] for name in names])


def _write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
