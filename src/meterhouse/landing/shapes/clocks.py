"""Instants as a source writes them, in UTC (rule 1.2)."""

from __future__ import annotations

from typing import Final

import polars as pl

from meterhouse.catalog.sources import Source

WITHOUT_OFFSET: Final = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?$"


def in_utc(fields: pl.DataFrame, source: Source) -> pl.DataFrame:
    """Spell the instants that a source writes in its own way in ISO 8601; what it does not write so stays as it is.

    An hour that a clock shows twice is the first of the two. One that it skips is no instant.
    """
    if source.timestamp_format is None and source.timezone == "UTC":
        return fields
    return fields.with_columns(_in_utc(fields[name], source) for name in ("timestamp", "received_at"))


def _in_utc(sent: pl.Series, source: Source) -> pl.Series:
    if isinstance(sent.dtype, pl.Datetime):
        return sent if sent.dtype.time_zone is not None else _from_clock(sent, source.timezone)
    if source.timestamp_format is not None:
        written = sent.str.to_datetime(source.timestamp_format, time_unit="us", strict=False)
        sent = _spelled(sent, written, source.timezone)
    return _spelled(sent, _without_offset(sent), source.timezone)


def _without_offset(sent: pl.Series) -> pl.Series:
    local = pl.lit(sent.set(~sent.str.contains(WITHOUT_OFFSET), None).str.replace(" ", "T", literal=True))
    forms = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")
    return pl.select(
        pl.coalesce(local.str.to_datetime(form, time_unit="us", strict=False) for form in forms)
    ).to_series()


def _spelled(sent: pl.Series, shown: pl.Series, timezone: str) -> pl.Series:
    """The instants that a clock has shown in UTC; the others as they were sent."""
    is_instant = isinstance(shown.dtype, pl.Datetime) and shown.dtype.time_zone is not None
    instants = shown.dt.convert_time_zone("UTC") if is_instant else _from_clock(shown, timezone)
    spelled = instants.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    skipped = sent + f" skipped by the clock of {timezone}"
    return sent.zip_with(shown.is_null(), spelled.zip_with(spelled.is_not_null(), skipped))


def _from_clock(clock: pl.Series, timezone: str) -> pl.Series:
    local = clock.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    return local.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
