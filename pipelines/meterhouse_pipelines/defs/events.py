"""Landing: files into events, and what was set aside."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl

from meterhouse.landing import LandingReport
from meterhouse.planning import land
from meterhouse_pipelines import audits
from meterhouse_pipelines.partitions import at_once, keys_of
from meterhouse_pipelines.reporting import (
    POOL,
    LoggedProgress,
    Watch,
    count_days,
    note_other_days,
    rows_by_day,
    selected,
    stored_metadata,
    table_of,
    table_spec,
)
from meterhouse_pipelines.resources import ProjectFolder

_GROUP = "landing"
_SET_ASIDE = [
    table_spec(table, _GROUP, ["landed_files"])
    for table in (
        "rejected_events",
        "event_duplicates",
        "event_conflicts",
        "voids",
        "voided_events",
        "retried_records",
        "files_read_again",
        "untyped_properties",
    )
]
_COUNTS = ("records", "events", "rejected", "duplicates", "conflicts", "voids", "rounded_numbers")


@dg.multi_asset(specs=[table_spec("landed_files", _GROUP), *_SET_ASIDE], backfill_policy=at_once, pool=POOL)
def landing(context: dg.AssetExecutionContext, project: ProjectFolder) -> Iterator[dg.MaterializeResult[None]]:
    """Land every file that was not landed before, whatever days its events are of."""
    watch = Watch()
    with project.writing() as (definitions, warehouse):
        report = land(definitions, warehouse, project.clock(), LoggedProgress(context.log))
        for table in selected(context):
            found = stored_metadata(warehouse, table, watch)
            yield dg.MaterializeResult(asset_key=table, metadata=found | _landed(report))


@dg.multi_asset(
    name="events_by_day",
    specs=[table_spec("events", _GROUP, ["landed_files"], daily=True)],
    backfill_policy=at_once,
    pool=POOL,
)
def events(context: dg.AssetExecutionContext, project: ProjectFolder) -> dg.MaterializeResult[None]:
    """Show what was landed, by the day of the events; landing itself knows no days, as a file may hold any."""
    watch = Watch()
    keys = keys_of(context)
    warehouse = project.warehouse()
    last = warehouse.scan("landed_files").filter(pl.col("landed_at") == pl.col("landed_at").max()).select("file_id")
    stored = warehouse.scan("events").select("date", "file_id")
    rows = rows_by_day(stored, pl.col("date"))
    touched = rows_by_day(stored.join(last, on="file_id", how="semi"), pl.col("date"))
    count_days(context, "events", keys, rows)
    note_other_days(context, "events", keys, {day: rows[day] for day in touched})
    return dg.MaterializeResult(metadata=stored_metadata(warehouse, "events", watch))


def _landed(report: LandingReport) -> dict[str, dg.MetadataValue]:
    """What this landing did, the same for each of its tables."""
    counted = {f"new_{name}": dg.MetadataValue.int(int(report.files[name].sum())) for name in _COUNTS}
    problems = "\n".join(f"- {problem.name}: {problem.explanation}" for problem in report.problems)
    return {
        "new_files": dg.MetadataValue.int(report.files.height),
        "files_landed_before": dg.MetadataValue.int(report.seen_before),
        **counted,
        **({"not_files_of_events": dg.MetadataValue.md(problems)} if problems else {}),
    }


@dg.multi_asset_check(
    specs=[audits.audit_spec(check, asset, blocking=True) for check, asset in audits.LANDING.items()],
    can_subset=True,
    compute_kind="duckdb",
)
def audit_landing(context: dg.AssetCheckExecutionContext, project: ProjectFolder) -> Iterator[dg.AssetCheckResult]:
    """Compare what was landed with what is stored, before it is metered."""
    # No check of them looks at usage, and with this clock the audit does not measure any.
    before_all_usage = datetime(1970, 1, 1, tzinfo=UTC)
    asked = {key.name for key in context.selected_asset_check_keys}
    found = audits.results(audits.find(project, audits.LANDING, before_all_usage), audits.LANDING)
    yield from (result for result in found if result.check_name in asked)


@dg.asset_check(asset="events")
def yesterday_has_events(project: ProjectFolder) -> dg.AssetCheckResult:
    """There are events of yesterday (UTC). If not, senders may have stopped, or files do not arrive."""
    yesterday = project.clock().astimezone(UTC).date() - timedelta(days=1)
    dates = project.warehouse().scan("events").select("date")
    newest = dates.select(pl.col("date").max()).collect().item()
    rows = rows_by_day(dates, pl.col("date")).get(yesterday, 0)
    return dg.AssetCheckResult(
        passed=rows > 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{rows:,} events on {yesterday}; newest day with events: {newest or 'none'}.",
        metadata={"yesterday": yesterday.isoformat(), "events": rows, "newest_day": str(newest or "none")},
    )


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "nothing_rejected",
            asset="rejected_events",
            description="The last landing refused no record. The table says of each what was wrong and how to mend it.",
        ),
        dg.AssetCheckSpec(
            "nothing_in_conflict",
            asset="event_conflicts",
            description="The last landing met no event with the id of another one and other content.",
        ),
    ],
    can_subset=True,
)
def nothing_set_aside(context: dg.AssetCheckExecutionContext, project: ProjectFolder) -> Iterator[dg.AssetCheckResult]:
    """Warn of records of the last landing that were set aside, with the reasons."""
    warehouse = project.warehouse()
    last = warehouse.scan("landed_files").select(pl.col("landed_at").max()).collect().item()
    for key in sorted(context.selected_asset_check_keys):
        table, name = key.asset_key.to_user_string(), key.name
        rows = warehouse.scan(table).filter(pl.col("landed_at") == last)
        reasons = rows.group_by("reason").len("rows").sort("rows", "reason", descending=[True, False]).collect()
        count = int(reasons["rows"].sum())
        yield dg.AssetCheckResult(
            asset_key=table,
            check_name=name,
            passed=count == 0,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{count:,} of the last landing.",
            metadata={"rows": count, "reasons": table_of(reasons)} if count else {"rows": 0},
        )
