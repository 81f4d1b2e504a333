"""Events of different senders may share an id, and a stranger's id may look like a customer's (rules 1.3, 1.5, 2.2)."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from meterhouse.catalog import Aggregation, Meter
from meterhouse.metering import measure_daily
from meterhouse.tables import Customers, Events, Subscriptions, UsageDaily, empty, verify
from tests.tables import Value, assert_rows, rows

CUSTOMERS = rows(
    Customers,
    """
    customer_id | external_id | name
    ada         | a-1         | Ada
    """,
)
_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
_SENT: dict[str, Value] = {
    "source": "user",
    "name": "call",
    "timestamp": _AT,
    "received_at": _AT,
    "metadata": "{}",
    "file_id": "f",
    "position": 1,
    "date": _AT.date(),
}
NO_CUTS = pl.LazyFrame(schema={"customer_id": pl.String, "date": pl.Date, "slice_start": pl.Datetime("us", "UTC")})


def test_an_unknown_external_id_like_a_customers_id_is_measured_beside_the_customer() -> None:
    events = rows(
        Events,
        """
        event_id | customer_id | external_customer_id
        1        | ada         | -
        2        | -           | ada
        """,
        **_SENT,
    )

    usage = measure_daily(
        events, {"calls": Meter(aggregation=Aggregation(func="count"))}, CUSTOMERS, empty(Subscriptions), NO_CUTS
    )

    verify(usage.collect(), UsageDaily)
    assert_rows(
        usage,
        """
        customer_id | attributed | events
        ada         | true       | 1
        ada         | false      | 1
        """,
    )


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_last_of_two_senders_events_with_one_id_at_one_instant_is_always_the_same(order: list[int]) -> None:
    events = rows(
        Events,
        """
        source | event_id | customer_id
        plant  | 1        | ada
        user   | 1        | ada
        """,
        **{name: value for name, value in _SENT.items() if name != "source"},
    ).with_columns(number_level=pl.Series([7, 9], dtype=pl.Decimal(38, 12)))

    last = {"level": Meter(aggregation=Aggregation(func="last", property="level"))}
    usage = measure_daily(events.collect()[order].lazy(), last, CUSTOMERS, empty(Subscriptions), NO_CUTS)

    assert_rows(
        usage,
        """
        customer_id | last
        ada         | 9
        """,
    )
