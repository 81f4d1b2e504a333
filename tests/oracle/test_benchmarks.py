"""What `make bench` measures meterhouse beside computes the same quantities, or the comparison says nothing."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from benchmarks.generate import write_project
from benchmarks.references import duck, postgres
from benchmarks.sets import GENERATED, SETS
from meterhouse.catalog import read_project
from meterhouse.metering import combine, of_days
from meterhouse.planning import define, land, meter
from meterhouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

ROWS: Final = 10_000
CLOCK: Final = datetime(2026, 2, 1, tzinfo=UTC)
FLOATS: Final = 1e-9
"""Polar reads numbers as floats, and so does DuckDB's average."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated events, landed and metered."""
    root = tmp_path_factory.mktemp("bench") / "project"
    write_project(root, ROWS, "jsonl")
    found = read_project(root)
    warehouse = Warehouse(str(found.warehouse))
    land(found, warehouse, CLOCK)
    define(found, warehouse, CLOCK)
    meter(found, warehouse, CLOCK)
    return root


@pytest.fixture(scope="module")
def measured(project: Path) -> pl.DataFrame:
    """Quantities as meterhouse has them: meter, customer, day."""
    warehouse = Warehouse(str(project / "warehouse"))
    states = warehouse.scan("usage_daily").filter("attributed")
    days = of_days(states, warehouse.scan("meters"), pl.col("date"), pl.col("date"))
    found = combine(days, ["meter", "customer_id", "date"])
    # Where every value was skipped, SQL has null, and a sum of meterhouse 0.
    counted = found.filter(pl.col("events") > 0)
    return _comparable(counted.rename({"customer_id": "external_customer_id"}).collect())


def test_every_event_lands_and_every_meter_measures_something(project: Path, measured: pl.DataFrame) -> None:
    events = Warehouse(str(project / "warehouse")).scan("events").collect()
    assert events.height == ROWS
    assert set(measured["meter"]) == set(GENERATED.meters)


def test_pieces_make_the_same_events_as_files_of_parquet(project: Path, tmp_path: Path) -> None:
    write_project(tmp_path / "again", ROWS, "parquet")
    again = read_project(tmp_path / "again")
    warehouse = Warehouse(str(again.warehouse))
    land(again, warehouse, CLOCK)
    columns = ["event_id", "external_customer_id", "timestamp", "metadata"]
    landed = [Warehouse(str(root / "warehouse")).scan("events").select(columns) for root in (project, again.root)]
    assert_frame_equal(*landed, check_row_order=False)


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "JSON text"])
def test_duckdb_by_hand_measures_the_same(
    project: Path, measured: pl.DataFrame, tmp_path: Path, *, typed: bool
) -> None:
    files = [unquote(uri) for uri in Warehouse(str(project / "warehouse")).file_uris("events")]
    duck.meter(GENERATED, files, tmp_path / "out", typed=typed)
    _assert_same(measured, {name: pl.read_parquet(tmp_path / "out" / f"{name}.parquet") for name in GENERATED.queries})


def test_duckdb_by_hand_types_the_same(project: Path, measured: pl.DataFrame, tmp_path: Path) -> None:
    duck.land(GENERATED, str(project / "events" / "*.jsonl"), tmp_path / "typed")
    files = [str(path) for path in (tmp_path / "typed").glob("*/*.parquet")]
    duck.meter(GENERATED, files, tmp_path / "out", typed=True)
    _assert_same(measured, {name: pl.read_parquet(tmp_path / "out" / f"{name}.parquet") for name in GENERATED.queries})


@pytest.mark.skipif(postgres.binaries() is None, reason="PostgreSQL 15 is not installed here")
def test_postgresql_in_polars_way_measures_the_same(project: Path, measured: pl.DataFrame, tmp_path: Path) -> None:
    pattern = str(tmp_path / "events.parquet")
    events = duckdb.read_json(str(project / "events" / "*.jsonl"), columns=_COLUMNS)
    events.write_parquet(pattern)
    installed = postgres.binaries()
    assert installed is not None
    with postgres.server(installed) as server:
        server.load(pattern)
        server.meter(read_project(project).catalog.meters)
        _assert_same(measured, {name: _table(server, name) for name in GENERATED.queries})


_COLUMNS: Final = {
    "event_id": "varchar",
    "name": "varchar",
    "external_customer_id": "varchar",
    "timestamp": "timestamptz",
    "metadata": "json",
}


@pytest.mark.parametrize("name", SETS)
def test_every_meter_has_its_query(name: str) -> None:
    assert SETS[name].meters.keys() == SETS[name].queries.keys()


def _table(server: postgres.Server, name: str) -> pl.DataFrame:
    printed = subprocess.run(server.client("--csv", "--command", f"table {name}"), check=True, stdout=subprocess.PIPE)
    return pl.read_csv(printed.stdout, try_parse_dates=True)


def _assert_same(measured: pl.DataFrame, by_hand: dict[str, pl.DataFrame]) -> None:
    parts = [found.with_columns(meter=pl.lit(name)) for name, found in by_hand.items()]
    theirs = pl.concat(_comparable(part.drop_nulls("quantity")) for part in parts)
    assert_frame_equal(measured, theirs, check_row_order=False, rel_tol=FLOATS)


def _comparable(found: pl.DataFrame) -> pl.DataFrame:
    return found.select("meter", "external_customer_id", "date", pl.col("quantity").cast(pl.Float64))
