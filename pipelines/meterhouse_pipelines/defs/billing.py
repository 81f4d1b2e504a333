"""Billing: cycles into invoices, and the audit of all that was computed.

Partition D holds what ends with D, the last day of a cycle in UTC. Drafts have no partitions: they are as of now.
"""

from collections.abc import Iterator
from datetime import UTC, date, timedelta
from typing import Final

import dagster as dg
import polars as pl

from meterhouse.auditing import CHECKS, Finding
from meterhouse.money import to_major
from meterhouse.planning import RunReport, run
from meterhouse.warehouse import Warehouse
from meterhouse_pipelines import audits
from meterhouse_pipelines.partitions import at_once, keys_of
from meterhouse_pipelines.reporting import (
    POOL,
    SHOWN_ROWS,
    LoggedProgress,
    Watch,
    count_days,
    rows_by_day,
    selected,
    stored_metadata,
    table_of,
    table_spec,
    totals,
    totals_text,
)
from meterhouse_pipelines.resources import ProjectFolder, told_to_dagster

_GROUP: Final = "billing"
_DRAFTS: Final = "drafts"
_SUMMARY: Final = "audit_passes"
_DRAFT: Final = "Of invoices that are not final yet."

_PRICES: Final = ["products", "fixed_prices", "metered_prices", "tiers"]


@dg.multi_asset(
    specs=[
        table_spec("billing_periods", _GROUP, ["subscriptions"], daily=True),
        table_spec("usage", _GROUP, ["billing_periods", "meters", "usage_daily"], daily=True),
        table_spec("usage_by_group", _GROUP, ["billing_periods", "meters", "usage_daily"], daily=True),
        table_spec("credit_ledger", _GROUP, ["usage", "benefits"], daily=True),
        table_spec("rated_lines", _GROUP, ["usage", "credit_ledger", *_PRICES], daily=True),
        table_spec("invoice_lines", _GROUP, ["rated_lines", "credit_ledger"], daily=True),
        table_spec("invoices", _GROUP, ["invoice_lines"], daily=True),
    ],
    # All are written always; but only so can all assets be launched for a range of days.
    can_subset=True,
    backfill_policy=at_once,
    pool=POOL,
)
def billing(context: dg.AssetExecutionContext, project: ProjectFolder) -> Iterator[dg.MaterializeResult[None]]:
    """Run the library's main job through the last day of the run, and make final what its grace period allows.

    The main job lands, defines and meters what is new since the steps before, so an invoice is never made final from
    stale usage. Its clock does not go back: a run for days that were billed before bills through the latest again.
    """
    watch = Watch()
    keys = keys_of(context)
    warehouse = project.warehouse()
    with told_to_dagster():
        through = keys[-1] if keys else project.clock().astimezone(UTC).date() - timedelta(days=1)
        # It takes the warehouse's lock itself.
        report = run(project.read(), through, project.clock(), LoggedProgress(context.log))
    _report_days(context, keys, warehouse)
    for table in selected(context):
        found = stored_metadata(warehouse, table, watch) | _clock(report) | _amounts(table, keys, warehouse, report)
        yield dg.MaterializeResult(asset_key=table, metadata=found)


def _last_day(end: str) -> pl.Expr:
    """The day of the last instant before a boundary."""
    return (pl.col(end) - pl.duration(microseconds=1)).dt.date()


def _report_days(context: dg.AssetExecutionContext, keys: list[date], warehouse: Warehouse) -> None:
    """Rows of each day, by the boundary that they end at."""
    invoices = warehouse.scan("invoices").select("invoice_id", "issued_at")
    ends = {
        "billing_periods": (warehouse.scan("billing_periods"), "period_end"),
        "usage": (warehouse.scan("usage"), "period_end"),
        "usage_by_group": (warehouse.scan("usage_by_group"), "period_end"),
        "credit_ledger": (warehouse.scan("credit_ledger"), "period_end"),
        "rated_lines": (warehouse.scan("rated_lines").join(invoices, on="invoice_id"), "issued_at"),
        "invoice_lines": (warehouse.scan("invoice_lines").join(invoices, on="invoice_id"), "issued_at"),
        "invoices": (invoices, "issued_at"),
    }
    for table in selected(context):
        rows, end = ends[table]
        count_days(context, table, keys, rows_by_day(rows, _last_day(end)))


