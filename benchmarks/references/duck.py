"""The same by hand in DuckDB, a step in a process of its own: `python -m benchmarks.references.duck STEP ...`.

Its landing does less than meterhouse's: no checks, no duplicates, no rejects, nothing made durable. So does its
metering: it does not look at who is a customer, counts no skipped values, and keeps no states that later days, plans
and corrections need.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from benchmarks.sets import SETS

if TYPE_CHECKING:
    from benchmarks.sets import EventSet, Kind

_ZSTD_LEVEL: Final = 1
"""As `meterhouse.warehouse.files` has it; to import that would count as time of DuckDB. Its own default is 3."""

_TYPES: Final[dict[Kind, str]] = {"number": "DECIMAL(38,12)", "text": "VARCHAR", "flag": "BOOLEAN"}


def land(events: EventSet, files: str, output: Path) -> None:
    """Files of events (a pattern) to Parquet with typed properties, by day and compressed as the warehouse is.

    Of the ways that DuckDB has, `json_transform` is the fastest, and exact.
    """
    shape = json.dumps({name: _TYPES[kind] for name, kind in events.properties.items()})
    typed = ", ".join(f"typed.{name} as {kind}_{name}" for name, kind in events.properties.items())
    connect().execute(f"""
        copy (
            select event_id, name, external_customer_id, timestamp, timestamp as received_at, 'user' as source,
                metadata::varchar as metadata, timestamp::date as date, {typed}
            from (select *, json_transform(metadata, '{shape}') as typed from {_source(files)})
        ) to '{output}' (format parquet, compression zstd, compression_level {_ZSTD_LEVEL}, partition_by (date))
    """)


def _source(files: str) -> str:
    if files.endswith(".parquet"):
        return f"read_parquet('{files}')"
    columns = "event_id: 'varchar', name: 'varchar', external_customer_id: 'varchar', timestamp: 'timestamptz'"
    return f"read_json('{files}', format = 'newline_delimited', columns = {{{columns}, metadata: 'json'}})"


def meter(events: EventSet, files: list[str], output: Path, *, typed: bool) -> None:
    """One query a meter on the warehouse's own files, per customer and day; each result is written to a file."""
    connection = connect()
    named = ", ".join(f"'{file}'" for file in files)
    connection.execute(f"create view events as from read_parquet([{named}], hive_partitioning = true)")
    output.mkdir()
    for name, query in sql(events, typed=typed).items():
        connection.execute(f"copy ({query}) to '{output / name}.parquet'")


def sql(events: EventSet, *, typed: bool) -> dict[str, str]:
    """The queries, on the typed columns or on the JSON text."""
    held = {
        name: f"{kind}_{name}" if typed else f"cast(metadata ->> '$.{name}' as {_TYPES[kind]})"
        for name, kind in events.properties.items()
    }
    return {
        name: f"select external_customer_id, date, {query.format(**held)} group by all"
        for name, query in events.queries.items()
    }


def connect() -> duckdb.DuckDBPyConnection:
    """A database in memory, on all cores."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    return connection


def main(step: str, events: str, source: str, output: str) -> None:
    """Run a step: `land` takes a pattern, `typed` and `text` take a file that lists files."""
    found = SETS[events]
    if step == "land":
        land(found, source, Path(output))
    else:
        files = Path(source).read_text(encoding="utf-8").splitlines()
        meter(found, files, Path(output), typed=step == "typed")


if __name__ == "__main__":
    main(*sys.argv[1:])
