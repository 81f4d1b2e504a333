"""How long work says where it is; the command line draws it, Dagster logs it, tests leave it out."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What is told of a step of a run."""

    def begin(self, step: str, total: int) -> None:
        """A step begins, with so many parts."""

    def advance(self, detail: str) -> None:
        """A part of it is done, or begins: `detail` names it."""

    def within(self, detail: str, share: float) -> None:
        """So much of the part has been done, from 0 to 1. Told often: who writes it down does so now and then."""

    def end(self, summary: str) -> None:
        """The step is over: what it did, in words."""


class Silent:
    """Progress that nobody looks at."""

    def begin(self, step: str, total: int) -> None:
        """Say nothing."""

    def advance(self, detail: str) -> None:
        """Say nothing."""

    def within(self, detail: str, share: float) -> None:
        """Say nothing."""

    def end(self, summary: str) -> None:
        """Say nothing."""
