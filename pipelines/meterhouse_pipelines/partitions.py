"""Days in UTC, for usage and for billing: the same keys, so that one schedule and one range serve both."""

import os
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
"""A day of billing is shown as made from the same day of usage. Mapping it to the days of a whole cycle would be truer,
but then Dagster cannot launch all assets for a range: it would want more days of `usage` than of its neighbours."""

at_once: Final = dg.BackfillPolicy.single_run()
"""A range of days is one run: a run for each day costs seconds of bookkeeping for milliseconds of work.

Assets without partitions have it too, as `dg launch` takes ranges only where all assets do."""


def keys_of(context: dg.AssetExecutionContext) -> list[date]:
    """Days that a run is for; none where only assets without days were selected."""
    if not (context.has_partition_key or context.has_partition_key_range):
        return []
    return [date.fromisoformat(key) for key in context.partition_keys]
