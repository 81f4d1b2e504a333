"""One quantity of all customers: each customer's quantity is one value (rule 2.6)."""

from __future__ import annotations

import polars as pl
import pytest

from meterhouse.metering import measure_over_customers
from meterhouse.tables import Usage
from tests.tables import assert_rows, rows

PERIOD = {"cycle": 0, "skipped": 0}


@pytest.mark.parametrize(
    ("function", "quantity"),
    [("count", "3"), ("sum", "27"), ("max", "20"), ("min", "2"), ("avg", "9"), ("unique", "3")],
)
def test_the_quantities_of_customers_are_the_values(function: str, quantity: str) -> None:
    usage = rows(
        Usage,
        """
        subscription_id | customer_id | meter | period_start | period_end | quantity | events
        s1              | ada         | peak  | 2025-01-01   | 2025-02-01 | 20       | 3
        s2              | bob         | peak  | 2025-01-01   | 2025-02-01 | 5        | 1
        s3              | cy          | peak  | 2025-01-01   | 2025-02-01 | 2        | 1
        s4              | dee         | peak  | 2025-01-01   | 2025-02-01 | -        | 0
        """,
        **PERIOD,
    )
    expected = f"""
        meter | period_start | period_end | quantity
        peak  | 2025-01-01   | 2025-02-01 | {quantity}
    """
    assert_rows(measure_over_customers(usage, function), expected)  # type: ignore[arg-type]


def test_meters_and_periods_stay_apart() -> None:
    usage = rows(
        Usage,
        """
        subscription_id | customer_id | meter | period_start | period_end | quantity | events
        s1              | ada         | calls | 2025-01-01   | 2025-02-01 | 1        | 1
        s1              | ada         | bytes | 2025-01-01   | 2025-02-01 | 2        | 1
        s2              | bob         | calls | 2025-02-01   | 2025-03-01 | 4        | 1
        """,
        **PERIOD,
    )
    assert_rows(
        measure_over_customers(usage, "sum"),
        """
        meter | period_start | period_end | quantity
        calls | 2025-01-01   | 2025-02-01 | 1
        bytes | 2025-01-01   | 2025-02-01 | 2
        calls | 2025-02-01   | 2025-03-01 | 4
        """,
    )


def test_without_usage_there_is_no_quantity() -> None:
    nothing = rows(
        Usage, "subscription_id | customer_id | meter | period_start | period_end | quantity | events", **PERIOD
    )
    assert measure_over_customers(nothing, "max").collect().height == 0
    assert measure_over_customers(nothing, "max").collect_schema()["quantity"] == pl.Decimal(38, 12)
