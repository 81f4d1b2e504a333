"""Where long work is: a bar on a screen, one plain line a step elsewhere. Always on stderr.

What came out is not said here: the command says it when all is done.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from meterhouse.cli.render import console, safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import TaskID

    from meterhouse.planning import Progress


class Lines:
    """One line a step, for logs."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen

    def begin(self, step: str, total: int) -> None:
        """Write the line."""
        del total
        self._screen.print(f"{step} ...", soft_wrap=True)

    def advance(self, detail: str) -> None:
        """Say nothing: a log wants what came out."""

    def end(self, summary: str) -> None:
        """Say nothing."""


class Drawn:
    """One bar at a time, which leaves nothing behind."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=screen,
            transient=True,
        )
        self._task: TaskID | None = None
        self._begun = 0

    @contextmanager
    def running(self) -> Iterator[Drawn]:
        """Draw, and clean up however the work ends."""
        with self._bars:
            yield self

    def begin(self, step: str, total: int) -> None:
        """Draw the bar of a step."""
        self._begun = 0
        self._task = self._bars.add_task(step, total=total, detail="")

    def advance(self, detail: str) -> None:
        """Name the part that is being done; the parts before it are done."""
        if self._task is not None:
            self._bars.update(self._task, completed=self._begun, detail=safe(detail)[:40])
            self._begun += 1

    def end(self, summary: str) -> None:
        """Take the bar away."""
        del summary
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None


@contextmanager
def progress() -> Iterator[Progress]:
    """Progress that suits where stderr goes."""
    screen = console(err=True)
    if not screen.is_terminal:
        yield Lines(screen)
        return
    with Drawn(screen).running() as drawn:
        yield drawn
