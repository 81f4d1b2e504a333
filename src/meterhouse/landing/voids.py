"""Which events were taken back (rule 1.6), whichever of the two came first: the void or its event."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from meterhouse.landing.duplicates import KEY
from meterhouse.tables import VoidedEvents, conform
from meterhouse.tables.columns import INSTANT


def newly_voided(events: pl.DataFrame, voids: pl.DataFrame, voided: pl.DataFrame, landed_at: datetime) -> pl.DataFrame:
    """Rows of `VoidedEvents` for the events that a void names and that are not among the voided yet.

    The first of several voids counts, in the order of the rows; the others change nothing.
    """
    first = voids.lazy().unique(KEY, keep="first", maintain_order=True).select(*KEY, "file_id", "position")
    named = events.lazy().select(*KEY, "date").unique().join(first, on=KEY)
    new = named.join(voided.lazy(), on=[*KEY, "date"], how="anti")
    return conform(new.with_columns(landed_at=pl.lit(landed_at, dtype=INSTANT)), VoidedEvents).collect()
