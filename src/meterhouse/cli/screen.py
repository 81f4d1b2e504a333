"""Where long work is: a bar on a screen; elsewhere a plain line a step, and now and then where it is. On stderr.

What came out is not said here: the command says it when all is done.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from meterhouse.cli.render import console, safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.progress import TaskID

    from meterhouse.planning import Progress


MOST_SHOWN: Final = 40
"""Characters of a detail beside the bar."""

SECONDS_A_LINE: Final = 10
"""A log wants to know that work goes on, and not every part of it."""


class Lines:
    """One line a step, for logs, and where the step is every `SECONDS_A_LINE`."""

    def __init__(self, screen: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen
        self._clock = clock
        self._step = ""
        self._total = self._begun = 0
        self._told_at = clock()

    def begin(self, step: str, total: int) -> None:
        """Write the line."""
        self._step, self._total, self._begun = step, total, 0
        self._tell("...")

    def advance(self, detail: str) -> None:
        """Say which part it is, where nothing was said for long."""
        self._begun += 1
        self._tell_seldom(detail)

    def within(self, detail: str, share: float) -> None:
        """Say how far the part is, where nothing was said for long."""
        self._tell_seldom(f"{detail} ({share:.0%})")

    def _tell_seldom(self, detail: str) -> None:
        if self._clock() - self._told_at >= SECONDS_A_LINE:
            self._tell(f"{self._begun:,} of {self._total:,}: {safe(detail)}")

    def _tell(self, text: str) -> None:
        self._screen.print(f"{self._step} {text}", soft_wrap=True)
        self._told_at = self._clock()

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
            self._bars.update(self._task, completed=self._begun, detail=_shortened(detail))
            self._begun += 1

    def within(self, detail: str, share: float) -> None:
        """Draw a part of a part."""
        if self._task is not None:
            self._bars.update(self._task, completed=self._begun - 1 + share, detail=_shortened(detail))

    def end(self, summary: str) -> None:
        """Take the bar away."""
        del summary
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None


def _shortened(detail: str) -> str:
    """Of a long name the end tells more, and how far it is stands there."""
    shown = safe(detail)
    return shown if len(shown) <= MOST_SHOWN else f"...{shown[3 - MOST_SHOWN :]}"


@contextmanager
def progress() -> Iterator[Progress]:
    """Progress that suits where stderr goes."""
    screen = console(err=True)
    if not screen.is_terminal:
        yield Lines(screen)
        return
    with Drawn(screen).running() as drawn:
        yield drawn
