"""Polars and DuckDB measure random events by the hour alike (rule 2.6)."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

import duckdb
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from meterhouse.auditing.audit import prepare
from meterhouse.catalog import Aggregation, Filter, Meter
from meterhouse.catalog.rows import meter_rows
from meterhouse.metering import combine, of_spans
from meterhouse.planning import hourly_states
from meterhouse.warehouse import Warehouse
from tests.oracle.engine import register
from tests.oracle.test_metering import (
    CUSTOMERS,
    PROPERTIES,
    SUBSCRIPTIONS,
    changes,
    changing,
    event_rows,
    filters,
    sent,
    tables_of,
)
from tests.small_project import without_waiting_for_the_disk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from meterhouse.catalog import Project
    from meterhouse.catalog.meters import Function

FUNCTIONS: Final[tuple[Function, ...]] = ("sum", "count", "max", "unique", "last")

QUANTITIES: Final = """
SELECT
    meter, customer_id, attributed, CAST(date_trunc('hour', timestamp) AS TIMESTAMP) AS hour,
    CAST(CASE aggregation
        WHEN 'sum' THEN coalesce(sum(number), 0)
        WHEN 'count' THEN count(*)
        WHEN 'max' THEN max(number)
        WHEN 'unique' THEN count(DISTINCT text)
        WHEN 'last' THEN arg_max(number, moment) FILTER (counted)
    END AS DECIMAL(38, 12)) AS quantity,
    count(*) FILTER (counted) AS events,
    count(*) FILTER (NOT counted) AS skipped
FROM matched_events
GROUP BY meter, aggregation, customer_id, attributed, hour
ORDER BY ALL
"""

meters = st.fixed_dictionaries(
    {
        function: st.builds(
            Meter,
            filter=st.just(Filter()) | filters,
            aggregation=st.builds(
                Aggregation,
                func=st.just(function),
                property=st.none() if function == "count" else st.sampled_from(PROPERTIES),
            ),
            group_by=st.sampled_from([(), ("name",)]),
        )
        for function in FUNCTIONS
    }
)


def measured(warehouse: Warehouse, made: dict[str, Meter], events: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Hours as `usage --by hour` shows them, from a warehouse that holds the events."""
    warehouse.append("events", events)
    warehouse.replace("customers", CUSTOMERS)
    warehouse.replace("subscriptions", SUBSCRIPTIONS)
    project = cast("Project", SimpleNamespace(catalog=SimpleNamespace(meters=made)))
    states = hourly_states(project, warehouse, made, events["date"].unique())
    hour = pl.col("slice_start").dt.truncate("1h")
    spans = of_spans(states.with_columns(hour=hour), meter_rows(made).lazy(), hour, hour.dt.offset_by("1h"))
    key = ["meter", "customer_id", "attributed", "hour"]
    return combine(spans, key).with_columns(pl.col("hour").dt.replace_time_zone(None)).sort(key).collect().rows()


def counted_again(made: dict[str, Meter], events: pl.DataFrame) -> list[tuple[Any, ...]]:
    """The same hours, of the events themselves."""
    with duckdb.connect() as connection:
        register(connection, tables_of(events, made))
        prepare(connection)
        return connection.execute(QUANTITIES).fetchall()


def test_hours_alike() -> None:
    hours_with: dict[Any, int] = dict.fromkeys(FUNCTIONS, 0)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(sent, min_size=1, max_size=30), meters, changes)
    def measure(
        events: list[dict[str, Any]],
        made: dict[str, Meter],
        later: Sequence[tuple[datetime, Filter | None, str | None]],
    ) -> None:
        made = {name: changing(meter, list(later)) if name == "sum" else meter for name, meter in made.items()}
        rows = event_rows(events)
        with TemporaryDirectory() as folder, without_waiting_for_the_disk():
            found = measured(Warehouse(folder), made, rows)
        assert found == counted_again(made, rows)
        for meter, *_, quantity, _events, _skipped in found:
            hours_with[meter] += bool(quantity)

    measure()

    # No aggregation agrees because it says nothing.
    assert all(hours_with.values()), hours_with
