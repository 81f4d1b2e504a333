"""The library's audit as asset checks: every check on the asset that it speaks of."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import dagster as dg
import polars as pl

from meterhouse.auditing import Finding, audit_tables
from meterhouse.auditing.audit import NOTICES, says
from meterhouse.warehouse import connect
from meterhouse_pipelines.reporting import table_of
from meterhouse_pipelines.resources import ProjectFolder

LANDING: Final = dict.fromkeys(("landed_files", "unfinished_landings", "retried_records", "events", "voids"), "events")
"""Checks that hold before anything is metered, with their assets. All are of events, where they hold metering up."""

METERING: Final = {"events_by_day": "usage_daily", "usage_daily": "usage_daily"}
"""Checks of metering, which need the cycles' boundaries and so hold only after billing."""

BILLING: Final = {
    "usage": "usage",
    "usage_by_group": "usage_by_group",
    "late_usage": "usage",
    "credit_grants": "credit_ledger",
    "credit_entries": "credit_ledger",
    "credit_balances": "credit_ledger",
    "credits_on_lines": "invoice_lines",
    "charges": "invoice_lines",
    "steps": "rated_lines",
    "final_steps": "rated_lines",
    "changed_prices": "invoice_lines",
    "fees": "invoice_lines",
    "lines": "invoice_lines",
    "invoices": "invoices",
    "invoice_numbers": "invoices",
    "invoice_cycles": "invoices",
}
"""Checks of what was billed, with their assets."""


def audit_spec(check: str, asset: str, *, blocking: bool) -> dg.AssetCheckSpec:
    """The asset check of a check of the audit. A notice never blocks."""
    return dg.AssetCheckSpec(
        check_name(check), asset=asset, description=says(check), blocking=blocking and check not in NOTICES
    )


def check_name(check: str) -> str:
    """Checks of the audit are told from others by their names."""
    return f"audit_{check}"


def find(project: ProjectFolder, checks: Iterable[str], as_of: datetime | None = None) -> list[Finding]:
    """Run checks of the audit on the warehouse as it is."""
    with connect(project.warehouse()) as connection:
        settings = project.read().settings
        return audit_tables(
            connection, settings.rounding, as_of, checks, dedupe_window_days=settings.dedupe_window_days
        )


def results(findings: Iterable[Finding], assets: dict[str, str]) -> Iterator[dg.AssetCheckResult]:
    """Findings as Dagster shows them."""
    for finding in findings:
        yield dg.AssetCheckResult(
            asset_key=assets[finding.check],
            check_name=check_name(finding.check),
            passed=finding.differing == 0,
            severity=dg.AssetCheckSeverity.WARN if finding.is_notice else dg.AssetCheckSeverity.ERROR,
            description=f"{finding.differing:,} of {finding.compared:,} differ. {finding.says}",
            metadata={"compared": finding.compared, "differing": finding.differing, **_examples(finding)},
        )


def _examples(finding: Finding) -> dict[str, dg.MetadataValue]:
    return {"examples": table_of(pl.DataFrame(finding.examples))} if finding.examples else {}
