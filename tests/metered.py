"""Landed events measured, and measured again by the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterhouse.catalog.rows import meter_rows
from meterhouse.landing import with_untyped
from meterhouse.metering import cuts_within_days, measure_daily, property_names
from meterhouse.tables import BillingPeriods, Customers, Subscriptions, empty
from meterhouse.tables.properties import without_column
from tests.oracle.engine import assert_passes, audit_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from meterhouse.catalog import Meter
    from tests.records import MemoryStore


def measure(store: MemoryStore, meters: Mapping[str, Meter]) -> pl.DataFrame:
    """The daily states of all landed events; the audit must find the same."""
    events = store.table("events")
    names = {name for meter in meters.values() for name in property_names(meter)}
    lacking = without_column(names, events.columns, store.untyped_properties())
    complete, cuts = with_untyped(events.lazy(), lacking), cuts_within_days(empty(BillingPeriods))
    daily = measure_daily(complete, meters, empty(Customers), empty(Subscriptions), cuts).collect()
    stored = {table: store.table(table) for table in ("events", "landed_files", "untyped_properties")}
    tables = {**stored, "meters": meter_rows(meters), "usage_daily": daily}
    assert_passes(audit_frames(tables, ["events_by_day", "usage_daily"]))
    return daily
