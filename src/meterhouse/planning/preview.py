"""What a meter would measure, before it is saved: nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.catalog.rows import meter_rows
from meterhouse.metering import (
    EventProperties,
    attribute,
    combine,
    matches,
    measure_daily,
    of_days,
    skip_reason,
    value_of,
)
from meterhouse.planning.definitions import read_definitions
from meterhouse.planning.events import counting_events
from meterhouse.planning.meter_check import MeterFinding, compare_meters
from meterhouse.planning.ranges import told_where
from meterhouse.planning.untyped import with_properties_of
from meterhouse.tables import UsageDaily, empty

if TYPE_CHECKING:
    from datetime import date

    from meterhouse.catalog import Meter, Project
    from meterhouse.catalog.meters import MeterVersion
    from meterhouse.warehouse import Warehouse

_CUSTOMER: Final = ["customer_id", "attributed"]
_EXAMPLE: Final = ("event_id", "name", "timestamp", "customer_id", "attributed", "value", "metadata")


@dataclass(frozen=True)
class Asked:
    """Which events a preview looks at: days (both included) and one customer, or all."""

    first: date | None = None
    through: date | None = None
    customer_id: str | None = None

    def days(self) -> pl.Expr:
        """The condition on `date`."""
        after = pl.lit(value=True) if self.first is None else pl.col("date") >= self.first
        before = pl.lit(value=True) if self.through is None else pl.col("date") <= self.through
        return after & before

    def customers(self) -> pl.Expr:
        """The condition on `customer_id`."""
        return pl.lit(value=True) if self.customer_id is None else pl.col("customer_id") == self.customer_id


@dataclass(frozen=True)
class Preview:
    """What a meter would measure.

    `skipped` has a row per reason with an example; `total` has at most a row for what is attributed and one for what is
    not. The differences are to what the last run measured by another definition of this name, None where there is none.
    """

    unit: str
    events: int
    matched: int
    skipped: pl.DataFrame
    total: pl.DataFrame
    by_day: pl.DataFrame
    by_customer: pl.DataFrame
    by_group: pl.DataFrame
    examples: pl.DataFrame
    odd: list[MeterFinding]
    change: Change | None


@dataclass(frozen=True)
class Change:
    """Quantities before and after, on the days that the last run had metered; rows that do not change are left out."""

    total: pl.DataFrame
    by_day: pl.DataFrame
    by_customer: pl.DataFrame


def preview(
    project: Project, warehouse: Warehouse, name: str, meter: Meter, asked: Asked, examples: int = 5
) -> Preview:
    """Measure the landed events with a meter that need not be in the catalog, by the catalog's customers."""
    definitions = read_definitions(project, warehouse)
    customers, subscriptions = (definitions[table].lazy() for table in ("customers", "subscriptions"))
    events = with_properties_of([meter], counting_events(warehouse, asked.days()), warehouse)
    properties = EventProperties(events.collect_schema().names())
    known = attribute(events, customers, subscriptions).filter(asked.customers())
    matched = pl.concat([_matched(known, version, properties) for version in meter.versions()])
    with told_where(f"previewing '{name}'"):
        states = measure_daily(events, {name: meter}, customers, subscriptions, _no_cuts()).filter(asked.customers())
        measured = states.collect().lazy()
        rows = meter_rows({name: meter})
        return Preview(
            unit=rows["unit"][0],
            events=_height(known),
            matched=_height(matched),
            skipped=_skipped(matched),
            total=_quantities(measured, rows, ["attributed"]).sort("attributed", descending=True),
            by_day=_quantities(measured, rows, ["date"]).sort("date"),
            by_customer=_by_customer(measured, rows, customers),
            by_group=_largest(_quantities(measured, rows, ["group_json"]), ["group_json"]),
            examples=_first_events(matched, examples),
            odd=compare_meters({name: meter}, warehouse),
            change=_change(warehouse, name, measured, rows, asked),
        )


def _no_cuts() -> pl.LazyFrame:
    return empty(UsageDaily).select("customer_id", "date", "slice_start")


