"""The commands and the options that all of them share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meterhouse import __version__
from meterhouse.cli import batches, credits, init, invoices, meters, rejects, runs, sql, status, usage
from meterhouse.cli.faults import TellingGroup
from meterhouse.cli.session import Session

app = typer.Typer(
    name="meterhouse",
    cls=TellingGroup,
    help="Usage-based billing as a batch job: event files in, invoices, credit ledgers and exports out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(value: bool) -> None:  # noqa: FBT001 - as Typer calls it
    if value:
        typer.echo(f"meterhouse {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    *,
    project: Annotated[
        Path | None,
        typer.Option("--project", metavar="FOLDER", help="The project. Default: this folder, or the nearest above it."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    del version
    context.obj = Session(project)


app.command("init")(init.init)
app.command("run")(runs.run)
app.command("land")(runs.land)
app.command("rejects")(rejects.rejects)
app.command("status")(status.status)
app.command("usage")(usage.usage)
app.add_typer(meters.app)
app.add_typer(invoices.app)
app.command("credits")(credits.credits)
app.command("export")(batches.export)
app.command("sql")(sql.sql)
app.add_typer(batches.audit_app)
