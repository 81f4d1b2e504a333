"""How every fault reaches the user: what is wrong and how to mend it, an exit code, and no traceback."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from typing import Any, Final, TypeGuard

import typer
from typer.core import TyperGroup

from meterhouse.cli.session import program
from meterhouse.errors import MeterhouseError

INTERRUPTED: Final = 130
UNEXPECTED: Final = 70
UNWRITABLE: Final = 74
UNREAD: Final = 141
"""As programs end that the system tells by a signal that nobody reads their output any more."""

_FULL_OR_BROKEN: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG})
_NAMED: Final = "`meterhouse "
_DEBUG: Final = "METERHOUSE_DEBUG"
_DUCKDB_INTERRUPTED: Final = "Query interrupted"


class TellingGroup(TyperGroup):
    """Commands whose faults are told in words, and whose `--project` may stand anywhere."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - as Typer declares it
        """Take `--project` from wherever it stands: people put it last."""
        return super().parse_args(ctx, _project_first(args))

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as Typer declares it
        """Run the command; turn what a user can mend into a message and its exit code."""
        try:
            return super().invoke(ctx)
        except MeterhouseError as fault:
            tell(fault, as_json=ctx.obj is not None and ctx.obj.as_json)
            raise typer.Exit(fault.exit_code) from None
        except typer.BadParameter as fault:
            # How pydantic, by which Typer reads options, begins what a check of Typer says.
            fault.message = fault.message.removeprefix("Value error, ")
            raise
        except KeyboardInterrupt:
            tell_interrupted()
            raise typer.Exit(INTERRUPTED) from None
        except RuntimeError as fault:
            if str(fault) != _DUCKDB_INTERRUPTED:
                raise
            tell_interrupted()
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # Click would end as if a fault had happened.
            raise typer.Exit(drop_output()) from None


def _project_first(args: list[str]) -> list[str]:
    for place, word in enumerate(args):
        if word == "--":
            break
        if word == "--project" or word.startswith("--project="):
            end = place + (2 if word == "--project" else 1)
            return [*args[place:end], *args[:place], *args[end:]]
    return args


def tell(fault: MeterhouseError, *, as_json: bool) -> None:
    """Say what went wrong on stderr; a program that reads JSON also finds it on stdout."""
    # Below the command line nobody knows how the program was called.
    message = str(fault).replace(_NAMED, f"`{program()} ")
    if as_json:
        error = {"kind": type(fault).__name__, "message": message, "exit_code": fault.exit_code}
        typer.echo(json.dumps({"error": error}, ensure_ascii=False, indent=2))
    typer.secho(f"Error: {message}", err=True, fg="red" if sys.stderr.isatty() else None)
    if os.environ.get(_DEBUG):
        typer.echo("".join(traceback.format_exception(fault)), err=True)


def tell_interrupted() -> None:
    """Say that nothing is broken."""
    typer.echo("Stopped. Nothing is half done: the next run goes on from here.", err=True)


def drop_output() -> int:
    """Let what cannot be written go nowhere, so that the interpreter's end does not try again; returns the exit code.

    What can be written still is.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return UNREAD


def is_full_or_broken(fault: Exception) -> TypeGuard[OSError]:
    """Whether the place that is written to cannot take it, which no program can mend."""
    return isinstance(fault, OSError) and fault.errno in _FULL_OR_BROKEN


def tell_unwritable(fault: OSError) -> int:
    """Say that a disk, or whatever the output goes to, is full or broken; returns the exit code."""
    drop_output()
    typer.echo(
        f"Error: {fault.filename or 'the output'} cannot be written ({os.strerror(fault.errno or 0)}). "
        "Make room, or write elsewhere, and run the same command again: nothing is half done.",
        err=True,
    )
    return UNWRITABLE


def tell_unexpected(fault: Exception) -> int:
    """Say that this is a fault of the program, and how to find out more; returns the exit code."""
    if os.environ.get(_DEBUG):
        typer.echo("".join(traceback.format_exception(fault)), err=True)
    lines = [line for line in str(fault).splitlines() if line.strip()] or ["no further words"]
    typer.echo(f"Error: {type(fault).__name__}: {lines[0]}", err=True)
    typer.echo(
        "This is a fault in meterhouse, not in your data. The warehouse is as the last step left it, and a run can be "
        f"repeated. To report it, set {_DEBUG}=1, run the same command again, and send what it prints.",
        err=True,
    )
    return UNEXPECTED
