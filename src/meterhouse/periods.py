"""Half-open periods `[start, end)` on a grid that is local to a timezone (rule 3).

A grid is counted from an anchor: its n-th boundary is the anchor plus n intervals on the local calendar, always
from the anchor itself, so that a month's end clamps without drifting: 31 Jan, 29 Feb, 31 Mar, 30 Apr (rule 3.2).
Polars knows summer time until 2099; later boundaries take winter time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

import polars as pl

Interval = Literal["day", "week", "month", "quarter", "year"]

INTERVAL_MONTHS: Final[dict[Interval, int]] = {"day": 0, "week": 0, "month": 1, "quarter": 3, "year": 12}
INTERVAL_DAYS: Final[dict[Interval, int]] = {"day": 1, "week": 7, "month": 0, "quarter": 0, "year": 0}

# The numbers of the cells are guessed from UTC dates, then checked on exact instants. The guess is off by at most one
# for the timezone, one for the day in the month and one for a local time that the clocks skip.
_MARGIN: Final = 3


def calendar_anchor(timezone: str) -> datetime:
    """Return an anchor for calendar billing in a timezone (rule 3.1).

    1 January 2001 was a Monday: the same anchor begins weeks, months, quarters and years.
    """
    return datetime(2001, 1, 1, tzinfo=ZoneInfo(timezone)).astimezone(UTC)


def midnight_anchor(anchor: datetime, timezone: str) -> datetime:
    """Return the first instant of the anchor's local day, for subscriptions that bill by whole days (rule 3.2)."""
    local = anchor.astimezone(ZoneInfo(timezone))
    return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)


def grid_periods(spans: pl.LazyFrame) -> pl.LazyFrame:
    """Return every period of each row's grid that overlaps the row's span `[first, last)`.

    In: any columns, with `interval`, `interval_count`, `anchor`, `timezone`, `first`, `last` (instants in UTC).
    Out: the same columns and `n` (the period's number, 0 begins at the anchor), `start`, `end`. Periods are not cut:
    the first may start before `first`, the last may end after `last`. An instant's own period is that of a span of one
    microsecond. Rows are in no order.
    """
    numbered = (
        spans.with_columns(n=_candidate_numbers())
        .explode("n", empty_as_null=False)
        .with_columns(_start_offset=_offset(pl.col("n")), _end_offset=_offset(pl.col("n") + 1))
    )
    schema = {**numbered.collect_schema(), "start": _INSTANT, "end": _INSTANT}
    return (
        numbered.map_batches(_bounded_by_timezone, schema=schema, predicate_pushdown=False, projection_pushdown=False)
        .drop("_start_offset", "_end_offset")
        # The last comparison drops a day that a timezone skipped as a whole (Samoa, 30 December 2011).
        .filter(pl.col("start") < pl.col("last"), pl.col("end") > pl.col("first"), pl.col("start") < pl.col("end"))
    )


_INSTANT: Final = pl.Datetime("us", "UTC")


def _step(units: dict[Interval, int]) -> pl.Expr:
    """Months or days in one period; 0 where the interval is not counted in them."""
    return pl.col("interval").replace_strict(units, return_dtype=pl.Int64) * pl.col("interval_count")


def _candidate_numbers() -> pl.Expr:
    """Numbers of all the periods that can overlap `[first, last)`, and a few more."""
    months, days = _step(INTERVAL_MONTHS), _step(INTERVAL_DAYS)

    def number(instant: str) -> pl.Expr:
        since = pl.col(instant) - pl.col("anchor")
        since_months = _month_index(pl.col(instant)) - _month_index(pl.col("anchor"))
        return pl.when(months > 0).then(since_months // months).otherwise(since.dt.total_days() // days)

    return pl.int_ranges(number("first") - _MARGIN, number("last") + _MARGIN + 1)


def _month_index(instant: pl.Expr) -> pl.Expr:
    return instant.dt.year().cast(pl.Int64) * 12 + instant.dt.month()


def _offset(n: pl.Expr) -> pl.Expr:
    """The n-th boundary's distance from the anchor, as `offset_by` reads it."""
    months, days = _step(INTERVAL_MONTHS), _step(INTERVAL_DAYS)
    return pl.when(months > 0).then(pl.format("{}mo", n * months)).otherwise(pl.format("{}d", n * days))


def _bounded_by_timezone(numbered: pl.DataFrame) -> pl.DataFrame:
    """Add `start` and `end`; Polars takes one timezone a call, so each timezone is a call."""
    schema = pl.Schema({**numbered.schema, "start": _INSTANT, "end": _INSTANT})
    zones = numbered.partition_by("timezone", as_dict=True)
    return pl.concat([schema.to_frame(), *(_bounded(rows, str(zone)) for (zone,), rows in zones.items())])


def _bounded(numbered: pl.DataFrame, timezone: str) -> pl.DataFrame:
    anchor = pl.col("anchor").dt.convert_time_zone(timezone).dt.replace_time_zone(None)
    return numbered.with_columns(
        start=_instant(anchor.dt.offset_by(pl.col("_start_offset")), timezone),
        end=_instant(anchor.dt.offset_by(pl.col("_end_offset")), timezone),
    )


def _instant(local: pl.Expr, timezone: str) -> pl.Expr:
    """The instant of a local time: the earlier one where it comes twice, moved on by the gap where it is skipped.

    A skipped time is read on the clock as it was before the gap, as Python and Java do. Gaps are an hour or two, but
    for the days that were skipped at the date line.
    """

    def read_before(gap: pl.Expr) -> pl.Expr:
        return (local - gap).dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null") + gap

    gaps = (pl.duration(hours=0), pl.duration(hours=3), pl.duration(hours=25))
    return pl.coalesce(read_before(gap) for gap in gaps).dt.convert_time_zone("UTC")
