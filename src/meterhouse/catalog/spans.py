"""When a subscription runs, so that no two bill the same usage."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

import polars as pl

from meterhouse.periods import grid_periods

_INSTANT: Final = "%Y-%m-%dT%H:%M:%SZ"
_MICROSECOND: Final = timedelta(microseconds=1)


class Span(NamedTuple):
    """When a subscription runs: `[start, end)`."""

    start: datetime
    end: datetime | None

    def overlaps(self, other: Span) -> bool:
        """Whether there is an instant in both."""
        return (other.end is None or self.start < other.end) and (self.end is None or other.start < self.end)

    def __str__(self) -> str:
        end = "on" if self.end is None else f"to {self.end:{_INSTANT}}"
        return f"from {self.start:{_INSTANT}} {end}"


def spans_of(subscriptions: pl.DataFrame) -> dict[str, Span]:
    """When each subscription runs. One that ends with its period goes on after `ends_at` (rule 3.4)."""
    ends_at = pl.col("ends_at")
    last_periods = grid_periods(
        subscriptions.lazy()
        .filter(pl.col("end") == "period_end", ends_at.is_not_null())
        .drop("end")
        .with_columns(first=ends_at - _MICROSECOND, last=ends_at)
    ).select("subscription_id", "end")
    runs = (
        subscriptions.lazy()
        .drop("end")
        .join(last_periods, on="subscription_id", how="left")
        .select("subscription_id", "started_at", pl.coalesce("end", "ends_at"))
    )
    return {subscription_id: Span(start, end) for subscription_id, start, end in runs.collect().iter_rows()}