def _height(rows: pl.LazyFrame) -> int:
    return int(rows.select(pl.len()).collect(engine="streaming").item())


def _first_events(matched: pl.LazyFrame, most: int) -> pl.DataFrame:
    """The earliest events. When they were comes first: all metadata is more than should be read for a few events."""
    instants = matched.select("timestamp").bottom_k(most, by="timestamp").collect(engine="streaming")["timestamp"]
    early = matched.filter(pl.col("timestamp").is_in(instants.implode()))
    return early.select(_EXAMPLE).sort("timestamp", "event_id").head(most).collect()


def _matched(events: pl.LazyFrame, version: MeterVersion, properties: EventProperties) -> pl.LazyFrame:
    """Events that count while a version holds, with `value`, and `reason`: why there is none where there is none."""
    held = version.aggregation.property
    since = pl.lit(value=True) if version.since is None else pl.col("timestamp") >= version.since
    until = pl.lit(value=True) if version.until is None else pl.col("timestamp") < version.until
    return events.filter(since, until, matches(version.rule, properties)).with_columns(
        value=value_of(version.aggregation, properties),
        reason=pl.lit("missing") if held is None else skip_reason(held, properties),
    )


def _skipped(matched: pl.LazyFrame) -> pl.DataFrame:
    """Reasons, the most frequent first: `reason, events, event_id, metadata`, the last two of the earliest event."""
    earliest = [pl.col(name).sort_by("timestamp", "event_id").first() for name in ("event_id", "metadata")]
    without = matched.filter(pl.col("value").is_null())
    counted = without.group_by("reason").agg(pl.len().alias("events"), *earliest)
    return counted.sort("events", "reason", descending=[True, False]).collect()


def _quantities(states: pl.LazyFrame, meters: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """`by`, quantity, events, skipped."""
    day = pl.col("date")
    days = (day, day) if "date" in by else (day.min(), day.max())
    return combine(of_days(states, meters.lazy(), *days), by).collect()


def _by_customer(states: pl.LazyFrame, meters: pl.DataFrame, customers: pl.LazyFrame) -> pl.DataFrame:
    """The largest first, with names and external ids where the customer is known."""
    named = customers.select("customer_id", "external_id", customer="name", attributed=pl.lit(value=True)).collect()
    return _largest(_quantities(states, meters, _CUSTOMER).join(named, on=_CUSTOMER, how="left"), _CUSTOMER)


def _largest(found: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """The largest quantity first."""
    return found.sort("quantity", *by, descending=[True, *(False for _ in by)], nulls_last=True)


def _change(warehouse: Warehouse, name: str, after: pl.LazyFrame, rows: pl.DataFrame, asked: Asked) -> Change | None:
    before_rows = warehouse.scan("meters").filter(pl.col("meter") == name).collect()
    if before_rows.is_empty() or before_rows["definition"].equals(rows["definition"]):
        return None
    last_run = warehouse.scan("runs").select(pl.col("as_of").max()).collect().item()
    measured_days = pl.lit(value=False) if last_run is None else pl.col("date") < last_run.date()
    stored = warehouse.scan("usage_daily").filter(pl.col("meter") == name, asked.days(), asked.customers())

    def differing(by: list[str]) -> pl.DataFrame:
        return _differing(
            _quantities(stored.filter(measured_days), before_rows, by),
            _quantities(after.filter(measured_days), rows, by),
            by,
        )

    return Change(total=differing(["attributed"]), by_day=differing(["date"]), by_customer=differing(_CUSTOMER))


def _differing(before: pl.DataFrame, after: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """`by`, before, after, difference: of groups that no meter measured the quantity is null, and counts as 0."""
    both = before.select(*by, before="quantity").join(
        after.select(*by, after="quantity"), on=by, how="full", coalesce=True
    )
    difference = pl.col("after").fill_null(0) - pl.col("before").fill_null(0)
    changed = both.with_columns(difference=difference).filter(pl.col("before").ne_missing(pl.col("after")))
    return changed.sort(pl.col("difference").abs(), *by, descending=[True, *(False for _ in by)])
