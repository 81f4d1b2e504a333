"""Timezones that people configure."""

from __future__ import annotations

from functools import cache
from typing import Annotated
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import AfterValidator


@cache
def _known(name: str) -> str:
    """Refuse what Python or Polars does not know: their lists differ by a few names, such as `Factory`."""
    try:
        ZoneInfo(name)
        pl.Series([0], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(name)
    except (KeyError, ValueError, OSError, pl.exceptions.ComputeError):
        message = f"'{name}' is not an IANA timezone such as Europe/Berlin"
        raise ValueError(message) from None
    return name


Timezone = Annotated[str, AfterValidator(_known)]
