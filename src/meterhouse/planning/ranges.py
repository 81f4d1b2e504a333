"""Numbers that do not fit their exact decimal: what Polars refuses, told as a fault that a user can mend."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.errors import ArithmeticRangeError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNS: Final = ("overflow in decimal", "conversion from `decimal", "conversion from `i64` to `decimal")
"""How Polars begins to say it: a sum or product that overflows, and a cast to a type that is too small."""


@contextmanager
def told_where(step: str) -> Iterator[None]:
    """Raise ArithmeticRangeError that names the step where Polars says that a decimal does not fit."""
    try:
        yield
    except (pl.exceptions.ComputeError, pl.exceptions.InvalidOperationError) as fault:
        told = str(fault)
        if not told.startswith(_SIGNS):
            raise
        message = (
            f"A number does not fit its exact decimal while {step}: {_shortened(told)}. "
            "Expected quantities below 10^26 and amounts below 10^14 minor units of a currency. Nothing was rounded, "
            "and nothing of this step was stored. `meterhouse usage --by customer` shows which quantity is far too "
            "large: take it back with a negative value, or mend the price in the catalog, then run again."
        )
        raise ArithmeticRangeError(message) from fault


def _shortened(told: str) -> str:
    """The first line of what Polars says, and the expression where it says one."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    expression = [line for line in lines[1:] if line.startswith(("[", "col("))][:1]
    return " in ".join([lines[0][:200], *expression])
