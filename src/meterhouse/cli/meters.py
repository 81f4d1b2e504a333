"""`meter preview`, `check` and `versions`: what meters would measure, what is odd, and what they measured before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meterhouse.cli.reading import customer_id_of
from meterhouse.cli.render import Column, console, counted, hints, instant_cell, print_json, show_rows
from meterhouse.cli.session import AsJson, CustomerOption, Limit, MeterOption, rows_to_show, session_of
from meterhouse.cli.usage import FromOption, ThroughOption, refuse_no_days
from meterhouse.errors import ProjectError

if TYPE_CHECKING:
    from meterhouse.catalog import Meter, Project
    from meterhouse.planning import MeterFinding

app = typer.Typer(name="meter", help="Try meters on the landed events; writes nothing.", no_args_is_help=True)


@app.command("preview")
def preview(
    context: typer.Context,
    file_or_name: Annotated[
        str, typer.Argument(metavar="FILE_OR_NAME", help="A YAML file with meters, or a meter of the catalog.")
    ],
    *,
    meter: MeterOption = None,
    customer: CustomerOption = None,
    first: FromOption = None,
    through: ThroughOption = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Show what a meter measures before it is saved.

    The events that it matches, values that do not count and why, quantities by day and customer; and where the last run
    measured another definition of this name, the difference. A file holds `meters:` as the catalog does, or one meter.
    """
    from meterhouse.cli.meter import EXAMPLES, preview_json, show_preview
    from meterhouse.planning import Asked
    from meterhouse.planning import preview as previewed

    refuse_no_days(first, through)
    session = session_of(context)
    project = session.project()
    warehouse = session.warehouse(project)
    asked = Asked(first, through, None if customer is None else customer_id_of(warehouse, customer))
    meters = _named(project, file_or_name, meter)
    found = {name: previewed(project, warehouse, name, held, asked, limit or EXAMPLES) for name, held in meters.items()}
    if as_json:
        print_json({"previews": [preview_json(name, meters[name], shown, limit) for name, shown in found.items()]})
        return
    for place, (name, shown) in enumerate(found.items()):
        if place:
            console().print()
        show_preview(name, meters[name], shown, asked, limit)
    hints([(session.command("meter check"), "what is odd about the meters of the catalog")])


@app.command("check")
def check(context: typer.Context, *, meter: MeterOption = None, as_json: AsJson = False) -> None:
    """Compare the catalog's meters with the landed events.

    Finds names that no event has, types that never match, filters that match nothing, values that never count, and
    meters without a price. Ends with exit code 2 where a meter cannot measure what it says.
    """
    from meterhouse.planning import check_meters

    session = session_of(context)
    project = session.project()
    warehouse = session.warehouse(project)
    if meter is not None:
        _known(project, meter)
    findings = check_meters(project.catalog, warehouse, meter)
    checked = 1 if meter is not None else len(project.catalog.meters)
    wrong = sorted({finding.meter for finding in findings if not finding.is_notice})
    if as_json:
        print_json({"passed": not wrong, "checked": checked, "findings": [_finding_json(found) for found in findings]})
    else:
        _show_findings(findings, checked)
    if wrong:
        if as_json:
            # The findings are the one document on stdout.
            session.as_json = False
        have = "does" if len(wrong) == 1 else "do"
        message = (
            f"{counted(len(wrong), 'meter')} of {checked:,} {have} not measure what the catalog says: "
            f"{', '.join(wrong)}. Mend the meters or what senders send; where the events are yet to come, all is well."
        )
        raise ProjectError(message)


@app.command("versions")
def versions(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="METER", help="A meter, also one that the catalog has no more.")],
    *,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """List what a meter measures and ever measured.

    A definition that changes at an instant has a row for each stretch of time (rule 2.5). First used is the clock of
    the first run that had the definition.
    """
    import polars as pl

    session = session_of(context)
    warehouse = session.warehouse(session.project())
    current = warehouse.scan("meters").select("meter", "definition", holds=pl.lit(value=True))
    kept = warehouse.scan("meter_versions").filter(pl.col("meter") == name)
    found = kept.join(current, on=["meter", "definition"], how="left").with_columns(
        pl.col("holds").fill_null(value=False)
    )
    rows = (
        found.sort("holds", "first_used_at", "definition", "version", descending=[True, True, False, False])
        .collect()
        .to_dicts()
    )
    shown = rows_to_show(limit, as_json=as_json)
    if as_json:
        print_json({"meter": name, "rows": len(rows), "versions": rows[:shown]})
        return
    if not rows:
        known = warehouse.scan("meter_versions").select(pl.col("meter").unique().sort()).collect()["meter"]
        message = f"No run ever measured a meter '{name}'. Measured were: {', '.join(known) or 'none'}."
        raise ProjectError(message)
    headings = ("Definition", "First used", "From", "Until", "Aggregation", "Property", "Group by", "Filter", "")
    show_rows([Column(heading) for heading in headings], [_version_cells(row) for row in rows], shown)


def _version_cells(row: dict[str, Any]) -> list[str]:
    from meterhouse.catalog import filter_words, read_filter

    since, until = (instant_cell(row[bound]) if row[bound] else "" for bound in ("valid_from", "valid_until"))
    groups = ", ".join(json.loads(row["group_by_json"]))
    state = "holds" if row["holds"] else "replaced"
    words = filter_words(read_filter(row["filter_json"]))
    used = f"{row['first_used_at']:%Y-%m-%d}"
    aggregation, held = row["aggregation"], row["property"] or ""
    return [row["definition"], used, since, until, aggregation, held, groups, words, state]


def _named(project: Project, file_or_name: str, meter: str | None) -> dict[str, Meter]:
    """The meters of a file, or one of the catalog."""
    path = Path(file_or_name)
    if file_or_name in project.catalog.meters and not path.is_file():
        return {file_or_name: project.catalog.meters[file_or_name]}
    if path.suffix not in (".yaml", ".yml") and not path.is_file():
        return {file_or_name: _known(project, file_or_name)}
    from meterhouse.catalog import read_meters

    meters = read_meters(path)
    if meter is None:
        return meters
    if meter not in meters:
        message = f"{path}: there is no meter '{meter}'. Its meters: {', '.join(meters)}."
        raise ProjectError(message)
    return {meter: meters[meter]}


def _known(project: Project, name: str) -> Meter:
    from meterhouse.catalog.faults import near_to

    meters = project.catalog.meters
    if name not in meters:
        near = near_to(name, meters)
        meant = f" Did you mean {near}?" if near else ""
        message = (
            f"There is no meter '{name}' in the catalog, and no such file.{meant} "
            f"Known meters: {', '.join(sorted(meters)) or 'none'}."
        )
        raise ProjectError(message)
    return meters[name]


def _finding_json(finding: MeterFinding) -> dict[str, Any]:
    return {"meter": finding.meter, "kind": finding.kind, "is_notice": finding.is_notice, "says": finding.says}


def _show_findings(findings: list[MeterFinding], checked: int) -> None:
    screen = console()
    if not findings:
        screen.print(f"Nothing odd about {counted(checked, 'meter')}.", style="green")
        return
    columns = [Column("Meter"), Column("", keep=True), Column("What is odd")]
    rows = [[found.meter, "notice" if found.is_notice else "WRONG", found.says] for found in findings]
    show_rows(columns, rows, None)
