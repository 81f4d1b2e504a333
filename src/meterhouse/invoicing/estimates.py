"""What open cycles would cost if they ended now (rule 7.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from meterhouse.money import round_minor
from meterhouse.tables import Estimates, conform

if TYPE_CHECKING:
    from datetime import datetime

    from meterhouse.money import Rounding


def estimates(periods: pl.LazyFrame, charges: pl.LazyFrame, as_of: datetime, rounding: Rounding) -> pl.LazyFrame:
    """Charges of the cycles that `as_of` finds open: `Estimates`."""
    still_open = periods.filter(pl.col("period_end") > as_of).drop("product")
    estimated = charges.join(still_open, on=["subscription_id", "cycle"]).with_columns(
        amount_minor=round_minor(pl.col("amount_minor_unrounded"), rounding)
    )
    return conform(estimated, Estimates)
