"""Dagster on top of the library: the same tables, twice the same, stopped where the audit fails."""

import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from meterhouse.auditing import CHECKS
from meterhouse.catalog.row_files import FORMATS
from meterhouse.tables import WAREHOUSE, schema_of
from meterhouse.warehouse import Warehouse
from meterhouse_pipelines import audits
from meterhouse_pipelines.definitions import definitions_of, defs
from meterhouse_pipelines.defs import automation
from meterhouse_pipelines.partitions import FIRST_DAY_VARIABLE, days, first_day
from meterhouse_pipelines.resources import ProjectFolder
from tests.small_project import LANDED_AT, LAST_DAY, contents, edit, make_project, run_through, warehouse_of, write

NO_ASSETS: Final = {"runs", "fingerprints", "sent_ids"}
"""Tables that meterhouse keeps for itself."""

START: Final = "dagster/asset_partition_range_start"
END: Final = "dagster/asset_partition_range_end"
LAST_THREE_DAYS: Final = {START: (LAST_DAY - timedelta(days=2)).isoformat(), END: LAST_DAY.isoformat()}


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance) -> Path:
    """A project that `cycle_end` ran on, for the last three days."""
    root = make_project(tmp_path_factory.mktemp("ran") / "small")
    assert run_job("cycle_end", root, instance).success
    return root


def run_job(
    job: str, root: Path, instance: dg.DagsterInstance, tags: Mapping[str, str] = LAST_THREE_DAYS
) -> dg.ExecuteInProcessResult:
    return (
        definitions_of(project_of(root))
        .resolve_job_def(job)
        .execute_in_process(instance=instance, tags=dict(tags), raise_on_error=False)
    )


def project_of(root: Path) -> ProjectFolder:
    return ProjectFolder(folder=str(root), landed_at=LANDED_AT.isoformat())


def copy_of(ran: Path, to: Path) -> Path:
    return Path(shutil.copytree(ran, to / "small"))


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def test_definitions_load() -> None:
    dg.Definitions.validate_loadable(defs)


def test_every_table_is_an_asset() -> None:
    found = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert found == WAREHOUSE.keys() - NO_ASSETS


def test_every_asset_tells_its_meaning_its_owner_and_its_columns() -> None:
    for spec in defs.resolve_all_asset_specs():
        table = WAREHOUSE[spec.key.to_user_string()].table
        columns = spec.metadata["dagster/column_schema"]
        assert spec.description
        assert spec.owners
        assert spec.group_name != "default"
        assert isinstance(columns, dg.TableSchema)
        assert [column.name for column in columns.columns] == schema_of(table).names()
        assert all(column.description for column in columns.columns)


def test_every_check_of_the_audit_is_an_asset_check() -> None:
    assert audits.LANDING.keys() | audits.METERING.keys() | audits.BILLING.keys() == set(CHECKS)


def test_tables_are_those_of_the_library(ran: Path, tmp_path: Path) -> None:
    make_project(tmp_path)
    run_through(tmp_path)
    tables = WAREHOUSE.keys() - {"exports"}
    expected = contents(tmp_path, tables)
    for table, found in contents(ran, tables).items():
        assert_frame_equal(found, expected[table])


def test_a_second_run_writes_nothing(ran: Path, instance: dg.DagsterInstance) -> None:
    before = warehouse_of(ran).versions()
    assert run_job("cycle_end", ran, instance).success
    assert warehouse_of(ran).versions() == before


def test_a_run_for_earlier_days_does_not_turn_the_clock_back(ran: Path, instance: dg.DagsterInstance) -> None:
    before = warehouse_of(ran).versions()
    earlier = (LAST_DAY - timedelta(days=20)).isoformat()
    assert run_job("cycle_end", ran, instance, {START: earlier, END: earlier}).success
    assert warehouse_of(ran).versions() == before


