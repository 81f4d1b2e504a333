"""Days in UTC, for usage and for billing: the same keys, so that one schedule and one range serve both."""

import os
import warnings
from datetime import date
from pathlib import Path
from typing import Final

import dagster as dg

from meterhouse.catalog import read_people, read_project
from meterhouse.errors import MeterhouseError
from meterhouse_pipelines.resources import project_folder

FIRST_DAY_VARIABLE: Final = "METERHOUSE_FIRST_DAY"
_EARLIEST: Final = date(2014, 1, 1)


def first_day(folder: Path) -> date:
    """First day that has a partition: as the environment says, else of the month of the first subscription.

    Every partition of every asset costs an event of some milliseconds, so empty years are worth leaving out.
    """
    given = os.environ.get(FIRST_DAY_VARIABLE)
    if given:
        return date.fromisoformat(given)
    try:
        started = read_people(read_project(folder))["subscriptions"]["started_at"].dt.date().to_list()
    except MeterhouseError:
        # Definitions load nevertheless: the first run says what is wrong with the project, and how to mend it.
        return _EARLIEST
    return min(started, default=_EARLIEST).replace(day=1)


days: Final = dg.DailyPartitionsDefinition(start_date=first_day(Path(project_folder())).isoformat(), timezone="UTC")

with warnings.catch_warnings():
    # Without this argument the first month has no valid partition; that it is in beta need not be told at every start.
    warnings.simplefilter("ignore", dg.BetaWarning)
    cycle_days: Final = dg.TimeWindowPartitionMapping(start_offset=-30, allow_nonexistent_upstream_partitions=True)
    """Days of usage behind a billing day, as shown. The library reads what a cycle needs, however long it is."""

at_once: Final = dg.BackfillPolicy.single_run()
"""A range of days is one run: a run for each day costs seconds of bookkeeping for milliseconds of work."""


def keys_of(context: dg.AssetExecutionContext) -> list[date]:
    """Days that a run is for; none where only assets without days were selected."""
    if not (context.has_partition_key or context.has_partition_key_range):
        return []
    return [date.fromisoformat(key) for key in context.partition_keys]
