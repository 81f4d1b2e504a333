"""The stored numbers again, in another engine: every check is one SQL file that lists what it compares.

A check's query has a row per thing compared, with a column `differs`; its first comment says what holds. DuckDB
computes here and Polars in the stages, and neither uses the other's code: a fault must be made twice to stay hidden.
Everything is exact: where DuckDB would divide decimals as floats, whole numbers are divided, and an overflow raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal

from meterhouse.auditing.metered import create_views
from meterhouse.warehouse import connect

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

    from meterhouse.money import Rounding
    from meterhouse.warehouse import Warehouse

CHECKS: Final = (
    "landed_files",
    "unfinished_landings",
    "retried_records",
    "events",
    "voids",
    "events_by_day",
    "usage_daily",
    "usage",
    "usage_by_group",
    "late_usage",
    "credit_grants",
    "credit_entries",
    "credit_balances",
    "credits_on_lines",
    "charges",
    "steps",
    "final_steps",
    "changed_prices",
    "fees",
    "lines",
    "invoices",
    "invoice_numbers",
    "invoice_cycles",
)
"""Names of the checks, in the order in which numbers are made: the first that fails is nearest to the fault."""

NOTICES: Final = frozenset({"unfinished_landings", "late_usage", "changed_prices"})
"""Checks whose differences are news and no faults: a landing was cut short; after an invoice is final events may come
and prices may change (rule 8.1)."""

Verdict = Literal["agree", "DIFFER", "notice", "nothing to compare"]

EXAMPLES: Final = 5

_USAGE_AGAIN: Final = "usage_again"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Finding:
    """What a check found. `examples` are rows that differ, at most five, every value as text."""

    check: str
    compared: int
    differing: int
    examples: list[dict[str, str | None]]
    says: str
    is_notice: bool = False

    @property
    def verdict(self) -> Verdict:
        """In words what `passed` says, and whether there was anything that could differ."""
        if not self.compared:
            return "nothing to compare"
        if not self.differing:
            return "agree"
        return "notice" if self.is_notice else "DIFFER"

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong; a notice is never wrong."""
        return self.differing == 0 or self.is_notice


def audit(
    warehouse: Warehouse,
    rounding: Rounding = "half_away_from_zero",
    as_of: datetime | None = None,
    *,
    dedupe_window_days: int | None = None,
) -> list[Finding]:
    """Run every check on the stored tables, as they are now. Writes nothing.

    `as_of` is the clock of the run that made them; the latest clock of all runs where it is not given.
    """
    with connect(warehouse) as connection:
        return audit_tables(connection, rounding, as_of, dedupe_window_days=dedupe_window_days)


def audit_tables(
    connection: duckdb.DuckDBPyConnection,
    rounding: Rounding = "half_away_from_zero",
    as_of: datetime | None = None,
    checks: Iterable[str] = CHECKS,
    *,
    dedupe_window_days: int | None = None,
) -> list[Finding]:
    """Run checks on any DuckDB that has the tables, by their names. Creates temporary views there."""
    wanted = tuple(checks)
    prepare(connection, rounding, as_of, dedupe_window_days=dedupe_window_days)
    if any(_USAGE_AGAIN in query(check) for check in wanted):
        measure_usage(connection)
    return [run_check(connection, check) for check in wanted]


def prepare(
    connection: duckdb.DuckDBPyConnection,
    rounding: Rounding = "half_away_from_zero",
    as_of: datetime | None = None,
    *,
    dedupe_window_days: int | None = None,
) -> None:
    """Create what the checks' queries use: exact arithmetic, attributed events, what each meter takes."""
    connection.execute("SET TimeZone = 'UTC'").fetchall()
    clock = as_of or _latest_clock(connection)
    instant = "NULL" if clock is None else f"'{clock.astimezone(UTC).isoformat()}'"
    connection.execute(f"CREATE OR REPLACE TEMP MACRO clock() AS CAST({instant} AS TIMESTAMPTZ)").fetchall()
    window = "NULL" if dedupe_window_days is None else str(dedupe_window_days)
    connection.execute(f"CREATE OR REPLACE TEMP MACRO dedupe_window_days() AS CAST({window} AS BIGINT)").fetchall()
    connection.execute(query("macros")).fetchall()
    connection.execute(f"CREATE OR REPLACE TEMP MACRO round_minor(amount) AS {rounding}(amount)").fetchall()
    connection.execute(query("views")).fetchall()
    create_views(connection)


def measure_usage(connection: duckdb.DuckDBPyConnection) -> None:
    """Measure every stored usage again, once for all checks that need it: it reads all events of all cycles."""
    connection.execute(query(_USAGE_AGAIN)).fetchall()


def run_check(connection: duckdb.DuckDBPyConnection, check: str) -> Finding:
    """Run one check on a connection that is prepared."""
    compared = query(check)
    counted = connection.execute(f"SELECT count(*), count(*) FILTER (differs) FROM ({compared})").fetchall()
    total, differing = counted[0]
    return Finding(
        check=check,
        compared=total,
        differing=differing,
        examples=_examples(connection, compared) if differing else [],
        says=says(check),
        is_notice=check in NOTICES,
    )


@cache
def query(name: str) -> str:
    """The SQL of a check."""
    return files("meterhouse.auditing").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")


def says(check: str) -> str:
    """What a check says of the numbers, in a sentence."""
    comments = []
    for line in query(check).splitlines():
        if not line.startswith("-- "):
            break
        comments.append(line.removeprefix("-- "))
    return " ".join(comments)


def _latest_clock(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    latest = connection.execute("SELECT max(epoch_us(as_of)) FROM runs").fetchall()[0][0]
    return None if latest is None else _EPOCH + timedelta(microseconds=latest)


def _examples(connection: duckdb.DuckDBPyConnection, compared: str) -> list[dict[str, str | None]]:
    rows = connection.execute(
        f"SELECT CAST(COLUMNS(* EXCLUDE (differs)) AS VARCHAR) FROM ({compared}) WHERE differs "
        f"ORDER BY ALL LIMIT {EXAMPLES}"
    )
    names = [column[0] for column in rows.description or ()]
    return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
