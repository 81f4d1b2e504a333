"""The second engine on frames: what a test has computed with Polars, audited in DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import polars as pl

from meterhouse.auditing import CHECKS, Finding, audit_tables
from meterhouse.tables import WAREHOUSE, empty

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meterhouse.money import Rounding


def audit_frames(
    tables: Mapping[str, pl.LazyFrame | pl.DataFrame],
    checks: Iterable[str] = CHECKS,
    rounding: Rounding = "half_away_from_zero",
) -> list[Finding]:
    """Audit tables that need not be stored; those that are not given are empty."""
    with duckdb.connect() as connection:
        register(connection, tables)
        return audit_tables(connection, rounding, checks=checks)


def register(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pl.LazyFrame | pl.DataFrame]) -> None:
    """Show tables to DuckDB by their names; those that are not given are empty."""
    for name, stored in WAREHOUSE.items():
        connection.register(name, tables.get(name, empty(stored.table)).lazy().collect())


def assert_passes(findings: Iterable[Finding]) -> None:
    """Fail with the rows that differ."""
    failed = [finding for finding in findings if not finding.passed]
    assert not failed, "\n".join(
        f"{finding.check}: {finding.differing} of {finding.compared}; {example}"
        for finding in failed
        for example in finding.examples
    )
