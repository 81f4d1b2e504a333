"""`run` and `land`: the work itself, with what came out on one screen."""

from __future__ import annotations

import shlex
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meterhouse.cli.attention import (
    needing_attention,
    show_attention,
    show_left_alone,
    show_unreadable,
    unreadable_files,
)
from meterhouse.cli.render import amounts, console, counted, hints, instant_text, money, print_json, safe, show_some
from meterhouse.cli.screen import progress
from meterhouse.cli.session import AsJson, LandedAt, Session, read_day, session_of

if TYPE_CHECKING:
    from meterhouse.landing import LandingReport, RetryReport
    from meterhouse.planning import RunReport, Summary

_LABEL = 11
"""How wide the names are that lines begin with."""

_COUNTS = ("records", "events", "rejected", "duplicates", "conflicts", "voids", "rounded_numbers")
_SET_ASIDE = {"rejected": ("rejected", "rejected"), "duplicates": ("duplicate",), "conflicts": ("conflict",)}

Through = Annotated[
    date | None,
    typer.Option("--through", parser=read_day, metavar="DATE", help="Last day (UTC) that counts. Default: yesterday."),
]


RetryOption = Annotated[
    bool,
    typer.Option("--retry-rejected", help="Then read the refused records again, under the settings of today."),
]


def land(
    context: typer.Context, *, retry_rejected: RetryOption = False, landed_at: LandedAt = None, as_json: AsJson = False
) -> None:
    """Read new event files, and bill nothing."""
    from meterhouse.planning import land as land_files
    from meterhouse.planning import retry
    from meterhouse.warehouse import Warehouse, recover

    session = session_of(context)
    project = session.project()
    warehouse = Warehouse(str(project.warehouse))
    with progress() as shown, warehouse.lock():
        recover(warehouse)
        clock = landed_at or datetime.now(UTC)
        report = land_files(project, warehouse, clock, shown)
        retried = retry(project, warehouse, clock, shown) if retry_rejected else None
    broken = unreadable_files(warehouse, report.files["file_id"])
    if as_json:
        document = {"landing": _landing_json(report, broken)}
        print_json(document if retried is None else document | {"retried": _retry_json(retried)})
        return
    _show_landing(report, broken, session)
    if retried is not None:
        _show_retry(retried, session)
    show_unreadable(broken, _LABEL, session)
    hints(
        [(session.command("run"), "meter and bill what has landed"), (session.command("status"), "the whole project")]
    )


def run(
    context: typer.Context, *, through: Through = None, landed_at: LandedAt = None, as_json: AsJson = False
) -> None:
    """Land, meter and bill everything through a day.

    Running again with nothing new changes nothing; a run that was cut off is finished by the next.
    """
    from meterhouse.planning import run as run_all
    from meterhouse.warehouse import Warehouse

    session = session_of(context)
    now = datetime.now(UTC)
    day = _over(through, now)
    project = session.project()
    with progress() as shown:
        report = run_all(project, day, landed_at or now, shown)
    files, days = report.landing.files["file_id"], report.days_metered
    found = needing_attention(Warehouse(str(project.warehouse)), files, days)
    if as_json:
        print_json(_run_json(report, found, day))
        return
    _show_run(report, found, day, session)


def _over(through: date | None, now: datetime) -> date:
    """The day to run through. One that is not over yet would close cycles before their usage is known, for good."""
    yesterday = now.date() - timedelta(days=1)
    if through is not None and through > yesterday:
        message = f"{through} is not over yet, and an invoice is final once it is made. Choose {yesterday} or earlier."
        raise typer.BadParameter(message, param_hint="--through")
    return through or yesterday


def _retry_json(report: RetryReport) -> dict[str, Any]:
    counts = {"outcomes": report.outcomes, "still_refused": report.refused, "file_is_missing": report.missing}
    return {name: {key: count for key, count in sorted(held.items()) if count} for name, held in counts.items()}


def _show_retry(report: RetryReport, session: Session) -> None:
    screen = console()
    told = [counted(report.outcomes[name], name) for name in ("event", "duplicate", "conflict", "void", "file")]
    shown = [text for text in told if not text.startswith("0 ")]
    screen.print(f"Retried    {', '.join(shown) or 'nothing could be used'}")
    if report.refused.total():
        why = session.command("rejects")
        screen.print(
            f"           {counted(report.refused.total(), 'record')} still refused; why: {why}", soft_wrap=True
        )
    for path, records in sorted(report.missing.items()):
        if records:
            told_of = f"{counted(records, 'reject')} of {safe(path)} can be read from the file only: put it back, and"
            screen.print(f"           {told_of} retry", style="yellow", soft_wrap=True)


