"""The main job: land, define, meter, bill (rule 7.1). Running it again with nothing new changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse import __version__
from meterhouse.planning.billing import BillingReport, bill_cycles
from meterhouse.planning.definitions import define
from meterhouse.planning.events import land
from meterhouse.planning.fingerprints import digest, frame_digest
from meterhouse.planning.progress import Progress, Silent
from meterhouse.planning.steps import inputs_of, is_done, note_done
from meterhouse.planning.usage import meter
from meterhouse.tables import WAREHOUSE, Runs, schema_of
from meterhouse.warehouse import Warehouse, recover

if TYPE_CHECKING:
    from meterhouse.catalog import Project
    from meterhouse.landing import LandingReport

_STEP: Final = "run"


@dataclass(frozen=True)
class RunReport:
    """What a run did."""

    as_of: datetime
    landing: LandingReport
    rejected_rows: pl.DataFrame
    days_metered: list[date]
    billing: BillingReport


def clock_after(through: date) -> datetime:
    """The clock of a run through a day: the instant at which that day (UTC) is over."""
    return datetime.combine(through + timedelta(days=1), time(), UTC)


def run(project: Project, through: date, landed_at: datetime, progress: Progress | None = None) -> RunReport:
    """Bring the warehouse up to date through a day, or through the latest day that was run before.

    The clock never goes back: a run for an earlier day, started again, would take drafts and estimates away. Raises
    WarehouseBusy where another run holds the warehouse, ProjectError where the project cannot be billed.
    """
    progress = progress or Silent()
    warehouse = Warehouse(str(project.warehouse))
    with warehouse.lock():
        recover(warehouse)
        as_of = _clock(through, warehouse)
        landing = land(project, warehouse, landed_at, progress)
        define(project, warehouse, landed_at)
        days = meter(project, warehouse, as_of, progress)
        found = _bill(project, warehouse, as_of, progress)
        _note_run(project, warehouse, as_of)
        return RunReport(as_of, landing, warehouse.scan("rejected_rows").collect(), days, found)


def _clock(through: date, warehouse: Warehouse) -> datetime:
    latest = warehouse.scan("runs").select(pl.col("as_of").max()).collect().item()
    asked = clock_after(through)
    return asked if latest is None else max(asked, latest)


def _bill(project: Project, warehouse: Warehouse, as_of: datetime, progress: Progress) -> BillingReport:
    """Bill, and say what came out."""
    progress.begin("Billing", 1)
    progress.advance(f"cycles that ended by {as_of:%Y-%m-%d %H:%M} UTC")
    found = bill_cycles(project.settings, warehouse, as_of)
    progress.end(
        f"{found.finalized.invoices:,} invoices finalized, {found.drafts.invoices:,} drafts, "
        f"{found.estimates:,} estimates"
    )
    return found


def _note_run(project: Project, warehouse: Warehouse, as_of: datetime) -> None:
    """Keep that this clock was run on these inputs, once; a run repeated after being cut off notes the same."""
    stored = inputs_of(warehouse, WAREHOUSE, project.settings.model_dump_json(), as_of.isoformat())
    if is_done(warehouse, _STEP, stored):
        return
    _append_run(project, warehouse, as_of)
    note_done(warehouse, _STEP, inputs_of(warehouse, WAREHOUSE, project.settings.model_dump_json(), as_of.isoformat()))


def _append_run(project: Project, warehouse: Warehouse, as_of: datetime) -> None:
    inputs = _inputs_digest(project, warehouse)
    run_id = digest(as_of.isoformat(), inputs)[:32]
    if not warehouse.scan("runs").filter(pl.col("run_id") == run_id).head(1).collect().is_empty():
        return
    row = {
        "run_id": run_id,
        "as_of": as_of,
        "inputs": inputs,
        "events": _count(warehouse.scan("events")),
        "drafts": _count(warehouse.scan("draft_invoices")),
        "finalized": _count(warehouse.scan("invoices").filter(pl.col("finalized_at") == as_of)),
        "engine": __version__,
    }
    warehouse.append("runs", pl.DataFrame([row], schema=schema_of(Runs)))
    warehouse.compact("runs")


def _inputs_digest(project: Project, warehouse: Warehouse) -> str:
    tables = ["landed_files", "customers", "subscriptions", *project.definitions]
    frames = {name: warehouse.scan(name).drop("landed_at", "path", strict=False).collect() for name in tables}
    return digest(project.settings.model_dump_json(), *(frame_digest(frame) for frame in frames.values()))


def _count(rows: pl.LazyFrame) -> int:
    return int(rows.select(pl.len()).collect().item())