def test_daily_meters_and_bills_nothing(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    make_project(tmp_path)
    result = run_job("daily", tmp_path, instance)
    assert result.success
    warehouse = warehouse_of(tmp_path)
    assert warehouse.exists("usage_daily")
    assert not warehouse.exists("billing_periods")
    shown = {event.partition for event in result.asset_materializations_for_node("metering")}
    assert {LAST_THREE_DAYS[START], LAST_DAY.isoformat()} <= shown
    assert (LAST_DAY - timedelta(days=20)).isoformat() in shown, "days that became stale are shown too"


def test_rejects_and_silence_are_warned_of_and_block_nothing(ran: Path, instance: dg.DagsterInstance) -> None:
    result = run_job("cycle_end", ran, instance)
    found = evaluations(result)
    assert result.success
    assert not found["nothing_rejected"].passed
    assert found["nothing_rejected"].severity == dg.AssetCheckSeverity.WARN
    assert found["yesterday_has_events"].passed
    assert found["audit_passes"].passed


def test_a_wrong_number_fails_its_check_and_stops_the_export(
    ran: Path, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    root = copy_of(ran, tmp_path)
    shutil.rmtree(root / "exports")
    spoil_usage(root)
    result = run_job("cycle_end", root, instance)
    found = evaluations(result)
    assert not result.success
    assert not found["audit_usage_daily"].passed
    assert not found["audit_passes"].passed
    assert "usage_daily" in str(found["audit_passes"].description)
    assert not (root / "exports").exists()


def spoil_usage(root: Path) -> None:
    """Store one state with an event too many; its fingerprint says that it is fresh."""
    states = warehouse_of(root).scan("usage_daily").sort("date", "meter", "customer_id", "slice_start").collect()
    wrong = states.with_columns(
        events=pl.when(pl.int_range(pl.len()) == 0).then(pl.col("events") + 1).otherwise("events")
    )
    warehouse_of(root).replace("usage_daily", wrong)


def test_a_faulty_project_fails_with_the_librarys_words(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    root = make_project(tmp_path / "small")
    edit(root / "meterhouse.yaml", "currency: USD", "currency: GOLD")
    result = run_job("daily", root, instance)
    failure = result.failure_data_for_node("definitions")
    assert not result.success
    assert failure is not None
    assert "GOLD" in str(failure.user_failure_data)


def test_a_busy_warehouse_is_tried_again(ran: Path) -> None:
    with Warehouse(str(ran / "warehouse")).lock(), pytest.raises(dg.RetryRequested), project_of(ran).writing():
        pytest.fail("Two writers hold the warehouse.")


def test_partitions_begin_with_the_month_of_the_first_subscription(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = warehouse_of(ran).scan("subscriptions").select(pl.col("started_at").min().dt.date()).collect().item()
    monkeypatch.delenv(FIRST_DAY_VARIABLE, raising=False)
    assert first_day(ran) == started.replace(day=1)
    assert first_day(tmp_path).year == 2014, "a folder that is no project yet"
    monkeypatch.setenv(FIRST_DAY_VARIABLE, "2020-05-17")
    assert first_day(ran).isoformat() == "2020-05-17"


@pytest.mark.parametrize("schedule", [automation.daily_at_01, automation.cycle_end_at_02])
def test_schedules_ask_for_yesterday_and_are_stopped(schedule: dg.ScheduleDefinition) -> None:
    at = datetime(2026, 4, 1, 2, tzinfo=UTC)
    context = dg.build_schedule_context(scheduled_execution_time=at, repository_def=defs.get_repository_def())
    asked = schedule.evaluate_tick(context).run_requests
    assert asked is not None
    assert [request.partition_key for request in asked] == ["2026-03-31"]
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


def sense(root: Path, instance: dg.DagsterInstance) -> dg.SkipReason | dg.RunRequest:
    context = dg.build_sensor_context(instance, definitions=definitions_of(project_of(root)))
    found = automation.new_inputs(context, project=project_of(root))
    assert isinstance(found, (dg.SkipReason, dg.RunRequest))
    return found


def test_the_sensor_asks_until_a_run_has_changed_nothing(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    root = make_project(tmp_path / "small")
    asked = []
    while isinstance(found := sense(root, instance), dg.RunRequest):
        asked.append(found.run_key)
        assert found.partition_key == LAST_DAY.isoformat()
        tags = {"dagster/partition": found.partition_key, **found.tags}
        assert run_job("daily", root, instance, tags).success
    assert len(asked) == 2, "one to land and meter, one that finds nothing new"
    write(root / "events" / "late.jsonl", "")
    assert isinstance(sense(root, instance), dg.RunRequest)


def write_rows(frame: pl.DataFrame, path: Path) -> None:
    match path.suffix:
        case ".csv":
            frame.write_csv(path)
        case ".jsonl":
            frame.write_ndjson(path)
        case _:
            frame.write_parquet(path)


@pytest.mark.parametrize("extension", FORMATS)
def test_a_change_of_customers_counts_in_each_format(tmp_path: Path, extension: str) -> None:
    root = make_project(tmp_path / "small")
    customers = pl.read_csv(root / "customers.csv")
    (root / "customers.csv").unlink()
    project = project_of(root)
    seen = set()
    for frame in (customers, customers.with_columns(name=pl.lit("Changed"))):
        write_rows(frame, root / f"customers.{extension}")
        seen.add(automation.inputs_digest(project.read(), project.warehouse()))
    assert len(seen) == 2


def test_the_sensor_gives_up_after_three_failures(tmp_path: Path) -> None:
    root = make_project(tmp_path / "small")
    job = definitions_of(project_of(root)).resolve_job_def("daily")
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(automation.ATTEMPTS):
            found = sense(root, instance)
            assert isinstance(found, dg.RunRequest)
            instance.create_run_for_job(job, status=dg.DagsterRunStatus.FAILURE, tags=found.tags)
        assert isinstance(sense(root, instance), dg.SkipReason)


def test_days_are_in_utc() -> None:
    assert days.timezone == "UTC"
