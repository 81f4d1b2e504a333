"""The same by hand in DuckDB: JSON properties to typed Parquet, then one query a meter per customer and day.

It does less than meterhouse: no checks, no duplicates, no rejects, no prices, no history. Run as
`python -m benchmarks.reference EVENTS OUTPUT`.
"""

from __future__ import annotations

import sys
from typing import Final

import duckdb

_TYPED: Final = """
    copy (
        select event_id, name, external_customer_id, timestamp, timestamp::date as date, metadata,
            cast(metadata ->> '$.input_tokens' as decimal(38, 12)) as input_tokens,
            cast(metadata ->> '$.output_tokens' as decimal(38, 12)) as output_tokens,
            cast(metadata ->> '$.seconds' as decimal(38, 12)) as seconds,
            metadata ->> '$.model' as model,
            metadata ->> '$.region' as region,
            cast(metadata ->> '$.cached' as boolean) as cached
        from read_parquet($events)
    ) to '{output}' (format parquet, compression zstd)
"""

METERS: Final = {
    "input_tokens": "sum(input_tokens) from events where name = 'completion'",
    "output_tokens_large": "sum(output_tokens) from events where name = 'completion' and model = 'large'",
    "requests": "count(*) from events where not cached",
    "slowest": "max(seconds) from events",
    "models": "count(distinct model) from events",
}


def main(events: str, output: str) -> None:
    """Type, then measure."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(_TYPED.format(output=output), {"events": events})
    connection.execute(f"create view events as select * from read_parquet('{output}')")
    for name, query in METERS.items():
        grouped = f"create table {name} as select external_customer_id, date, {query} group by all"
        connection.execute(grouped)
    print(*(connection.execute(f"select count(*) from {name}").fetchone()[0] for name in METERS))  # type: ignore[index]


if __name__ == "__main__":
    main(*sys.argv[1:])
