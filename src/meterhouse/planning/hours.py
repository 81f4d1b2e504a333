"""Usage by the hour (rule 2.6): measured from the events when it is asked for, as daily states cannot tell hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from meterhouse.metering import cuts_within_days, measure_days
from meterhouse.planning.events import counting_events
from meterhouse.planning.untyped import with_properties_of
from meterhouse.tables import BillingPeriods, UsageDaily, empty

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date

    from meterhouse.catalog import Project
    from meterhouse.warehouse import Warehouse


def hourly_states(
    project: Project, warehouse: Warehouse, meters: Collection[str], days: Collection[date]
) -> pl.LazyFrame:
    """States of meters on some days, in slices of an hour at most: rows of `usage_daily`. Reads a day at a time."""
    wanted = {name: meter for name, meter in project.catalog.meters.items() if name in meters}
    people = (warehouse.scan("customers"), warehouse.scan("subscriptions"))
    uncut = cuts_within_days(empty(BillingPeriods))
    states = [empty(UsageDaily)]
    for day in sorted(days):
        events = counting_events(warehouse, pl.col("date") == day)
        held = with_properties_of(wanted.values(), events, warehouse)
        states.append(measure_days(held, wanted, *people, uncut, by_hour=True).usage_daily.lazy())
    return pl.concat(states)
