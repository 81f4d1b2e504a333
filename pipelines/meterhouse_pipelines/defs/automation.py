"""When what runs. Everything is stopped until somebody starts it: opening the user interface changes nothing."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import dagster as dg

from meterhouse.catalog import Project
from meterhouse.catalog.row_files import FORMATS
from meterhouse.landing import list_files, look_at
from meterhouse.warehouse import Warehouse
from meterhouse_pipelines.defs.billing import audit
from meterhouse_pipelines.resources import ProjectFolder, project_folder

INPUTS_TAG: Final = "meterhouse/inputs"
ATTEMPTS: Final = 3

_ONE_WAREHOUSE: Final = {"meterhouse/warehouse": Path(project_folder()).name}
"""`dagster.yaml` lets runs with the same value wait for each other."""

_DEFINING: Final = frozenset({".yaml", ".yml", *(f".{extension}" for extension in FORMATS)})

daily = dg.define_asset_job(
    "daily",
    dg.AssetSelection.groups("landing", "definitions", "usage") - dg.AssetSelection.checks(audit),
    description="Land, define and meter a day, and every older day that late events made stale. Bills nothing.",
    tags=_ONE_WAREHOUSE,
)

cycle_end = dg.define_asset_job(
    "cycle_end",
    dg.AssetSelection.all(),
    description="All of it: land, define, meter, bill the cycles that have ended, audit, export what is final.",
    tags=_ONE_WAREHOUSE,
)


@dg.schedule(job=daily, cron_schedule="0 1 * * *", execution_timezone="UTC")
def daily_at_01(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Yesterday (UTC), an hour after it is over."""
    return dg.RunRequest(partition_key=_day_before(context.scheduled_execution_time))


@dg.schedule(job=cycle_end, cron_schedule="0 2 * * *", execution_timezone="UTC")
def cycle_end_at_02(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The cycles that ended by yesterday (UTC), an hour after its usage is metered."""
    return dg.RunRequest(partition_key=_day_before(context.scheduled_execution_time))


@dg.sensor(job=daily, minimum_interval_seconds=300)
def new_inputs(context: dg.SensorEvaluationContext, project: ProjectFolder) -> dg.SkipReason | dg.RunRequest:
    """Run `daily` until a run has succeeded on exactly what lies there now: files, definitions, stored events.

    It compares states and waits for no change to be told, so nothing is lost that came during a run or while this was
    stopped. After three failures on the same state it waits until that changes.
    """
    inputs = inputs_digest(project.read(), project.warehouse())
    runs = context.instance.get_runs(dg.RunsFilter(job_name=daily.name, tags={INPUTS_TAG: inputs}))
    if any(run.is_success for run in runs):
        return dg.SkipReason("Everything that lies there was landed and metered.")
    if any(not run.is_finished for run in runs):
        return dg.SkipReason("A run is at it.")
    if len(runs) >= ATTEMPTS:
        return dg.SkipReason(f"{ATTEMPTS} runs failed on these inputs. Mend what their logs say.")
    day = _day_before(project.clock())
    return dg.RunRequest(run_key=f"{inputs}-{len(runs)}", partition_key=day, tags={INPUTS_TAG: inputs})


def _day_before(instant: datetime) -> str:
    return (instant.astimezone(UTC).date() - timedelta(days=1)).isoformat()


def inputs_digest(project: Project, warehouse: Warehouse) -> str:
    """Names and sizes of files that are not landed, content of the definitions, version of the stored events."""
    sha = hashlib.sha256(f"{warehouse.version('events')}\n".encode())
    for name, size in _files_to_land(project, warehouse):
        sha.update(f"{name} {size}\n".encode())
    for file in sorted([*project.root.iterdir(), *(project.root / "catalog").iterdir()]):
        if file.is_file() and file.suffix in _DEFINING:
            sha.update(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return sha.hexdigest()[:32]


def _files_to_land(project: Project, warehouse: Warehouse) -> list[tuple[str, int]]:
    landed = set(warehouse.scan("landed_files").select("path", "bytes").collect().iter_rows())
    looks = ((file.name, look_at(file.path)) for file in list_files(project.events).files)
    return sorted({(name, look.bytes) for name, look in looks if look is not None} - landed)
