"""Events to usage: states per day, then quantities per period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from meterhouse.catalog.filters import Filter
from meterhouse.metering.attribution import SENT_IDS, attribute
from meterhouse.metering.filters import matches
from meterhouse.metering.operands import EventProperties
from meterhouse.metering.parts import rounded
from meterhouse.metering.slices import slice_events
from meterhouse.metering.states import (
    LAST,
    LAST_TIMESTAMP,
    OF_NOTHING,
    combine,
    kept_by,
    last_event,
    merged,
    state,
    unfold,
    value_of,
)
from meterhouse.tables import SentIds, Usage, UsageDaily, conform, empty
from meterhouse.tables.columns import QUANTITY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meterhouse.catalog.meters import Meter

_EVENT_FIELDS: Final = ("event_id", "name", "source", *SENT_IDS, "timestamp", "received_at", "date")
_GROUP: Final = (*SENT_IDS, "date", "slice_start")
_MATCHING: Final = "matching"
_VALUE: Final = "value"
_SHARED: Final = "_shared"
_MEASURES: Final = ("aggregation", "percent", "carry_over", "rounding", "rounding_to", "definition")
_SLICE: Final = ("date", "customer_id", "slice_start", "attributed")


class Measured(NamedTuple):
    """What was measured: rows of `usage_daily`, and of `sent_ids`, whose attribution they depend on."""

    usage_daily: pl.DataFrame
    sent_ids: pl.DataFrame


def measure_daily(
    events: pl.LazyFrame,
    meters: Mapping[str, Meter],
    customers: pl.LazyFrame,
    subscriptions: pl.LazyFrame,
    cuts: pl.LazyFrame,
) -> pl.LazyFrame:
    """The states alone: see `measure_days`."""
    return measure_days(events, meters, customers, subscriptions, cuts).usage_daily.lazy()


def measure_days(
    events: pl.LazyFrame,
    meters: Mapping[str, Meter],
    customers: pl.LazyFrame,
    subscriptions: pl.LazyFrame,
    cuts: pl.LazyFrame,
) -> Measured:
    """States of every meter per customer, day and slice. Reads the events at once, in bounded memory.

    `cuts` are those of `cuts_within_days`. Only the columns that the meters name are read. All meters are measured in
    one pass over groups of events with the same ids as sent, and only the groups are attributed, as they are far
    fewer. Where several ids turn out to be one customer's, their states are merged.
    """
    properties = EventProperties(events.collect_schema().names())
    needed = properties.columns_of(name for meter in meters.values() for name in property_names(meter))
    sliced = slice_events(events.select(*_EVENT_FIELDS, *needed), customers, subscriptions, cuts)
    groups = _group(_with_values(sliced, meters, properties), meters)
    owned = attribute(groups.lazy(), customers, subscriptions).sort(_SLICE)
    marked = owned.with_columns(pl.struct(_SLICE).is_duplicated().alias(_SHARED)).collect()
    measured = [_of_meter(marked, name, meter) for name, meter in sorted(meters.items())]
    # The meters come in order, and the rows of each: what is left is sorted in no time.
    states = pl.concat([empty(UsageDaily), *measured], how="diagonal").sort("date", maintain_order=True)
    return Measured(conform(states, UsageDaily).collect(), _sent_ids(groups))


def _sent_ids(groups: pl.DataFrame) -> pl.DataFrame:
    ids = groups.lazy().select("date", pl.col(SENT_IDS).fill_null("")).unique()
    return conform(ids, SentIds).collect()


def _with_values(sliced: pl.LazyFrame, meters: Mapping[str, Meter], properties: EventProperties) -> pl.LazyFrame:
    """Add for each meter whether an event matches, and the value that it brings to the meter."""
    columns: dict[str, pl.Expr] = {}
    for name, meter in meters.items():
        rule, value = meter.matching(), value_of(meter.aggregation, properties)
        columns[_of(name, _MATCHING)] = matches(rule, properties)
        columns[_of(name, _VALUE)] = pl.when(matches(rule, properties)).then(value) if rule.clauses else value
    return sliced.with_columns(**columns)


def _group(events: pl.LazyFrame, meters: Mapping[str, Meter]) -> pl.DataFrame:
    """Groups of events with the same ids in the same slice: the state of each meter, in columns of its own."""
    states = {
        _of(name, part): whole
        for name, meter in meters.items()
        for part, whole in state(meter.aggregation, *(pl.col(_of(name, of)) for of in (_VALUE, _MATCHING))).items()
    }
    groups = events.group_by(_GROUP).agg(**states).collect(engine="streaming")
    of_last = {name: _of(name, LAST_TIMESTAMP) for name, meter in meters.items() if meter.aggregation.func == "last"}
    if not of_last:
        return groups
    # To compare whole moments of all events takes far longer than to find the few that may be last.
    instants = pl.concat([groups[column].alias("instant") for column in of_last.values()])
    ended = events.filter(pl.col("timestamp").is_in(instants.implode()))
    last = {_of(name, LAST): last_event(pl.col(_of(name, _VALUE))) for name in of_last}
    found = ended.group_by(_GROUP).agg(**last).collect(engine="streaming")
    return groups.drop(of_last.values()).join(found, on=_GROUP, how="left", nulls_equal=True)


def _of_meter(groups: pl.DataFrame, name: str, meter: Meter) -> pl.LazyFrame:
    """Rows of `usage_daily` of one meter, from groups that hold the states of all."""
    prefix = _of(name, "")
    parts = {column: column.removeprefix(prefix) for column in groups.columns if column.startswith(prefix)}
    states = unfold(groups.lazy().select(*_SLICE, _SHARED, *(pl.col(of).alias(part) for of, part in parts.items())))
    used = states.filter(pl.col("events") + pl.col("skipped") > 0)
    if groups[_SHARED].any():
        several = used.filter(_SHARED).group_by(_SLICE).agg(**merged(kept_by(meter.aggregation)))
        used = pl.concat([used.filter(~pl.col(_SHARED)), unfold(several)], how="diagonal")
    return used.with_columns(meter=pl.lit(name))


def _of(meter: str, part: str) -> str:
    """The name of a column that holds something of one meter; no column of events begins like that."""
    return f"_{meter}\n{part}"


def measure_periods(usage_daily: pl.LazyFrame, periods: pl.LazyFrame, meters: pl.LazyFrame) -> pl.LazyFrame:
    """Quantities per subscription, cycle and meter (`usage`).

    `periods` are rows of `billing_periods` with a column `meter`: what to measure in each. A meter with `carry_over`
    measures all that its customer did until the period's end.
    """
    key = ["subscription_id", "cycle", "meter"]
    wanted = periods.join(meters.select("meter", *_MEASURES), on="meter")
    # An unattributed id may look like a customer's, but is not the customer (rule 1.5).
    known = usage_daily.filter("attributed")
    slices = wanted.join(known, on=["customer_id", "meter"]).filter(
        (pl.col("slice_start") >= pl.col("period_start")) | pl.col("carry_over"),
        pl.col("slice_start") < pl.col("period_end"),
    )
    nothing = pl.when(pl.col("aggregation").is_in(OF_NOTHING)).then(pl.lit(0, dtype=QUANTITY))
    usage = wanted.join(combine(slices, key), on=key, how="left").with_columns(
        # A group of events that were all skipped has no quantity of its own either.
        quantity=rounded(pl.coalesce("quantity", nothing), pl.col("rounding"), pl.col("rounding_to")),
        events=pl.col("events").fill_null(0),
        skipped=pl.col("skipped").fill_null(0),
    )
    return conform(usage, Usage)


def property_names(meter: Meter) -> Iterator[str]:
    """The properties that a meter reads."""
    if meter.aggregation.property is not None:
        yield meter.aggregation.property
    yield from _filter_names(meter.matching())


def _filter_names(rule: Filter) -> Iterator[str]:
    for part in rule.clauses:
        if isinstance(part, Filter):
            yield from _filter_names(part)
        else:
            yield part.property
