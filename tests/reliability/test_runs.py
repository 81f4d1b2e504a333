"""A run as a whole: killed, repeated, one day at a time, beside another one, and on changed projects."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from meterhouse.errors import WarehouseBusy
from meterhouse.planning.fingerprints import frame_digest
from tests.reliability.comparing import BILLED, FEBRUARY, MIDDLE, all_pass, assert_same, copied, final, numbers
from tests.small_project import (
    FIRST_DAY,
    LAST_DAY,
    contents,
    edit,
    events,
    make_project,
    rows,
    run_through,
    warehouse_of,
    write_events,
)

pytestmark = pytest.mark.usefixtures("quick")

REPOSITORY = Path(__file__).parents[2]


# --- The same run again -----------------------------------------------------------------------------------------------


def test_the_project_has_something_of_everything(uninterrupted: Path) -> None:
    """Else the tests below would prove little."""
    invoices = warehouse_of(uninterrupted).scan("invoices").collect()
    assert set(invoices["currency"]) == {"EUR", "JPY", "KWD", "USD"}
    assert invoices["is_zero"].any()
    assert len(invoices["month"].unique()) == 4
    landed = warehouse_of(uninterrupted).scan("landed_files").select(pl.col(pl.Int64).sum()).collect()
    assert landed.drop("bytes").row(0, named=True) == {
        "records": len(events()) + 9,
        "events": len(events()),
        "rejected": 4,
        "duplicates": 3,
        "conflicts": 2,
        "voids": 0,
        "rounded_numbers": 0,
    }
    kinds = {kind for (kind,) in rows(uninterrupted, "credit_ledger", "kind")}
    assert kinds == {"granted", "used", "rolled_over", "forfeited"}
    assert rows(uninterrupted, "rejected_rows", "path", "row") == [("subscriptions.csv", 10)]
    assert {origin for (origin,) in rows(uninterrupted, "credit_ledger", "origin")} == {"benefit", "rollover"}
    assert sum(skipped for (skipped,) in rows(uninterrupted, "usage", "skipped")) > 0
    assert warehouse_of(uninterrupted).scan("estimates").collect().height > 0


def test_a_second_run_changes_no_table(ran: Path) -> None:
    versions = warehouse_of(ran).versions()
    report = run_through(ran)
    assert warehouse_of(ran).versions() == versions
    assert report.days_metered == []
    assert report.landing.seen_before == 9


def test_files_that_are_touched_renamed_or_copied_change_no_table(ran: Path) -> None:
    versions = warehouse_of(ran).versions()
    shutil.copy(ran / "events" / "00.jsonl", ran / "events" / "copy.jsonl")
    (ran / "events" / "02.parquet").rename(ran / "events" / "renamed.parquet")
    (ran / "events" / "04.jsonl").touch()
    run_through(ran)
    assert warehouse_of(ran).versions() == versions


def test_equal_rows_have_one_digest_wherever_they_come_from(tmp_path: Path) -> None:
    """Equal frames lie in memory in different ways, by the files and the order in which they were read."""
    frame = pl.DataFrame({"name": [f"text that is longer than twelve bytes {n}" for n in range(40)], "n": range(40)})
    for number, part in enumerate(frame.reverse().iter_slices(17)):
        part.write_parquet(tmp_path / f"{number}.parquet")
    assert frame_digest(pl.read_parquet(tmp_path / "*.parquet")) == frame_digest(frame)
    assert frame_digest(frame.with_columns(name=pl.lit(""))) != frame_digest(frame.with_columns(name=pl.lit(None)))


# --- Killed -----------------------------------------------------------------------------------------------------------


def start(root: Path, *arguments: str, through: date = LAST_DAY) -> subprocess.Popen[str]:
    """Start a run in a process of its own; returns when it begins."""
    command = [sys.executable, "-m", "tests.reliability.runner", str(root), str(through), *arguments]
    environment = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'src'}", "POLARS_MAX_THREADS": "2"}
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def killed(process: subprocess.Popen[str]) -> bool:
    """Wait for the end; whether it was a violent one."""
    _, errors = process.communicate(timeout=60)
    assert process.returncode in {0, -signal.SIGKILL}, errors
    return process.returncode != 0


STEPS = {
    "landing: events written, no file noted": ("write", 2),
    "metering: days written, not noted": ("write", 16),
    "billing: journal complete, nothing appended": ("apply", 1),
    "billing: invoices without their credits": ("write", 24),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_run_killed_at_a_step_and_repeated_is_as_if_it_had_not_been(
    uninterrupted: Path, tmp_path: Path, step: str
) -> None:
    root = make_project(tmp_path / "project")
    name, number = STEPS[step]
    assert killed(start(root, name, str(number)))
    run_through(root)
    assert_same(contents(root), contents(uninterrupted))


def test_runs_killed_at_random_moments_end_as_if_they_had_not_been(uninterrupted: Path, tmp_path: Path) -> None:
    expected = contents(uninterrupted)
    deaths = 0
    for number, seconds in enumerate(random.Random(26).uniform(0.05, 1) for _ in range(5)):
        root = make_project(tmp_path / str(number))
        process = start(root)
        time.sleep(seconds)
        process.kill()
        deaths += killed(process)
        run_through(root)
        assert_same(contents(root), expected)
    assert deaths > 0


def test_a_run_that_is_killed_again_and_again_gets_there(uninterrupted: Path, tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    for steps in (5, 9, 5):
        assert killed(start(root, "write", str(steps)))
    run_through(root)
    assert_same(contents(root), contents(uninterrupted))


def test_a_run_cut_off_after_metering_is_stale_though_the_change_is_taken_back(tmp_path: Path) -> None:
    """The states were replaced under a meter that the catalog no longer has when the next run begins."""
    root = make_project(tmp_path / "project", grace_days=30)
    run_through(root)
    before = contents(root, ["usage_daily"])["usage_daily"]
    edit(root / "catalog" / "meters.yaml", "value: large", "value: none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("meterhouse.planning.usage.note_made", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_through(root)
    edit(root / "catalog" / "meters.yaml", "value: none", "value: large")
    run_through(root)
    assert_frame_equal(contents(root, ["usage_daily"])["usage_daily"], before)


CUT_OFF: Final = {
    "nothing written": ("meter", "1", 0),
    "first days written, not noted": ("metered", "1", 31),
    "first days noted": ("meter", "2", 31),
    "all days written, the last not noted": ("metered", "2", 40),
}
"""A step of metering two batches of days, its turn, and the days that were metered again before it."""

OTHERS: Final = pl.col("meter") != "tokens"


@pytest.fixture(scope="module")
def changed(uninterrupted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after a run, a change of one of its meters, and a run that was not killed."""
    root = copied(uninterrupted, tmp_path_factory.mktemp("changed"))
    change_meter(root)
    run_through(root)
    return root