def _clock(report: RunReport) -> dict[str, dg.MetadataValue]:
    return {"clock": dg.MetadataValue.text(report.as_of.isoformat())}


def _amounts(table: str, keys: list[date], warehouse: Warehouse, report: RunReport) -> dict[str, dg.MetadataValue]:
    """What there is to say of invoices: totals by currency, and who pays most."""
    if table != "invoices":
        return {}
    invoices = warehouse.scan("invoices")
    of_run = invoices.filter(_last_day("issued_at").is_in(keys))
    return {
        "total_of_all": totals(invoices),
        "total_of_these_days": totals(of_run),
        "total_finalized_by_this_run": totals_text(report.billing.finalized.totals),
        "invoices_finalized_by_this_run": dg.MetadataValue.int(report.billing.finalized.invoices),
        "customers_who_pay_most": table_of(_top_customers(of_run, warehouse)),
    }


def _top_customers(invoices: pl.LazyFrame, warehouse: Warehouse) -> pl.DataFrame:
    names = warehouse.scan("customers").select("customer_id", "name")
    summed = invoices.group_by("customer_id", "currency").agg(pl.len().alias("invoices"), pl.col("total_minor").sum())
    named = summed.join(names, on="customer_id", how="left").sort(
        "total_minor", "customer_id", descending=[True, False]
    )
    top = named.select("customer_id", "name", "currency", "invoices", "total_minor").head(SHOWN_ROWS).collect()
    shown = [to_major(minor, currency) for minor, currency in top.select("total_minor", "currency").iter_rows()]
    return top.drop("total_minor").with_columns(total=pl.Series(shown, dtype=pl.String))


@dg.multi_asset(
    specs=[
        table_spec("draft_credit_entries", _DRAFTS, ["usage", "benefits"], note=_DRAFT),
        table_spec("draft_rated_lines", _DRAFTS, ["usage", "draft_credit_entries", *_PRICES], note=_DRAFT),
        table_spec("draft_invoice_lines", _DRAFTS, ["draft_rated_lines", "draft_credit_entries"], note=_DRAFT),
        # After `invoices`: it is the same run of the main job that writes the drafts, and it must be over.
        table_spec("draft_invoices", _DRAFTS, ["draft_invoice_lines", "invoices"], note=_DRAFT),
        table_spec("estimates", _DRAFTS, ["usage", "draft_credit_entries", *_PRICES], note="What is open now."),
    ],
    backfill_policy=at_once,
)
def drafts(context: dg.AssetExecutionContext, project: ProjectFolder) -> Iterator[dg.MaterializeResult[None]]:
    """Show the drafts and estimates that billing left."""
    watch = Watch()
    warehouse = project.warehouse()
    for table in selected(context):
        found = stored_metadata(warehouse, table, watch)
        shown = {"total": totals(warehouse.scan(table))} if table == "draft_invoices" else {}
        yield dg.MaterializeResult(asset_key=table, metadata=found | shown)


_ASSETS: Final = audits.METERING | audits.BILLING


@dg.multi_asset_check(
    specs=[
        *(audits.audit_spec(check, asset, blocking=False) for check, asset in audits.METERING.items()),
        *(audits.audit_spec(check, asset, blocking=True) for check, asset in audits.BILLING.items()),
        dg.AssetCheckSpec(
            _SUMMARY,
            asset="invoices",
            description="Every check of the audit passes, those of metering among them: nothing is exported otherwise.",
            blocking=True,
        ),
    ],
    can_subset=True,
    compute_kind="duckdb",
)
def audit(context: dg.AssetCheckExecutionContext, project: ProjectFolder) -> Iterator[dg.AssetCheckResult]:
    """Compute everything again in DuckDB and compare it with what is stored."""
    findings = audits.find(project, [check for check in CHECKS if check in _ASSETS])
    found = [*audits.results(findings, _ASSETS), _summary(findings)]
    asked = {key.name for key in context.selected_asset_check_keys}
    yield from (result for result in found if result.check_name in asked)


def _summary(findings: list[Finding]) -> dg.AssetCheckResult:
    failed = [finding.check for finding in findings if not finding.passed]
    return dg.AssetCheckResult(
        asset_key="invoices",
        check_name=_SUMMARY,
        passed=not failed,
        description=f"Differences in: {', '.join(failed)}. Begin with the first." if failed else "No differences.",
        metadata={"compared": sum(finding.compared for finding in findings), "failed": ", ".join(failed) or "none"},
    )
