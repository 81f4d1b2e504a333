"""Laws of metering what is stale and nothing else (rule 8.1): it gives what metering everything gives."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meterhouse.catalog import Meter
from meterhouse.catalog.rows import meter_rows
from meterhouse.planning import meter
from meterhouse.tables import Customers, Events, Subscriptions, VoidedEvents, schema_of
from meterhouse.warehouse import Warehouse

if TYPE_CHECKING:
    from meterhouse.catalog import Project

FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
DAYS: Final = 4
AS_OF: Final = FIRST + timedelta(days=DAYS)
IDS: Final = ("ada", "bob", "carl")

LARGE: Final = {"clauses": [{"property": "size", "operator": "gt", "value": 2}]}
MEANINGS: Final[dict[str, list[dict[str, Any]]]] = {
    "calls": [
        {"aggregation": {"func": "count"}} | more
        for more in (
            {},
            {"filter": LARGE},
            {"group_by": ["size"]},
            {"changes": [{"from": FIRST + timedelta(hours=30), "filter": LARGE}]},
            {"changes": [{"from": FIRST + timedelta(days=2), "filter": LARGE}]},
        )
    ],
    "size": [
        {"aggregation": {"func": function, "property": "size"}, "filter": rule}
        for function in ("sum", "last", "unique", "max")
        for rule in ({}, LARGE)
    ],
}
"""What the two meters may mean, one after the other."""

maybe_id = st.sampled_from([None, *IDS])
sent = st.fixed_dictionaries(
    {
        "customer_id": maybe_id,
        "external_customer_id": maybe_id,
        "subscription_id": maybe_id,
        "hour": st.integers(0, 24 * DAYS - 1),
        "size": st.sampled_from([None, *map(Decimal, range(5))]),
    }
)
changes = st.one_of(
    st.fixed_dictionaries({"events": st.lists(sent, min_size=1, max_size=8)}),
    st.fixed_dictionaries({"customers": st.dictionaries(st.sampled_from(IDS), st.sampled_from(IDS))}),
    st.fixed_dictionaries(
        {
            "subscriptions": st.dictionaries(
                st.sampled_from(IDS), st.tuples(st.sampled_from(IDS), st.sampled_from([0, 10, 34]))
            )
        }
    ),
    st.fixed_dictionaries(
        {
            "meters": st.fixed_dictionaries(
                {}, optional={name: st.sampled_from(meanings) for name, meanings in MEANINGS.items()}
            )
        }
    ),
    st.fixed_dictionaries({"voided": st.integers(0, 20)}),
)


class Books:
    """A warehouse whose tables change, and the meters of a project."""

    def __init__(self, folder: str) -> None:
        self.warehouse = Warehouse(folder)
        self.meters: dict[str, Meter] = {}

    def change(self, change: dict[str, Any], step: int) -> None:
        """Change one thing."""
        match change:
            case {"events": events}:
                self.warehouse.append("events", event_rows(events, step))
            case {"customers": customers}:
                # Two customers with one external id are refused before they are stored.
                external = {external: customer for customer, external in customers.items()}
                rows = [(customer, external, customer) for external, customer in external.items()]
                self.warehouse.replace("customers", pl.DataFrame(rows, schema_of(Customers), orient="row"))
            case {"subscriptions": subscriptions}:
                self.warehouse.replace("subscriptions", subscription_rows(subscriptions))
            case {"meters": meters}:
                self.meters = {name: Meter.model_validate(meaning) for name, meaning in meters.items()}
            case {"voided": place}:
                self.void(place)
            case _:
                raise AssertionError

    def void(self, place: int) -> None:
        """Take an event back, if there are so many."""
        events = self.warehouse.scan("events").select("source", "event_id", "date").sort("event_id").collect()
        done = self.warehouse.scan("voided_events").select("event_id").collect().to_series().to_list()
        row = events.filter(~pl.col("event_id").is_in(done)).slice(place, 1)
        if not row.is_empty():
            added = row.with_columns(file_id=pl.lit("v"), position=pl.lit(1, pl.Int64), landed_at=pl.lit(AS_OF))
            typed = added.select(pl.col(name).cast(dtype) for name, dtype in schema_of(VoidedEvents).items())
            self.warehouse.append("voided_events", typed)

    def meter(self) -> list[date]:
        """Meter what is stale."""
        project = SimpleNamespace(
            catalog=SimpleNamespace(meters=self.meters), definitions={"meters": meter_rows(self.meters)}
        )
        return meter(cast("Project", project), self.warehouse, AS_OF)

    def measured(self, table: str) -> pl.DataFrame:
        """What was stored of a table."""
        rows = self.warehouse.scan(table).collect()
        return rows.sort(pl.selectors.exclude(pl.selectors.list()))


def event_rows(events: list[dict[str, Any]], step: int) -> pl.DataFrame:
    rows = [
        event
        | {
            "source": "user",
            "event_id": f"{step}-{place}",
            "name": "call",
            "timestamp": FIRST + timedelta(hours=event["hour"]),
            "received_at": AS_OF,
            "metadata": "{}",
            "file_id": "file",
            "position": place + 1,
            "date": (FIRST + timedelta(hours=event["hour"])).date(),
            "number_size": event["size"],
        }
        for place, event in enumerate(events)
    ]
    return pl.DataFrame(rows, {**schema_of(Events), "number_size": pl.Decimal(38, 12)}, orient="row")


def subscription_rows(subscriptions: dict[str, tuple[str, int]]) -> pl.DataFrame:
    """Subscriptions by the day, whose cycles begin at some hour."""
    rows = [
        {
            "subscription_id": name,
            "customer_id": customer,
            "product": "plan",
            "started_at": FIRST + timedelta(hours=hour),
            "ends_at": None,
            "end": "at_once",
            "interval": "day",
            "interval_count": 1,
            "anchor": FIRST + timedelta(hours=hour),
            "timezone": "UTC",
        }
        for name, (customer, hour) in subscriptions.items()
    ]
    return pl.DataFrame(rows, schema_of(Subscriptions), orient="row")


@settings(max_examples=25, deadline=None)
@given(st.lists(sent, min_size=5, max_size=20), st.lists(changes, min_size=2, max_size=6))
def test_metering_what_is_stale_is_metering_all(events: list[dict[str, Any]], made: list[dict[str, Any]]) -> None:
    first: list[dict[str, Any]] = [
        {"events": events},
        {"meters": {name: meanings[0] for name, meanings in MEANINGS.items()}},
    ]
    with TemporaryDirectory() as now_and_then, TemporaryDirectory() as at_once:
        step_by_step, from_scratch = Books(now_and_then), Books(at_once)
        for step, change in enumerate(first + made):
            step_by_step.change(change, step)
            step_by_step.meter()
            from_scratch.change(change, step)
        from_scratch.meter()

        for table in ("usage_daily", "sent_ids"):
            assert_frame_equal(step_by_step.measured(table), from_scratch.measured(table))
        assert step_by_step.meter() == []
