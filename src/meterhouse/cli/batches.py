"""`export` and `audit`: what leaves the warehouse, and the proof of what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meterhouse.cli.render import Column, console, counted, hints, print_json, quantity, safe, show_rows
from meterhouse.cli.session import AsJson, read_month, session_of
from meterhouse.errors import AuditFailed

if TYPE_CHECKING:
    from meterhouse.auditing import Finding
    from meterhouse.exports import Batch

ToOption = Annotated[
    Path | None,
    typer.Option(
        "--to", metavar="FOLDER", help="Where batches go. Default: `exports` in the project.", show_default=False
    ),
]
MonthsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--month", parser=read_month, metavar="YYYY-MM", help="Only this month of issue; may be repeated. Default: all."
    ),
]
ExamplesOption = Annotated[
    int, typer.Option("--examples", metavar="ROWS", min=0, help="Most repeats to show of each kind.")
]
ExplainOption = Annotated[bool, typer.Option("--explain", help="Say of each check what holds where it agrees.")]


def export(context: typer.Context, *, to: ToOption = None, month: MonthsOption = None, as_json: AsJson = False) -> None:
    """Write final invoices as files, a batch a month.

    A batch is CSV and Parquet, with control totals and checksums. It never changes: exporting again gives the same.
    """
    from meterhouse.exports import export as export_months

    session = session_of(context)
    project = session.project()
    warehouse = session.warehouse(project)
    folder = to or project.root / "exports"
    with warehouse.lock():
        batches = export_months(warehouse, project.settings.name, folder, month or None)
    if as_json:
        print_json({"folder": str(folder), "batches": [_batch_json(batch) for batch in batches]})
        return
    if not batches:
        console().print("Nothing to export: no invoice is final yet. " + session.command("status"), soft_wrap=True)
        return
    columns = [Column("Month", keep=True), Column("Batch", keep=True), Column("Folder"), Column("")]
    show_rows(
        columns, [[b.month, b.batch_id, str(b.folder), "new" if b.is_new else "as before"] for b in batches], None
    )
    hints([(f"cat {batches[-1].folder / 'manifest.json'}", "control totals and checksums of the newest")])


def _batch_json(batch: Batch) -> dict[str, Any]:
    return {"month": batch.month, "batch_id": batch.batch_id, "folder": str(batch.folder), "is_new": batch.is_new}


audit_app = typer.Typer(name="audit")


@audit_app.callback(invoke_without_command=True)
def audit(context: typer.Context, *, explain: ExplainOption = False, as_json: AsJson = False) -> None:
    """Compute everything again in DuckDB and compare.

    Ends with exit code 6 where a check finds a difference.
    """
    if context.invoked_subcommand is not None:
        return
    from meterhouse.auditing import audit as audit_warehouse

    session = session_of(context)
    project = session.project()
    warehouse = session.warehouse(project)
    holder = warehouse.holder()
    with console(err=True).status("Computing everything again in DuckDB ..."):
        settings = project.settings
        findings = audit_warehouse(warehouse, settings.rounding, dedupe_window_days=settings.dedupe_window_days)
    holder = holder or warehouse.holder()
    failed = [finding for finding in findings if not finding.passed]
    if as_json:
        checks = [_finding_json(finding) for finding in findings]
        print_json({"passed": not failed, "held_by": holder, "checks": checks})
    else:
        _show_findings(findings, explain=explain)
        if holder is not None:
            console().print(
                f"\nThe warehouse is held by {holder}: what differs may be work in progress.", style="yellow"
            )
    if failed:
        names = ", ".join(finding.check for finding in failed)
        message = (
            f"{counted(len(failed), 'check')} found differences: {names}. Begin with the first: checks stand in the "
            "order in which numbers are made. Run again; if it stays, bill nothing from this warehouse and report it."
        )
        if holder is not None:
            message = f"The warehouse is held by {holder}: wait until that run ends, then audit again. {message}"
        if as_json:
            # The checks are the one document on stdout.
            session.as_json = False
        raise AuditFailed(message)


@audit_app.command("duplicates")
def duplicates(
    context: typer.Context, *, explain: ExplainOption = False, examples: ExamplesOption = 5, as_json: AsJson = False
) -> None:
    """Look for events that may be one, over all history.

    One id that is there twice, and events that are alike but for their ids. Ends with exit code 6 where an id is there
    twice; what is only alike is told, as it may well have happened twice.
    """
    from meterhouse.auditing import find_repeats

    session = session_of(context)
    warehouse = session.warehouse(session.project())
    with console(err=True).status("Comparing all events ..."):
        findings = find_repeats(warehouse, examples)
    failed = [finding for finding in findings if not finding.passed]
    if as_json:
        print_json({"passed": not failed, "checks": [_finding_json(finding) for finding in findings]})
    else:
        compared = counted(findings[0].compared, "event")
        _show_findings(findings, explain=explain, agreed=f"No id is there twice among {compared}.")
    if failed:
        if as_json:
            # The checks are the one document on stdout.
            session.as_json = False
        ids = counted(failed[0].differing, "id is", "ids are")
        message = (
            f"{ids} there more than once, and counted as often. Void them and send the events again under new ids; "
            "a longer `dedupe_window_days`, or none, finds such resends when they land."
        )
        raise AuditFailed(message)


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "passed": finding.passed,
        "verdict": finding.verdict,
        "is_notice": finding.is_notice,
        "compared": finding.compared,
        "differing": finding.differing,
        "says": finding.says,
        "examples": finding.examples,
    }


def _show_findings(findings: list[Finding], *, explain: bool, agreed: str | None = None) -> None:
    screen = console()
    columns = [
        Column("Check", keep=True),
        Column("Compared", number=True),
        Column("Differing", number=True),
        Column("", keep=True),
        Column("What holds"),
    ]
    show_rows(
        columns,
        [
            [f.check, quantity(f.compared), quantity(f.differing), f.verdict, f.says if explain else ""]
            for f in findings
        ],
        None,
    )
    for finding in findings:
        if finding.differing:
            screen.print(f"\n{finding.check}", style="bold")
            screen.print(finding.says)
            for example in finding.examples:
                values = ", ".join(f"{name} {value}" for name, value in example.items())
                screen.print(f"  but: {safe(values)}", soft_wrap=True)
    if all(finding.passed for finding in findings):
        total = sum(finding.compared for finding in findings)
        told = agreed or f"Both engines agree: {counted(total, 'number')} compared."
        screen.print(f"\n{told}", style="green")
