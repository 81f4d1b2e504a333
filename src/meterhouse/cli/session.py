"""What all commands share: which project, which form of output, and how options are read."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from meterhouse.errors import ProjectError

if TYPE_CHECKING:
    from meterhouse.catalog import Project
    from meterhouse.warehouse import Warehouse

SETTINGS_FILE: Final = "meterhouse.yaml"


@dataclass
class Session:
    """One call of the command line."""

    given: Path | None = None
    as_json: bool = False

    def root(self) -> Path:
        """The project's folder: as given, else the nearest folder from here upwards that is one."""
        if self.given is not None:
            return self.given
        here = Path.cwd()
        return next((folder for folder in (here, *here.parents) if (folder / SETTINGS_FILE).is_file()), here)

    def project(self) -> Project:
        """The project, read and checked."""
        from meterhouse.catalog import read_project

        return read_project(self.root())

    def warehouse(self, project: Project) -> Warehouse:
        """The project's warehouse, which a run must have made."""
        from meterhouse.warehouse import Warehouse

        if not project.warehouse.is_dir():
            message = f"{project.warehouse}: there is no warehouse yet. Make it: {self.command('run')}"
            raise ProjectError(message)
        return Warehouse(str(project.warehouse))

    def command(self, words: str) -> str:
        """A command as the user can type it here, on the project of this call."""
        return f"{program()} {words}" if self.given is None else f"{program()} --project {_quoted(self.given)} {words}"


def program() -> str:
    """How this program was called, so that printed commands work as printed."""
    called = Path(sys.argv[0])
    found = shutil.which("meterhouse")
    if called.name == "meterhouse":
        return "meterhouse" if found and Path(found).resolve() == called.resolve() else _quoted(called)
    if found and Path(found).parent == Path(sys.executable).parent:
        return "meterhouse"
    # Not resolved: the Pythons of all environments may be links to the same one.
    python = "python" if shutil.which("python") == sys.executable else _quoted(Path(sys.executable))
    return f"{python} -m meterhouse"


def session_of(context: typer.Context) -> Session:
    """The session that the first callback made."""
    session = context.find_root().obj
    if not isinstance(session, Session):
        message = "commands run below the main command only"
        raise TypeError(message)
    return session


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def read_day(text: str) -> date:
    """A day as an option names it."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"'{text}' is not a day. Write it as 2026-02-28."
        raise typer.BadParameter(message) from None


def read_month(text: str) -> str:
    """A month as an option names it."""
    if re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text) is None:
        message = f"'{text}' is not a month. Write it as 2026-02."
        raise typer.BadParameter(message)
    return text


def read_instant(text: str) -> datetime:
    """An instant as an option names it; UTC where it names no offset."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        message = f"'{text}' is not an instant. Write it as 2026-03-01T06:00:00Z."
        raise typer.BadParameter(message) from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _note_json(context: typer.Context, value: bool) -> bool:  # noqa: FBT001 - as Typer calls it
    session_of(context).as_json = value
    return value


AsJson = Annotated[bool, typer.Option("--json", callback=_note_json, help="Print JSON, for programs.")]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="ROWS",
        min=0,
        help="Most rows to show; 0 shows all. 40 on screens, all as JSON.",
        show_default=False,
    ),
]
CustomerOption = Annotated[
    str | None, typer.Option("--customer", metavar="ID", help="Only this customer: its id or its external id.")
]
MeterOption = Annotated[str | None, typer.Option("--meter", metavar="METER", help="Only this meter.")]
LandedAt = Annotated[
    datetime | None,
    typer.Option(
        "--landed-at",
        parser=read_instant,
        metavar="INSTANT",
        help="Clock of the landing, for runs that must repeat exactly. Default: now.",
    ),
]

_ROWS_ON_SCREEN: Final = 40


def rows_to_show(limit: int | None, *, as_json: bool) -> int | None:
    """How many rows an option asks for; None for all."""
    if limit is None:
        return None if as_json else _ROWS_ON_SCREEN
    return limit or None
