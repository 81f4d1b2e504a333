"""Tables with many rows are looked at as a whole, and refuse what a look at every row refuses."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from meterhouse.errors import WarehouseError
from meterhouse.tables import WAREHOUSE, UsageDaily, verify, verify_many
from tests.tables import rows

BROKEN: dict[str, dict[str, Any]] = {
    "a column that is never null": {"events": pl.lit(None, pl.Int64)},
    "a count below 0": {"skipped": pl.lit(-1, pl.Int64)},
    "a key that stands twice": {"customer_id": pl.lit("a")},
    "a null within a list": {"distinct_values": pl.lit([None, "x"], pl.List(pl.String))},
}


@pytest.mark.parametrize("changed", BROKEN.values(), ids=BROKEN.keys())
def test_both_looks_refuse_rows_that_break_a_rule(changed: dict[str, Any]) -> None:
    broken = _states().with_columns(**changed)
    for judge in (verify, verify_many):
        with pytest.raises(WarehouseError, match="would break its own rules"):
            judge(broken, UsageDaily)


def test_both_looks_accept_rows_that_break_none() -> None:
    for states in (_states(), _states().clear()):
        assert verify(states, UsageDaily).equals(verify_many(states, UsageDaily))


@pytest.mark.parametrize("table", [name for name, stored in WAREHOUSE.items() if stored.has_many_rows])
def test_tables_with_many_rows_have_no_rules_but_those_of_columns_and_key(table: str) -> None:
    declared = vars(WAREHOUSE[table].table).values()
    assert not [rule for rule in declared if "rule" in type(rule).__name__.lower()]


def _states() -> pl.DataFrame:
    return rows(
        UsageDaily,
        """
        meter | customer_id | date       | slice_start | attributed | group_json | events | skipped
        calls | a           | 2026-01-01 | 2026-01-01  | true       | {}         | 1      | 0
        calls | b           | 2026-01-01 | 2026-01-01  | true       | {}         | 2      | 0
        """,
    ).collect()
