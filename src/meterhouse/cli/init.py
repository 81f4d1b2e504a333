"""`init`: a new project with a small example that runs."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from meterhouse.cli.render import console, hints, print_json, safe
from meterhouse.cli.session import AsJson, Session
from meterhouse.errors import ProjectError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_NAMES: Final = {"gitignore": ".gitignore"}
"""Named without the point in the package, where the point would make Git obey it."""

_THROUGH: Final = "2026-02-02"
"""The day on which the example's first invoices are final: a month and a day of grace after it begins."""

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")]


def init(folder: FolderArgument, *, as_json: AsJson = False) -> None:
    """Make a project with a commented example that runs.

    It has meters, each kind of price, credits, customers, subscriptions and four days of events.
    """
    _refuse_unless_empty(folder)
    try:
        written = _write(folder)
    except OSError as fault:
        message = f"{folder}: the project cannot be written ({fault.strerror}). Choose a folder that you may write to."
        raise ProjectError(message) from fault
    if as_json:
        print_json({"folder": str(folder), "files": [path.as_posix() for path in written]})
        return
    console().print(
        f"Made a project in {safe(str(folder))} with {len(written)} files; its README.md says what they are."
    )
    _say_next(Session(folder))


def _refuse_unless_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        message = (
            f"{folder}: this is not an empty folder, and nothing in it was touched. Name a new or an empty folder."
        )
        raise ProjectError(message)


def _write(folder: Path) -> list[Path]:
    """Copy the template; what makes it a project comes last, so that a copy cut off is not taken for one."""
    template = files("meterhouse.cli").joinpath("template")
    listed = sorted(_below(template, Path()), key=lambda found: (found[0].name == "meterhouse.yaml", found[0]))
    for path, content in listed:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.read_bytes())
    return [path for path, _ in listed]


def _below(folder: Traversable, at: Path) -> list[tuple[Path, Traversable]]:
    found: list[tuple[Path, Traversable]] = []
    for held in folder.iterdir():
        path = at / _NAMES.get(held.name, held.name)
        found.extend(_below(held, path) if held.is_dir() else [(path, held)])
    return found


def _say_next(made: Session) -> None:
    hints(
        [
            (made.command(f"run --through {_THROUGH}"), "bill January"),
            (made.command("invoices list"), "the invoices"),
            (made.command("usage --by customer"), "who used what"),
            (made.command("status"), "what came in, what was set aside and why"),
        ]
    )
