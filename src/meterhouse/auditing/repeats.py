"""Events that may be one and the same, over all history: one id twice, or one content under several ids (rule 1.3).

Landing finds an id that comes again, within `dedupe_window_days`. It cannot know that two ids are one event: here such
are suspected. Hashes are compared first, a share of them at a time, so that memory does not grow with the history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterhouse.auditing.audit import EXAMPLES, Finding, prepare, query, says
from meterhouse.warehouse import connect

if TYPE_CHECKING:
    import duckdb

    from meterhouse.warehouse import Warehouse

REPEATS: Final = {"same_id": False, "same_content": True, "same_content_without_id": True}
"""Names of the checks, and whether what they find is only news: two events may be alike and both have happened."""

EVENTS_AT_ONCE: Final = 10_000_000
"""Hashes that are counted at once: some hundred MB."""

_COMPARED: Final = {
    "repeated_ids": "source, event_id",
    "repeated_contents": "source, name, customer_id, external_customer_id, subscription_id, timestamp, metadata",
}

_CANDIDATES: Final = """
    INSERT INTO {table} SELECT * FROM suspected_events WHERE hash({columns}) IN (
        SELECT hash({columns}) FROM suspected_events WHERE hash({columns}) % {shares} = {share}
        GROUP BY 1 HAVING count(*) > 1
    )
"""


def find_repeats(warehouse: Warehouse, examples: int = EXAMPLES) -> list[Finding]:
    """Look for repeats among all stored events that count."""
    with connect(warehouse) as connection:
        return find_repeats_in(connection, examples)


def find_repeats_in(
    connection: duckdb.DuckDBPyConnection, examples: int = EXAMPLES, events_at_once: int = EVENTS_AT_ONCE
) -> list[Finding]:
    """Look for repeats in any DuckDB that has the tables, by their names. Creates temporary tables there."""
    prepare(connection)
    connection.execute(query("suspected_events")).fetchall()
    events: int = connection.execute("SELECT count(*) FROM suspected_events").fetchall()[0][0]
    shares = 1 + events // events_at_once
    for table, columns in _COMPARED.items():
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS FROM suspected_events LIMIT 0").fetchall()
        for share in range(shares):
            found = _CANDIDATES.format(table=table, columns=columns, shares=shares, share=share)
            connection.execute(found).fetchall()
    return [_finding(connection, check, events, examples) for check in REPEATS]


def _finding(connection: duckdb.DuckDBPyConnection, check: str, events: int, examples: int) -> Finding:
    repeats = query(check)
    count = connection.execute(f"SELECT count(*) FROM ({repeats})").fetchall()[0][0]
    shown = connection.execute(
        f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (FROM ({repeats}) ORDER BY times DESC, COLUMNS(*) LIMIT {examples})"
    )
    names = [column[0] for column in shown.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in shown.fetchall()]
    return Finding(check, events, count, rows, says(check), REPEATS[check])
