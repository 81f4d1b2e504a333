"""Events to usage: states per day, then quantities per period."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from meterhouse.catalog.filters import Filter
from meterhouse.metering.attribution import attribute
from meterhouse.metering.filters import matches
from meterhouse.metering.operands import EventProperties
from meterhouse.metering.slices import slice_events
from meterhouse.metering.states import combine, state, value_of, with_missing_states
from meterhouse.tables import Usage, UsageDaily, conform, empty
from meterhouse.tables.columns import QUANTITY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meterhouse.catalog.meters import Meter

_EVENT_FIELDS = (
    "event_id",
    "name",
    "source",
    "customer_id",
    "external_customer_id",
    "subscription_id",
    "timestamp",
    "received_at",
    "date",
)


def measure_daily(
    events: pl.LazyFrame,
    meters: Mapping[str, Meter],
    customers: pl.LazyFrame,
    subscriptions: pl.LazyFrame,
    cuts: pl.LazyFrame,
) -> pl.LazyFrame:
    """States of every meter per customer, day and slice (`usage_daily`).

    `cuts` are those of `cuts_within_days`. Only the columns that the meters name are read.
    """
    properties = EventProperties(events.collect_schema().names())
    needed = properties.columns_of(name for meter in meters.values() for name in _property_names(meter))
    sliced = slice_events(attribute(events.select(*_EVENT_FIELDS, *needed), customers, subscriptions), cuts)
    measured = [_measure(sliced, name, meter, properties) for name, meter in sorted(meters.items())]
    return conform(pl.concat([empty(UsageDaily), *measured], how="diagonal"), UsageDaily)


def _measure(sliced: pl.LazyFrame, name: str, meter: Meter, properties: EventProperties) -> pl.LazyFrame:
    states = (
        sliced.filter(matches(meter.matching(), properties))
        .with_columns(value=value_of(meter.aggregation, properties))
        .group_by("customer_id", "date", "slice_start", "attributed")
        .agg(state(meter.aggregation))
        .with_columns(meter=pl.lit(name))
    )
    return conform(with_missing_states(states), UsageDaily)


def measure_periods(usage_daily: pl.LazyFrame, periods: pl.LazyFrame, meters: pl.LazyFrame) -> pl.LazyFrame:
    """Quantities per subscription, cycle and meter (`usage`).

    `periods` are rows of `billing_periods` with a column `meter`: what to measure in each.
    """
    key = ["subscription_id", "cycle", "meter"]
    wanted = periods.join(meters.select("meter", "aggregation", "definition"), on="meter")
    # An unattributed id may look like a customer's, but is not the customer (rule 1.5).
    known = usage_daily.filter("attributed")
    slices = wanted.join(known, on=["customer_id", "meter"]).filter(
        pl.col("slice_start") >= pl.col("period_start"), pl.col("slice_start") < pl.col("period_end")
    )
    nothing = pl.when(pl.col("aggregation").is_in(["count", "sum", "unique"])).then(pl.lit(0, dtype=QUANTITY))
    usage = wanted.join(combine(slices, key), on=key, how="left").with_columns(
        # A group of events that were all skipped has no quantity of its own either.
        quantity=pl.coalesce("quantity", nothing),
        events=pl.col("events").fill_null(0),
        skipped=pl.col("skipped").fill_null(0),
    )
    return conform(usage, Usage)


def _property_names(meter: Meter) -> Iterator[str]:
    if meter.aggregation.property is not None:
        yield meter.aggregation.property
    yield from _filter_names(meter.matching())


def _filter_names(rule: Filter) -> Iterator[str]:
    for part in rule.clauses:
        if isinstance(part, Filter):
            yield from _filter_names(part)
        else:
            yield part.property
