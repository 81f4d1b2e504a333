"""A level over time: events change it, and the quantity is its mean over the period's real seconds (rule 2.2).

With changes d at times t, and a period from S to E, the mean is the sum of d x (E - t), over E - S. What came before S
counts as if it had come at S. So a day needs to keep the sum of d and the sum of d x t only.

Microseconds are apart from whole seconds: a level of some terabytes, in bytes, for a year would not fit 38 digits else.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from meterhouse.metering.parts import exact_sum, from_parts, parts_of

_DAY: Final = 86_400_000_000
_SECOND: Final = 1_000_000


LEVEL: Final = ("sum_by_seconds", "sum_by_microseconds")
"""What a day keeps, besides the sum of its values."""

LEVEL_COLUMNS: Final = ("date", "slice_start", "period_start", "period_end")
"""What else `level_over_period` looks at."""


def level_states(value: pl.Expr) -> dict[str, pl.Expr]:
    """The state `LEVEL` of a group of events of one day."""
    within_day = pl.col("timestamp").dt.epoch("us") % _DAY
    units = (within_day // _SECOND, within_day % _SECOND)
    return {name: exact_sum(_times(value, unit)) for name, unit in zip(LEVEL, units, strict=True)}


def level_over_period() -> list[pl.Expr]:
    """What a group of states comes to: the sum of d x (E - t), in seconds and in microseconds beyond, and E - S."""
    # States of other aggregations have a sum too, which may be too large to be multiplied.
    change = pl.when(pl.col("sum_by_seconds").is_not_null()).then("sum")
    start, end = pl.col("period_start").dt.epoch("us"), pl.col("period_end").dt.epoch("us")
    is_within = pl.col("slice_start") >= pl.col("period_start")
    midnight = pl.col("date").cast(pl.Datetime("us")).dt.epoch("us")
    left = end - pl.when(is_within).then(midnight).otherwise(start)
    by_seconds, by_microseconds = (pl.when(is_within).then(kept).otherwise(0) for kept in LEVEL)
    return [
        exact_sum(_times(change, left // _SECOND) - by_seconds).alias("level_seconds"),
        exact_sum(_times(change, left % _SECOND) - by_microseconds).alias("level_microseconds"),
        (end - start).first().cast(pl.Int128).alias("period_length"),
    ]


def mean_level() -> pl.Expr:
    """The mean level, to 12 places, half away from zero. Divided digit by digit, as one product would not fit."""
    seconds, microseconds = parts_of(pl.col("level_seconds")), parts_of(pl.col("level_microseconds"))
    length = pl.col("period_length")
    rest = (seconds % length) * _SECOND + microseconds
    whole = (seconds // length) * _SECOND + rest // length
    twice_left = (rest % length) * 2
    is_up = (twice_left > length) | ((twice_left == length) & (whole >= 0))
    return from_parts(whole + is_up.cast(pl.Int128))


def _times(value: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return value * whole.cast(pl.Decimal(38, 0))
