"""Refused records that are still open: neither retried since, nor of a file that came whole since (rule 1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from meterhouse.warehouse import Warehouse


def open_rejects(warehouse: Warehouse) -> pl.LazyFrame:
    """Rows of `RejectedEvents` that are open; those at position 0 stand for files that broke off."""
    retried = warehouse.scan("retried_records").select("file_id", "position")
    rejected = warehouse.scan("rejected_events").join(retried, on=["file_id", "position"], how="anti")
    return rejected.join(_came_whole(warehouse), on=["file_id", "position"], how="anti")


def _came_whole(warehouse: Warehouse) -> pl.LazyFrame:
    """Files as a whole (position 0) that broke off, where a file of that name came to its end since."""
    broken = warehouse.scan("rejected_events").filter(pl.col("position") == 0)
    landed = warehouse.scan("landed_files").select("file_id", "path", "landed_at")
    whole = landed.join(broken, on="file_id", how="anti").group_by("path").agg(whole_at=pl.col("landed_at").max())
    return broken.join(whole, on="path").filter(pl.col("whole_at") >= pl.col("landed_at"))