def change_meter(root: Path) -> None:
    edit(root / "catalog" / "meters.yaml", "value: large", "value: large-1")


@pytest.mark.parametrize("instant", CUT_OFF)
def test_a_run_killed_while_one_meter_is_replaced_among_others_ends_as_if_it_had_not_been(
    ran: Path, uninterrupted: Path, changed: Path, instant: str
) -> None:
    """Rows of all meters share a day's files: those of other meters are written again as they were."""
    step, turn, days_replaced = CUT_OFF[instant]
    before, after = (states_of(root) for root in (uninterrupted, changed))
    change_meter(ran)

    assert killed(start(ran, step, turn))

    replaced = pl.col("date") < FIRST_DAY + timedelta(days=days_replaced)
    assert_frame_equal(states_of(ran), pl.concat([after.filter(replaced), before.filter(~replaced)]))
    assert_frame_equal(states_of(ran).filter(OTHERS), before.filter(OTHERS))
    run_through(ran)
    assert_frame_equal(states_of(ran), after)
    assert_same(contents(ran), contents(changed))


@pytest.mark.parametrize("instant", ["first days written, not noted", "first days noted"])
def test_a_change_taken_back_after_the_kill_leaves_the_states_of_before(
    ran: Path, uninterrupted: Path, instant: str
) -> None:
    step, turn, _ = CUT_OFF[instant]
    change_meter(ran)
    assert killed(start(ran, step, turn))
    edit(ran / "catalog" / "meters.yaml", "value: large-1", "value: large")
    run_through(ran)
    assert_same(contents(ran, BILLED), contents(uninterrupted, BILLED))


def states_of(root: Path) -> pl.DataFrame:
    """Rows of `usage_daily`, day by day."""
    return contents(root, ["usage_daily"])["usage_daily"].sort("date", maintain_order=True)


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


# --- Two at once ------------------------------------------------------------------------------------------------------


