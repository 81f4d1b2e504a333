"""Events to usage: states per day, then quantities per period."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from meterhouse.catalog.filters import Filter
from meterhouse.metering.attribution import SENT_IDS, attribute
from meterhouse.metering.filters import matches
from meterhouse.metering.grouping import NO_GROUPS, group_columns, group_json, refuse_too_many_groups
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
    weighed,
)
from meterhouse.tables import SentIds, Usage, UsageByGroup, UsageDaily, conform, empty
from meterhouse.tables.columns import INSTANT, QUANTITY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meterhouse.catalog.meters import Meter, MeterVersion

_EVENT_FIELDS: Final = ("event_id", "name", "source", *SENT_IDS, "timestamp", "received_at", "date")
_MATCHING: Final = "matching"
_VALUE: Final = "value"
_SHARED: Final = "_shared"
_PERIOD: Final = ("subscription_id", "cycle", "meter")
_BY: Final = ("customer_id", *_PERIOD)
"""The customer goes without saying, and says which of the states are to be read."""
_MEASURES: Final = ("aggregation", "percent", "carry_over", "rounding", "rounding_to", "definition")
_SLICE: Final = ("date", "customer_id", "slice_start", "attributed", "group_json")


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
    *,
    by_hour: bool = False,
) -> Measured:
    """States of every meter per customer, day, slice and group. Reads the events at once, in bounded memory.

    `cuts` are those of `cuts_within_days`. Only the columns that the meters name are read. All meters with the same
    `group_by` are measured in one pass over groups of events with the same ids as sent, and only the groups are
    attributed, as they are far fewer. `by_hour` cuts every day at its hours as well. Raises ProjectError where a
    meter has too many groups.
    """
    properties = EventProperties(events.collect_schema().names())
    needed = properties.columns_of(name for meter in meters.values() for name in property_names(meter))
    sliced = slice_events(events.select(*_EVENT_FIELDS, *needed), customers, subscriptions, cuts)
    if by_hour:
        sliced = sliced.with_columns(
            slice_start=pl.max_horizontal("slice_start", pl.col("timestamp").dt.truncate("1h"))
        )
    states: list[tuple[str, pl.LazyFrame]] = []
    sent: list[pl.DataFrame] = []
    for group_by, alike in _by_grouping(meters).items():
        groups = _group(sliced, group_by, alike, properties)
        if group_by:
            _refuse_too_many_groups(groups, alike, meters)
        sent.append(groups.select(*SENT_IDS, "date"))
        owned = attribute(groups.lazy(), customers, subscriptions).sort(_SLICE)
        marked = owned.with_columns(pl.struct(_SLICE).is_duplicated().alias(_SHARED)).collect()
        states += [(part.meter, _of_part(marked, part)) for part in alike]
    # The rows of a meter come in order, and so do the meters: only days are left to be sorted.
    in_order = [part for _, part in sorted(states, key=itemgetter(0))]
    usage_daily = pl.concat([empty(UsageDaily), *in_order], how="diagonal").sort("date", maintain_order=True)
    return Measured(conform(usage_daily, UsageDaily).collect(), _sent_ids(sent[0]))


class _Part(NamedTuple):
    """A version of a meter: what it measures while it holds (rule 2.5)."""

    meter: str
    number: int
    version: MeterVersion

    def column(self, name: str) -> str:
        """The name of a column that holds something of this part; no column of events begins like that."""
        return f"_{self.meter}\n{self.number}\n{name}"

    def state(self) -> dict[str, pl.Expr]:
        """The state, of the columns that `_with_values` adds."""
        value, matching = (pl.col(self.column(name)) for name in (_VALUE, _MATCHING))
        return {self.column(name): whole for name, whole in state(self.version.aggregation, value, matching).items()}


def _by_grouping(meters: Mapping[str, Meter]) -> dict[tuple[str, ...], list[_Part]]:
    """Versions of meters by what the meters are grouped by; one pass at least, which finds the ids as sent."""
    found: dict[tuple[str, ...], list[_Part]] = {}
    for name, meter in sorted(meters.items()):
        parts = [_Part(name, number, version) for number, version in enumerate(meter.versions())]
        found.setdefault(meter.group_by, []).extend(parts)
    return found or {(): []}


def _with_values(events: pl.LazyFrame, parts: Iterable[_Part], properties: EventProperties) -> pl.LazyFrame:
    """Add for each part whether an event matches, and the value that it brings."""
    columns: dict[str, pl.Expr] = {}
    for part in parts:
        since, until, rule, aggregation = part.version
        value = value_of(aggregation, properties)
        bounds = [] if since is None else [pl.col("timestamp") >= since]
        bounds += [] if until is None else [pl.col("timestamp") < until]
        matching = pl.all_horizontal(matches(rule, properties), *bounds) if bounds else matches(rule, properties)
        columns[part.column(_MATCHING)] = matching
        columns[part.column(_VALUE)] = pl.when(matching).then(value) if rule.clauses or bounds else value
    return events.with_columns(**columns)


def _group(
    sliced: pl.LazyFrame, group_by: tuple[str, ...], parts: list[_Part], properties: EventProperties
) -> pl.DataFrame:
    """Events with the same ids in the same slice and group: the state of each part, in columns of its own."""
    of_group = group_columns(group_by, properties)
    events = _with_values(sliced.with_columns(**of_group), parts, properties)
    keys = [*SENT_IDS, "date", "slice_start", *of_group]
    states = {name: whole for part in parts for name, whole in part.state().items()}
    groups = events.group_by(keys).agg(**states).collect(engine="streaming")
    lasting = [part for part in parts if part.version.aggregation.func == "last"]
    if lasting:
        # To compare whole moments of all events takes far longer than to find the few that may be last.
        times = [part.column(LAST_TIMESTAMP) for part in lasting]
        instants = pl.concat([groups[time].alias("instant") for time in times])
        last = {part.column(LAST): last_event(pl.col(part.column(_VALUE))) for part in lasting}
        ended = events.filter(pl.col("timestamp").is_in(instants.implode())).group_by(keys).agg(**last)
        found = ended.collect(engine="streaming")
        groups = groups.drop(times).join(found, on=keys, how="left", nulls_equal=True)
    return groups.with_columns(group_json(group_by).alias("group_json"))


def _refuse_too_many_groups(groups: pl.DataFrame, parts: Iterable[_Part], meters: Mapping[str, Meter]) -> None:
    for name, versions in groupby(parts, key=attrgetter("meter")):
        used = [pl.col(part.column(count)) > 0 for part in versions for count in ("events", "skipped")]
        refuse_too_many_groups(name, meters[name], groups.filter(pl.any_horizontal(used)).select("date", "group_json"))


def _of_part(groups: pl.DataFrame, part: _Part) -> pl.LazyFrame:
    """Rows of `usage_daily` of one version of a meter, from groups that hold the states of all.

    Where several ids turned out to be one customer's, their states are merged.
    """
    prefix = part.column("")
    columns = {column: column.removeprefix(prefix) for column in groups.columns if column.startswith(prefix)}
    states = unfold(groups.lazy().select(*_SLICE, _SHARED, *(pl.col(of).alias(name) for of, name in columns.items())))
    used = states.filter(pl.col("events") + pl.col("skipped") > 0)
    if groups[_SHARED].any():
        several = used.filter(_SHARED).group_by(_SLICE).agg(**merged(kept_by(part.version.aggregation)))
        used = pl.concat([used.filter(~pl.col(_SHARED)), unfold(several)], how="diagonal")
    if part.version.since is not None:
        since = pl.lit(part.version.since).cast(INSTANT)
        used = used.with_columns(slice_start=pl.max_horizontal("slice_start", since))
    return used.with_columns(meter=pl.lit(part.meter))


def _sent_ids(groups: pl.DataFrame) -> pl.DataFrame:
    ids = groups.lazy().select("date", pl.col(SENT_IDS).fill_null("")).unique()
    return conform(ids, SentIds).collect()


def measure_periods(usage_daily: pl.LazyFrame, periods: pl.LazyFrame, meters: pl.LazyFrame) -> pl.LazyFrame:
    """Quantities per subscription, cycle and meter (`usage`).

    `periods` are rows of `billing_periods` with a column `meter`: what to measure in each. A meter with `carry_over`
    measures all that its customer did until the period's end.
    """
    wanted = periods.join(meters.select("meter", *_MEASURES), on="meter")
    slices = _of_periods(usage_daily, wanted)
    nothing = pl.when(pl.col("aggregation").is_in(OF_NOTHING)).then(pl.lit(0, dtype=QUANTITY))
    usage = wanted.join(combine(slices, _BY), on=_BY, how="left").with_columns(
        # A group of events that were all skipped has no quantity of its own either.
        quantity=rounded(pl.coalesce("quantity", nothing), pl.col("rounding"), pl.col("rounding_to")),
        events=pl.col("events").fill_null(0),
        skipped=pl.col("skipped").fill_null(0),
    )
    return conform(usage, Usage)


def measure_groups(usage_daily: pl.LazyFrame, periods: pl.LazyFrame, meters: pl.LazyFrame) -> pl.LazyFrame:
    """The same quantities split by the groups of the meters that have some (`usage_by_group`), not rounded."""
    wanted = periods.join(meters.select("meter", *_MEASURES), on="meter")
    slices = _of_periods(usage_daily.filter(pl.col("group_json") != NO_GROUPS), wanted)
    found = combine(slices, [*_BY, "group_json"])
    bounds = wanted.select(*_BY, "period_start", "period_end")
    return conform(found.join(bounds, on=_BY), UsageByGroup)


def _of_periods(usage_daily: pl.LazyFrame, wanted: pl.LazyFrame) -> pl.LazyFrame:
    """Daily states with the cycle that they fall into, of each subscription of their customer.

    What is carried over counts in every later cycle as well.
    """
    # An unattributed id may look like a customer's, but is not the customer (rule 1.5).
    known = weighed(usage_daily).filter("attributed")
    measured = wanted.collect()
    once, carried = measured.filter(~pl.col("carry_over")), measured.filter("carry_over")
    recent = known.filter(pl.col("date") >= pl.lit(once["period_start"].dt.date().min(), pl.Date))
    within = recent.join(_cycles_of_slices(recent, once.lazy()), on=["customer_id", "slice_start"]).join(
        once.lazy(), on=_BY
    )
    if carried.is_empty():
        return within
    until = known.join(carried.lazy(), on=["customer_id", "meter"]).filter(pl.col("slice_start") < pl.col("period_end"))
    return pl.concat([within, until], how="diagonal")


def _cycles_of_slices(states: pl.LazyFrame, wanted: pl.LazyFrame) -> pl.LazyFrame:
    """The cycle that a customer's slice falls into, of each subscription: customer_id, slice_start, and the cycle.

    A slice lies in one cycle of a subscription, which is looked up: to join all slices with all cycles would take the
    square of a long history.
    """
    cycles = wanted.select("subscription_id", "customer_id", "cycle", "period_start", "period_end").unique()
    found = (
        states.select("customer_id", "slice_start")
        .unique()
        .join(cycles.select("customer_id", "subscription_id").unique(), on="customer_id")
        .sort("slice_start")
        .join_asof(
            cycles.drop("customer_id").sort("period_start"),
            left_on="slice_start",
            right_on="period_start",
            by="subscription_id",
            check_sortedness=False,
        )
        .filter(pl.col("slice_start") < pl.col("period_end"))
    )
    return found.select("customer_id", "slice_start", "subscription_id", "cycle").collect(engine="streaming").lazy()


def property_names(meter: Meter) -> Iterator[str]:
    """The properties that a meter reads."""
    yield from meter.group_by
    for version in meter.versions():
        if version.aggregation.property is not None:
            yield version.aggregation.property
        yield from _filter_names(version.rule)


def _filter_names(rule: Filter) -> Iterator[str]:
    for part in rule.clauses:
        if isinstance(part, Filter):
            yield from _filter_names(part)
        else:
            yield part.property
