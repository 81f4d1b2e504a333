"""Definitions and daily usage."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from meterhouse.planning import check_meters, clock_after, define, meter
from meterhouse_pipelines.partitions import at_once, keys_of
from meterhouse_pipelines.reporting import (
    POOL,
    LoggedProgress,
    Watch,
    count_days,
    note_other_days,
    rows_by_day,
    stored_metadata,
    table_of,
    table_spec,
)
from meterhouse_pipelines.resources import ProjectFolder

_DEFINITIONS = (
    "meters",
    "meter_versions",
    "products",
    "fixed_prices",
    "metered_prices",
    "tiers",
    "benefits",
    "customers",
    "subscriptions",
    "rejected_rows",
)


@dg.multi_asset(specs=[table_spec(table, "definitions") for table in _DEFINITIONS], backfill_policy=at_once, pool=POOL)
def definitions(project: ProjectFolder) -> Iterator[dg.MaterializeResult[None]]:
    """Store catalog, customers and subscriptions as the project's files say them now."""
    watch = Watch()
    with project.writing() as (files, warehouse):
        before = warehouse.versions()
        define(files, warehouse, project.clock())
        for table in _DEFINITIONS:
            changed = dg.MetadataValue.bool(warehouse.version(table) != before.get(table))
            found = stored_metadata(warehouse, table, watch)
            yield dg.MaterializeResult(asset_key=table, metadata=found | {"changed": changed})


@dg.asset_check(asset="rejected_rows")
def no_row_rejected(project: ProjectFolder) -> dg.AssetCheckResult:
    """Every row of customers and subscriptions can be used; a rejected subscription is not billed."""
    rejected = project.warehouse().scan("rejected_rows").select("path", "row", "explanation").collect()
    return dg.AssetCheckResult(
        passed=rejected.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{rejected.height:,} rows rejected.",
        metadata={"rows": rejected.height, "rejected": table_of(rejected)} if rejected.height else {"rows": 0},
    )


_SPEC = table_spec("usage_daily", "usage", ["events", "meters", "customers", "subscriptions"], daily=True)


@dg.multi_asset(specs=[_SPEC], backfill_policy=at_once, pool=POOL)
def metering(context: dg.AssetExecutionContext, project: ProjectFolder) -> dg.MaterializeResult[None]:
    """Meter every stale day until the last day of the run; the others are left alone.

    Days before the run's are looked at too, as late events make them stale.
    """
    watch = Watch()
    keys = keys_of(context)
    with project.writing() as (files, warehouse):
        metered = meter(files, warehouse, clock_after(keys[-1]), LoggedProgress(context.log))
        states = warehouse.scan("usage_daily")
        rows = rows_by_day(states, pl.col("date"))
        count_days(context, "usage_daily", keys, rows)
        note_other_days(context, "usage_daily", keys, {day: rows.get(day, 0) for day in metered})
        by_meter = states.filter(pl.col("date").is_between(keys[0], keys[-1])).group_by("meter")
        found = by_meter.agg(pl.col("events", "skipped").sum(), pl.col("customer_id").n_unique().alias("customers"))
        return dg.MaterializeResult(
            metadata=stored_metadata(warehouse, "usage_daily", watch)
            | {
                "days_metered": dg.MetadataValue.int(len(metered)),
                "which_days": dg.MetadataValue.text(", ".join(str(day) for day in metered) or "none"),
                "meters": table_of(found.sort("meter").collect()),
            }
        )


@dg.asset_check(asset="usage_daily")
def meters_fit_events(project: ProjectFolder) -> dg.AssetCheckResult:
    """Every meter finds the events, properties and types that it names; as `meterhouse meter check` says it."""
    findings = check_meters(project.read().catalog, project.warehouse())
    wrong = [finding for finding in findings if not finding.is_notice]
    rows = pl.DataFrame([{"meter": found.meter, "kind": found.kind, "says": found.says} for found in findings])
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len({finding.meter for finding in wrong}):,} meters do not measure what the catalog says.",
        metadata={"findings": table_of(rows)} if findings else {},
    )
