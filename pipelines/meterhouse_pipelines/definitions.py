"""Everything that Dagster loads.

The parts are named here and not found in a folder: so they load from an installed wheel too, where there is no dg.toml.
"""

import dagster as dg

from meterhouse_pipelines.defs import automation, billing, events, exports, usage
from meterhouse_pipelines.resources import ProjectFolder, project_folder


def definitions_of(project: ProjectFolder) -> dg.Definitions:
    """Assets, checks, jobs, schedules and the sensor, on a project."""
    return dg.Definitions(
        assets=[
            events.landing,
            events.events,
            usage.definitions,
            usage.metering,
            billing.billing,
            billing.drafts,
            exports.batches,
        ],
        asset_checks=[
            events.audit_landing,
            events.yesterday_has_events,
            events.nothing_set_aside,
            usage.no_row_rejected,
            usage.meters_fit_events,
            billing.audit,
        ],
        jobs=[automation.daily, automation.cycle_end],
        schedules=[automation.daily_at_01, automation.cycle_end_at_02],
        sensors=[automation.new_inputs],
        resources={"project": project},
        # A process for each step costs seconds, for steps of milliseconds that wait for the same warehouse anyway.
        executor=dg.in_process_executor,
    )


defs = definitions_of(ProjectFolder(folder=project_folder()))