def _landing_json(report: LandingReport, broken: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "files": report.files.height,
        "files_seen_before": report.seen_before,
        "files_repeated": report.repeated,
        "files_resumed": report.resumed,
        **_totals(report, broken),
        "unreadable": broken,
        "not_files_of_events": [{"path": held.name, "explanation": held.explanation} for held in report.problems],
    }


def _totals(report: LandingReport, broken: list[dict[str, Any]]) -> dict[str, int]:
    """Counts of records. A file that broke off stands among the refused, but is none of its records."""
    total = {name: int(report.files[name].sum()) for name in _COUNTS}
    return total | {name: total[name] - len(broken) for name in ("records", "rejected")}


def _show_landing(report: LandingReport, broken: list[dict[str, Any]], session: Session) -> None:
    screen = console()
    total = _totals(report, broken)
    before = _passed_over(report)
    if report.files.is_empty():
        screen.print(f"Landed     nothing new{before}")
    else:
        files = counted(report.files.height, "file")
        screen.print(
            f"Landed     {files}, {counted(total['records'], 'record')}: {counted(total['events'], 'event')}{before}"
        )
    if report.resumed:
        screen.print(f"Resumed    {counted(report.resumed, 'file')} of them, begun by a landing that was cut off")
    set_aside = [counted(total[name], *words) for name, words in _SET_ASIDE.items() if total[name]]
    if set_aside:
        screen.print(f"Set aside  {', '.join(set_aside)}; why: {session.command('status')}", soft_wrap=True)
    if total["voids"]:
        screen.print(f"Voided     {counted(total['voids'], 'record that takes', 'records that take')} an event back")
    if total["rounded_numbers"]:
        screen.print(f"Rounded    {counted(total['rounded_numbers'], 'number')} with more than 12 places")
    show_left_alone([(problem.name, problem.explanation) for problem in report.problems], _LABEL)


def _passed_over(report: LandingReport) -> str:
    counts = {"landed before": report.seen_before, "with the content of another": report.repeated}
    told = [f"{counted(files, 'file')} {which}" for which, files in counts.items() if files]
    return f" ({', '.join(told)})" if told else ""


def _run_json(report: RunReport, found: dict[str, Any], through: date) -> dict[str, Any]:
    return {
        "through": through,
        "as_of": report.as_of,
        "landing": _landing_json(report.landing, found["unreadable"]),
        "days_metered": report.days_metered,
        "rows_refused": report.rejected_rows.to_dicts(),
        "skipped": found["skipped"],
        "late": found["late"],
        "gone": found["gone"],
        "finalized": _totals_json(report.billing.finalized),
        "drafts": _totals_json(report.billing.drafts),
        "estimates": report.billing.estimates,
    }


def _totals_json(invoices: Summary) -> dict[str, Any]:
    totals = [amounts(minor, currency, "total") for currency, minor in invoices.totals.items()]
    return {"invoices": invoices.invoices, "totals": totals}


def _show_run(report: RunReport, found: dict[str, Any], through: date, session: Session) -> None:
    screen = console()
    screen.print(f"Run through {through}, that is until {instant_text(report.as_of)}\n", style="bold")
    _show_landing(report.landing, found["unreadable"], session)
    screen.print(f"Metered    {counted(len(report.days_metered), 'day')}")
    screen.print(f"Finalized  {_summary(report.billing.finalized)}")
    screen.print(f"Drafts     {_summary(report.billing.drafts)}")
    screen.print(f"Estimates  {counted(report.billing.estimates, 'price')} of cycles that are still open")
    show_attention(found, _LABEL, session)
    refused = report.rejected_rows
    if not refused.is_empty():
        rows = counted(refused.height, "row")
        screen.print(f"Refused    {rows} of customers or subscriptions, so these are not billed:", style="yellow")
        told = [f"{row['path']}, row {row['row']}: {row['explanation']}" for row in refused.iter_rows(named=True)]
        show_some("", list(map(safe, told)), "more row", _LABEL)
    hints(_next(report, session))


def _summary(found: Summary) -> str:
    if not found.invoices:
        return "no invoices"
    totals = ", ".join(f"{money(minor, currency)} {currency}" for currency, minor in found.totals.items())
    return f"{counted(found.invoices, 'invoice')}, {totals}"


def _next(report: RunReport, session: Session) -> list[tuple[str, str]]:
    listed = [(session.command("invoices list"), "all invoices and drafts")]
    shown = report.billing.finalized.largest or report.billing.drafts.largest
    if shown:
        listed.append((session.command(f"invoices show {shlex.quote(shown)}"), "the largest of them, line by line"))
    listed.append((session.command("usage"), "what was used, billed or not"))
    listed.append((session.command("status"), "what came in, what was set aside and why"))
    return listed
