"""A process that runs a project and may be killed: `python -m tests.reliability.runner ROOT DAY [STEP N]`.

It says `ready` when it begins. With a step it kills itself where that step would be done for the n-th time.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import deltalake

from meterhouse.cli.faults import tell
from meterhouse.errors import MeterhouseError
from meterhouse.planning import usage
from meterhouse.warehouse import Warehouse, commit, journal, store
from tests.small_project import run_through

if TYPE_CHECKING:
    from collections.abc import Callable


class Step(NamedTuple):
    """A function that a run calls."""

    owner: object
    name: str


STEPS: Final = {
    "create": Step(deltalake.DeltaTable, "create"),
    "write": Step(store, "commit_files"),
    "sync": Step(commit, "sync_files"),
    "compact": Step(Warehouse, "compact"),
    "meter": Step(usage, "_store"),
    "metered": Step(usage, "note_made"),
    "journal": Step(journal, "_write"),
    "apply": Step(journal, "_apply"),
    "remove": Step(journal, "_remove"),
}


def kill_at(step: Step, call: int) -> None:
    """Replace a function by one whose n-th call kills the process, as `kill -9` does."""
    real: Callable[..., object] = getattr(step.owner, step.name)
    calls = iter(range(1, call))

    def real_until_then(*arguments: object, **named: object) -> object:
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)

    setattr(step.owner, step.name, real_until_then)


def main(root: str, through: str, step: str = "", call: str = "0") -> int:
    """Run; returns the exit code that the command line would end with."""
    if step:
        kill_at(STEPS[step], int(call))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    try:
        run_through(Path(root), date.fromisoformat(through))
    except MeterhouseError as fault:
        tell(fault, as_json=False)
        return fault.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
