"""`rejects`: records that could not be used, with what was wrong and the record as it was."""

from __future__ import annotations

import csv
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from meterhouse.cli.render import Column, console, counted, hints, print_json, quantity, safe, show_rows
from meterhouse.cli.session import AsJson, Limit, Session, rows_to_show, session_of
from meterhouse.errors import ProjectError

if TYPE_CHECKING:
    import polars as pl

    from meterhouse.warehouse import Warehouse

ReasonOption = Annotated[
    str | None,
    typer.Option("--reason", metavar="REASON", help="The records refused for this reason, such as bad_json."),
]
FileOption = Annotated[
    str | None,
    typer.Option("--file", metavar="PATH", help="The refused records of this file, as the landing zone names it."),
]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print the records as CSV, with a header.")]

_MOST_CHARACTERS: Final = 500
"""Of a record on a screen, which a record of megabytes would flood."""

_MOST_NAMES: Final = 10

_FIELDS: Final = ("path", "position", "reason", "explanation", "record", "file_id", "landed_at")


def rejects(
    context: typer.Context,
    *,
    reason: ReasonOption = None,
    file: FileOption = None,
    limit: Limit = None,
    as_csv: CsvOption = False,
    as_json: AsJson = False,
) -> None:
    """Show refused records that are still open.

    Counts by reason and file; with --reason or --file the records. Long ones are cut on screens: --csv and --json give
    each as it was.
    """
    if as_csv and as_json:
        message = "Choose --csv or --json, not both."
        raise typer.BadParameter(message, param_hint="--csv")
    session = session_of(context)
    warehouse = session.warehouse(session.project())
    wanted = _wanted(warehouse, reason, file)
    counts = _counts(wanted)
    shown = rows_to_show(limit, as_json=as_json or as_csv)
    if as_json:
        print_json(
            {"records": sum(row["records"] for row in counts), "counts": counts, "rejects": _rows(wanted, shown)}
        )
    elif as_csv:
        _write_csv(_rows(wanted, shown))
    elif not counts:
        console().print("No refused records are open.")
    elif reason is None and file is None:
        _show_counts(counts, shown, session)
    else:
        _show_records(_rows(wanted, shown), sum(row["records"] for row in counts), session)


def _wanted(warehouse: Warehouse, reason: str | None, file: str | None) -> pl.LazyFrame:
    import polars as pl

    from meterhouse.planning import open_rejects

    found = open_rejects(warehouse)
    for column, named in (("reason", reason), ("path", file)):
        if named is None:
            continue
        kept = found.filter(pl.col(column) == named)
        if kept.head(1).collect().is_empty():
            known = found.select(pl.col(column).unique().sort()).collect()[column].to_list()
            message = f"No open record was refused with {column} '{named}'. {_there_are(named, known)}"
            raise ProjectError(message)
        found = kept
    return found.select(_FIELDS)


def _there_are(named: str, known: list[str]) -> str:
    from meterhouse.catalog.faults import near_to

    near = near_to(named, known)
    more = f" and {len(known) - _MOST_NAMES:,} more" if len(known) > _MOST_NAMES else ""
    meant = f"Did you mean {near}? " if near else ""
    return f"{meant}There are: {', '.join(known[:_MOST_NAMES]) or 'none'}{more}."


def _counts(wanted: pl.LazyFrame) -> list[dict[str, Any]]:
    import polars as pl

    counted_by = wanted.group_by("reason", "path").agg(
        records=pl.len(), first=pl.col("position").min(), last=pl.col("position").max()
    )
    return counted_by.sort("records", "reason", "path", descending=[True, False, False]).collect().to_dicts()


def _rows(wanted: pl.LazyFrame, limit: int | None) -> list[dict[str, Any]]:
    ordered = wanted.sort("path", "landed_at", "position", "file_id")
    return (ordered if limit is None else ordered.head(limit)).collect().to_dicts()


def _write_csv(rows: list[dict[str, Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_FIELDS)
    writer.writerows([*(row[field] for field in _FIELDS[:-1]), row["landed_at"].isoformat()] for row in rows)


def _show_counts(counts: list[dict[str, Any]], limit: int | None, session: Session) -> None:
    columns = [Column("Reason"), Column("File"), Column("Records", number=True), Column("Lines", keep=True)]
    show_rows(columns, [[row["reason"], row["path"], quantity(row["records"]), _lines(row)] for row in counts], limit)
    worst = shlex.quote(counts[0]["reason"])
    hints(
        [
            (session.command(f"rejects --reason {worst}"), "these records, what is wrong, and what to do"),
            _retry(session),
        ]
    )


def _lines(row: dict[str, Any]) -> str:
    if row["last"] == 0:
        return "all"
    return f"{row['first']}" if row["first"] == row["last"] else f"{row['first']} to {row['last']}"


def _show_records(rows: list[dict[str, Any]], records: int, session: Session) -> None:
    screen = console()
    for row in rows:
        place = f"line {row['position']}" if row["position"] else "the file"
        screen.print(f"{safe(row['path'])}, {place}: {row['reason']}", style="bold", soft_wrap=True)
        screen.print(f"  {safe(row['explanation'])}", soft_wrap=True)
        if row["record"]:
            screen.print(f"  {_shortened(safe(row['record']))}", style="dim", soft_wrap=True)
    if records > len(rows):
        screen.print(f"... and {counted(records - len(rows), 'more record')}: --limit 0 shows all", style="dim")
    hints([(session.command("rejects"), "all reasons and files"), _retry(session)])


def _shortened(record: str) -> str:
    if len(record) <= _MOST_CHARACTERS:
        return record
    return f"{record[:_MOST_CHARACTERS]}... ({len(record):,} characters; --json shows all)"


def _retry(session: Session) -> tuple[str, str]:
    return session.command("land --retry-rejected"), "land those that settings of today can use"
