"""Billables less the units that credits cover (rule 4.6)."""

from __future__ import annotations

import polars as pl

from meterhouse.tables import Billables, conform


def cover_credited(billables: pl.LazyFrame, credited: pl.LazyFrame) -> pl.LazyFrame:
    """Lower what is billed by `credited` (subscription_id, cycle, meter, units), never below 0.

    Several prices on one meter price the same units, so the same credits cover those units in each of them.
    """
    covered = pl.min_horizontal(pl.col("billed"), pl.col("units").fill_null(0))
    lowered = billables.join(credited, on=["subscription_id", "cycle", "meter"], how="left").with_columns(
        credited=pl.col("credited") + covered, billed=pl.col("billed") - covered
    )
    return conform(lowered, Billables)
