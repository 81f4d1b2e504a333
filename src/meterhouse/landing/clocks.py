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
    is_local = sent.str.contains(WITHOUT_OFFSET).fill_null(value=False)
    local = sent.set(~is_local, None).str.replace(" ", "T", literal=True)
    clock = pl.coalesce(
        pl.lit(local).str.to_datetime(form, time_unit="us", strict=False)
        for form in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")
    )
    instants = _from_clock(pl.select(clock).to_series(), source.timezone)
    if source.timestamp_format is not None:
        written = sent.str.to_datetime(source.timestamp_format, time_unit="us", strict=False)
        is_written = written.is_not_null()
        own = written if isinstance(written.dtype, pl.Datetime) and written.dtype.time_zone else None
        read = own.dt.convert_time_zone("UTC") if own is not None else _from_clock(written, source.timezone)
        instants, is_local = instants.zip_with(~is_written, read), is_local | is_written
    spelled = instants.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    # What is skipped by the clock keeps the text that was sent, which says why it is refused.
    return sent.zip_with(~is_local, spelled.fill_null("skipped by the clock of " + source.timezone)).alias(sent.name)


def _from_clock(clock: pl.Series, timezone: str) -> pl.Series:
    local = clock.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    return local.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