def test_of_two_runs_at_once_one_says_that_the_warehouse_is_busy(uninterrupted: Path, tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    both = [start(root), start(root)]
    errors = [process.communicate(timeout=60)[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, WarehouseBusy.exit_code]
    told = errors[codes.index(WarehouseBusy.exit_code)]
    assert f"is held by process {both[codes.index(0)].pid} on" in told
    assert_same(contents(root), contents(uninterrupted))


# --- Day after day ----------------------------------------------------------------------------------------------------


def test_daily_runs_end_with_the_invoices_of_one_run(uninterrupted: Path, tmp_path: Path) -> None:
    """But for the instants at which they became final, and were due."""
    root = make_project(tmp_path / "project")
    for days in range(-2, (LAST_DAY - FIRST_DAY).days + 1, 6):
        run_through(root, FIRST_DAY + timedelta(days=days))
    run_through(root)
    daily, once = contents(root, BILLED), contents(uninterrupted, BILLED)
    when = ["finalized_at", "due_at"]
    assert len(daily["invoices"]["finalized_at"].unique()) > 4
    daily["invoices"], once["invoices"] = daily["invoices"].drop(when), once["invoices"].drop(when)
    assert_same(daily, once)


def test_numbers_have_no_gaps_over_runs(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    last = 0
    for through in (FEBRUARY, MIDDLE, date(2026, 3, 3), LAST_DAY):
        before = final(root)["invoices"] if last else None
        run_through(root, through)
        found = numbers(root)
        assert found == list(range(1, len(found) + 1))
        if before is not None:
            kept = final(root)["invoices"].filter(pl.col("sequence") <= last)
            assert_frame_equal(kept, before)
        last = len(found)
    assert rows(root, "invoices", "number")[-1] == (f"SMALL-{last:06}",)


def test_a_run_through_an_earlier_day_takes_nothing_back(ran: Path) -> None:
    before, usage = final(ran), contents(ran, ["usage", "billing_periods"])
    run_through(ran, FEBRUARY)
    assert_same(final(ran), before)
    run_through(ran)
    assert_same(final(ran), before)
    assert_same(contents(ran, ["usage", "billing_periods"]), usage)


def test_a_subscription_added_after_a_later_clock_is_numbered_in_order(ran: Path) -> None:
    """A run for an earlier day bills through the latest one: numbers and dates both rise."""
    edit(ran / "subscriptions.csv", "s-dia,", "s-new,dia,yen,2026-01-05,,,,\ns-dia,")
    run_through(ran, FEBRUARY)
    assert ("s-new",) in rows(ran, "invoices", "subscription_id")
    dated = contents(ran, ["invoices"])["invoices"].sort("sequence")
    assert dated["finalized_at"].is_sorted()
    assert all_pass(ran)


# --- Order and split of files -----------------------------------------------------------------------------------------


def landed(root: Path) -> pl.DataFrame:
    """Events without the file that brought each; properties are compared too."""
    return contents(root, ["events"])["events"].drop("file_id", "position")


def split(root: Path, days_a_file: int) -> Path:
    for file in (root / "events").glob("0*"):
        file.unlink()
    write_events(root / "events", events(), days_a_file)
    return root


@pytest.mark.parametrize("days_a_file", [1, 40])
def test_files_split_otherwise_give_the_same_events_and_invoices(tmp_path: Path, days_a_file: int) -> None:
    one = make_project(tmp_path / "one", conflicts=False)
    other = split(make_project(tmp_path / "other", conflicts=False), days_a_file)
    run_through(one)
    run_through(other)
    assert_frame_equal(landed(other), landed(one), check_column_order=False)
    assert_same(contents(other, BILLED), contents(one, BILLED))


def test_files_that_arrive_in_another_order_give_the_same_events_and_invoices(tmp_path: Path) -> None:
    one = make_project(tmp_path / "one", conflicts=False)
    run_through(one)
    other = make_project(tmp_path / "other", conflicts=False)
    files = sorted((other / "events").iterdir())
    random.Random(7).shuffle(files)
    waiting = other / "waiting"
    waiting.mkdir()
    for file in files:
        file.rename(waiting / file.name)
    for arriving in (files[:3], files[3:4], files[4:8], files[8:]):
        for file in arriving:
            (waiting / file.name).rename(other / "events" / file.name)
        run_through(other, LAST_DAY if files[-1] in arriving else FIRST_DAY - timedelta(days=25))
    assert_frame_equal(landed(other), landed(one), check_column_order=False)
    when = ["finalized_at", "due_at"]
    assert_frame_equal(final(other)["invoices"].drop(when), final(one)["invoices"].drop(when))
    assert_frame_equal(final(other)["invoice_lines"], final(one)["invoice_lines"])
