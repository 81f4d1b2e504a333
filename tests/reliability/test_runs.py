"""A run as a whole: killed, repeated, one day at a time, beside another one, and on changed projects."""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from meterhouse.auditing import audit
from meterhouse.errors import WarehouseBusy
from meterhouse.planning import clock_after
from meterhouse.planning.fingerprints import frame_digest
from tests.small_project import (
    FIRST_DAY,
    LAST_DAY,
    call,
    contents,
    edit,
    events,
    make_project,
    rows,
    run_through,
    warehouse_of,
    without_waiting_for_the_disk,
    write_events,
    write_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REPOSITORY = Path(__file__).parents[2]

FEBRUARY = date(2026, 2, 28)
MIDDLE = date(2026, 3, 20)

FINAL = ("invoices", "invoice_lines", "rated_lines", "credit_ledger")
BILLED = (*FINAL, "usage", "usage_daily", "billing_periods", "estimates")
"""What a run is for; beside it stands what it remembers of files and runs."""


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with without_waiting_for_the_disk():
        yield


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after one run through its last day. Copy it before changing it."""
    root = make_project(tmp_path_factory.mktemp("uninterrupted") / "project")
    run_through(root)
    return root


@pytest.fixture
def ran(uninterrupted: Path, tmp_path: Path) -> Path:
    """A copy of the project after one run."""
    return copied(uninterrupted, tmp_path)


def copied(root: Path, folder: Path) -> Path:
    return Path(shutil.copytree(root, folder / "copy"))


def assert_same(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    assert found.keys() == expected.keys()
    different = [table for table, frame in expected.items() if not frame.equals(found[table])]
    for table in different:
        assert_frame_equal(found[table], expected[table])
    assert different == []


def numbers(root: Path) -> list[int]:
    return [sequence for (sequence,) in rows(root, "invoices", "sequence")]


def final(root: Path) -> dict[str, pl.DataFrame]:
    return contents(root, FINAL)


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


def test_after_a_run_through_an_earlier_day_what_is_final_still_may_not_move(ran: Path) -> None:
    run_through(ran, FEBRUARY)
    edit(ran / "subscriptions.csv", "2026-03-12T15:30:00Z", "2026-03-12T15:31:00Z")
    assert "A final invoice does not move" in refusal(ran)


def test_a_subscription_added_after_a_later_clock_is_numbered_in_order(ran: Path) -> None:
    """A run for an earlier day bills through the latest one: numbers and dates both rise."""
    edit(ran / "subscriptions.csv", "s-dia,", "s-new,dia,yen,2026-01-05,,,,\ns-dia,")
    run_through(ran, FEBRUARY)
    assert ("s-new",) in rows(ran, "invoices", "subscription_id")
    dated = contents(ran, ["invoices"])["invoices"].sort("sequence")
    assert dated["finalized_at"].is_sorted()
    assert all_pass(ran)


def test_a_changed_meter_leaves_final_usage_as_it_was_and_the_audit_passes(ran: Path) -> None:
    before = final(ran)
    edit(ran / "catalog" / "meters.yaml", "value: large", "value: small")
    run_through(ran)
    assert_same(final(ran), before)
    assert all_pass(ran)


def all_pass(root: Path) -> bool:
    """Whether the audit agrees with all that is stored."""
    return all(finding.passed for finding in audit(warehouse_of(root)))


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


# --- What is final stays ----------------------------------------------------------------------------------------------


def land_late(root: Path, *late: str) -> None:
    """Calls of Ada on days, each of which would cost something."""
    write_file(root / "events", "late", [call(f"late {day}", "ada", f"{day}T12:00:00Z", 50_000) for day in late])


def test_late_events_change_usage_by_day_but_no_final_cycle(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    run_through(root, MIDDLE)
    before = final(root)
    usage = usage_of(root, "s-ada", 1)
    land_late(root, "2026-02-27")
    report = run_through(root, MIDDLE)
    assert report.days_metered == [date(2026, 2, 27)]
    assert_same(final(root), before)
    assert usage_of(root, "s-ada", 1) == usage
    run_through(root)
    for table, frame in before.items():
        assert_frame_equal(final(root)[table].join(frame, on=list(frame.columns), how="semi", nulls_equal=True), frame)


def usage_of(root: Path, subscription: str, cycle: int) -> list[tuple[object, ...]]:
    usage = rows(root, "usage", "subscription_id", "cycle", "meter", "quantity", "events")
    return [row for row in usage if row[:2] == (subscription, cycle)]


def test_within_grace_an_invoice_is_a_draft_that_late_events_change(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project", grace_days=3)
    run_through(root, date(2026, 3, 2))
    drafted = draft_of(root, "s-ada/2/0")
    land_late(root, "2026-02-27")
    run_through(root, date(2026, 3, 2))
    assert draft_of(root, "s-ada/2/0") > drafted
    assert ("s-ada/2/0",) not in rows(root, "invoices", "invoice_id")
    run_through(root, date(2026, 3, 3))
    assert ("s-ada/2/0", clock_after(date(2026, 3, 3))) in rows(root, "invoices", "invoice_id", "finalized_at")
    assert ("s-ada/2/0",) not in rows(root, "draft_invoices", "invoice_id")
    billed = dict(rows(root, "invoices", "invoice_id", "total_minor"))["s-ada/2/0"]
    land_late(root, "2026-02-27", "2026-02-28")
    run_through(root)
    assert dict(rows(root, "invoices", "invoice_id", "total_minor"))["s-ada/2/0"] == billed


def test_runs_within_grace_end_with_the_same_invoices(tmp_path: Path) -> None:
    """Several drafts of a subscription wait at once; credits pass from one to the next."""
    once = make_project(tmp_path / "once", grace_days=40)
    often = make_project(tmp_path / "often", grace_days=40)
    last = LAST_DAY + timedelta(days=10)
    run_through(once, last)
    for through in (FEBRUARY, MIDDLE, last):
        run_through(often, through)
    when = ["finalized_at", "due_at"]
    found, expected = contents(often), contents(once)
    assert_frame_equal(found["invoices"].drop(when), expected["invoices"].drop(when))
    for table in (*FINAL[1:], "draft_invoices", "draft_invoice_lines", "draft_credit_entries", "usage", "estimates"):
        assert_frame_equal(found[table], expected[table])


def draft_of(root: Path, invoice: str) -> int:
    return int(dict(rows(root, "draft_invoices", "invoice_id", "total_minor"))[invoice])


def refusal(root: Path) -> str:
    """Why the one row cannot be used that would move what was invoiced."""
    run_through(root)
    (told,) = [told for (told,) in rows(root, "rejected_rows", "explanation") if "was invoiced" in told]
    return str(told)


def test_a_longer_grace_period_leaves_final_what_is_final(ran: Path) -> None:
    before = final(ran)
    edit(ran / "meterhouse.yaml", "grace_days: 0", "grace_days: 30")
    run_through(ran)
    assert_same(final(ran), before)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("pro,2026-02-05,", "pro,2026-02-06,", id="start"),
        pytest.param("2026-03-12T15:30:00Z,at_once", "2026-02-20,at_once", id="end before the end of a final cycle"),
        pytest.param("2026-03-12T15:30:00Z", "2026-03-05T08:00:00Z", id="end that leaves a final cycle out"),
        pytest.param("at_once,,America/Los_Angeles", "at_once,,UTC", id="timezone"),
    ],
)
def test_a_subscription_changed_under_a_final_invoice_is_refused(ran: Path, old: str, new: str) -> None:
    """Its row is set aside with the reason, and the other subscriptions go on."""
    versions = {table: warehouse_of(ran).version(table) for table in FINAL}
    drafted = rows(ran, "draft_invoices", "subscription_id")
    edit(ran / "subscriptions.csv", old, new)
    told = "'s-fay' was invoiced for .* to .*; this row .* restore the row, or end the subscription after"
    assert re.search(told, refusal(ran))
    assert {table: warehouse_of(ran).version(table) for table in FINAL} == versions
    assert set(rows(ran, "draft_invoices", "subscription_id")) == set(drafted) - {("s-fay",)}
    edit(ran / "subscriptions.csv", new, old)
    run_through(ran)
    assert {table: warehouse_of(ran).version(table) for table in FINAL} == versions


def test_a_removed_subscription_leaves_its_invoices_and_usage(ran: Path) -> None:
    before, usage = final(ran), rows(ran, "usage", "subscription_id", "cycle", "meter", "quantity")
    row = "s-cem,cem,dinar,2026-02-18,,,,Asia/Kuwait\n"
    edit(ran / "subscriptions.csv", row, "")
    run_through(ran)
    assert_same(final(ran), before)
    gone = set(usage) - set(rows(ran, "usage", "subscription_id", "cycle", "meter", "quantity"))
    assert {(subscription, cycle) for subscription, cycle, *_ in gone} == {("s-cem", 6)}
    assert not any(subscription == "s-cem" for (subscription,) in rows(ran, "estimates", "subscription_id"))


def test_a_removed_subscription_may_not_come_back_elsewhere(ran: Path) -> None:
    row = "s-cem,cem,dinar,2026-02-18,,,,Asia/Kuwait\n"
    edit(ran / "subscriptions.csv", row, "")
    run_through(ran)
    edit(ran / "subscriptions.csv", "s-dia,", row.replace("2026-02-18", "2026-02-19") + "s-dia,")
    assert "A final invoice does not move" in refusal(ran)


def test_a_changed_price_changes_drafts_only(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project", grace_days=5)
    run_through(root)
    before, drafted = final(root), draft_of(root, "s-ada/3/0")
    edit(root / "catalog" / "products.yaml", "amount: 49, billed", "amount: 50, billed")
    run_through(root)
    assert_same(final(root), before)
    assert draft_of(root, "s-ada/3/0") == drafted + 100


def test_a_removed_product_leaves_its_invoices(ran: Path) -> None:
    before = final(ran)
    catalog = (ran / "catalog" / "products.yaml").read_text(encoding="utf-8")
    start_of, end_of = catalog.index("  dinar:"), catalog.index("  measured:")
    edit(ran / "catalog" / "products.yaml", catalog[start_of:end_of], "")
    report = run_through(ran)
    assert_same(final(ran), before)
    assert "product 'dinar' is not in the catalog" in " ".join(report.rejected_rows["explanation"])


# --- Boundaries and zero ----------------------------------------------------------------------------------------------


def test_the_fee_of_the_next_cycle_is_on_the_invoice_where_the_clock_is_the_boundary(uninterrupted: Path) -> None:
    issued = rows(uninterrupted, "invoices", "invoice_id", "issued_at", "finalized_at")
    boundary = datetime(2026, 4, 1, tzinfo=UTC)
    assert ("s-ada/3/0", boundary, boundary) in issued
    lines = rows(uninterrupted, "invoice_lines", "invoice_id", "price_id", "period_start", "period_end", "amount_minor")
    april, may = boundary, datetime(2026, 5, 1, tzinfo=UTC)
    assert ("s-ada/3/0", "fee", april, may, 4900) in lines
    assert ("s-ada/3/0", "support", datetime(2026, 3, 1, tzinfo=UTC), april, 550) in lines


def test_a_day_earlier_that_invoice_is_not_there(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    run_through(root, LAST_DAY - timedelta(days=1))
    assert ("s-ada/3/0",) not in rows(root, "invoices", "invoice_id")
    assert ("s-ada/3/0",) not in rows(root, "draft_invoices", "invoice_id")


def test_events_on_a_boundary_belong_to_the_cycle_that_begins_there(tmp_path: Path) -> None:
    """To the microsecond, also where the boundary is local and lies within a day."""
    root = make_project(tmp_path / "project")
    for file in (root / "events").iterdir():
        file.unlink()
    at = ("2026-03-05T07:59:59.999999Z", "2026-03-05T08:00:00Z", "2026-03-12T15:29:59.999999Z", "2026-03-12T15:30:00Z")
    calls = [call(f"event {place}", "fay", instant) for place, instant in enumerate(at)]
    write_file(root / "events", "boundaries", calls)
    run_through(root)
    usage = rows(root, "usage", "subscription_id", "meter", "cycle", "events")
    assert [row[2:] for row in usage if row[:2] == ("s-fay", "calls")] == [(0, 1), (1, 2)]


def test_invoices_of_nothing_are_made_and_marked(uninterrupted: Path) -> None:
    invoices = rows(uninterrupted, "invoices", "subscription_id", "total_minor", "is_zero", "status")
    assert {row[1:] for row in invoices if row[0] == "s-eve"} == {(0, True, "finalized")}
    assert all(zero == (total == 0) for _, total, zero, _ in invoices)


# --- Credits that are carried over ------------------------------------------------------------------------------------


def assert_ledger_adds_up(root: Path) -> None:
    """Balances are sums of entries, and what passes out of a cycle comes into the next (rule 5.8)."""
    warehouse = warehouse_of(root)
    entries = pl.concat([warehouse.scan(table) for table in ("credit_ledger", "draft_credit_entries")]).collect()
    assert entries["entry_id"].is_unique().all()
    key = ["subscription_id", "meter", "cycle"]
    out = entries.filter(kind="rolled_over").group_by(key).agg(passed=-pl.col("units").sum())
    came = entries.filter(kind="granted", origin="rollover").group_by(key).agg(came=pl.col("units").sum())
    passed = out.with_columns(pl.col("cycle") + 1)
    assert_frame_equal(passed.rename({"passed": "came"}), came, check_row_order=False)
    closed = entries.filter(pl.col("period_end") <= clock_after(LAST_DAY))
    left = closed.group_by(key).agg(pl.col("units").sum())
    assert set(left["units"]) == {Decimal(0)}


def test_credits_carried_over_are_used_when_their_benefit_is_gone(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    run_through(root, date(2026, 3, 5))
    assert ("s-ada", 1, Decimal(-9502)) in rolled(root)
    catalog = (root / "catalog" / "products.yaml").read_text(encoding="utf-8")
    edit(root / "catalog" / "products.yaml", benefits_of(catalog), "")
    run_through(root)
    ledger = rows(root, "credit_ledger", "subscription_id", "cycle", "kind", "origin", "units")
    assert [row[1:] for row in ledger if row[:2] == ("s-ada", 2)] == [
        (2, "granted", "rollover", Decimal(9502)),
        (2, "used", "rollover", Decimal(-9502)),
    ]
    assert_ledger_adds_up(root)


@pytest.mark.parametrize("without", ["price", "meter"])
def test_credits_carried_over_are_not_lost_when_their_price_or_meter_is_gone(tmp_path: Path, without: str) -> None:
    root = make_project(tmp_path / "project")
    run_through(root, date(2026, 3, 5))
    products = root / "catalog" / "products.yaml"
    catalog = products.read_text(encoding="utf-8")
    edit(products, benefits_of(catalog), "")
    price = catalog[catalog.index("      - id: tokens") : catalog.index("      - { id: calls")]
    edit(products, price, "")
    if without == "meter":
        edit(products, "      - { id: tokens, kind: unit, currency: KWD, meter: tokens, amount: 0.000137 }\n", "")
        meters = root / "catalog" / "meters.yaml"
        text = meters.read_text(encoding="utf-8")
        edit(meters, text[text.index("  tokens:") : text.index("  largest:")], "")
    run_through(root)
    assert_ledger_adds_up(root)


def rolled(root: Path) -> Iterable[tuple[object, ...]]:
    entries = rows(root, "credit_ledger", "subscription_id", "cycle", "units", "kind")
    return {row[:3] for row in entries if row[3] == "rolled_over"}


def benefits_of(catalog: str) -> str:
    return catalog[catalog.index("    benefits:") : catalog.index("  yen:")]


# --- Rows that contradict what was invoiced ---------------------------------------------------------------------------


def lines_of_customer(root: Path, customer: str) -> list[tuple[Any, ...]]:
    """Final lines of a customer: what was billed for which time."""
    tables = contents(root, ["invoices", "invoice_lines"])
    owned = tables["invoices"].filter(pl.col("customer_id") == customer).select("invoice_id")
    lines = tables["invoice_lines"].join(owned, on="invoice_id", how="semi")
    return lines.select("price_id", "meter", "period_start", "period_end").rows()


def test_a_subscription_under_a_new_id_does_not_bill_again(ran: Path) -> None:
    before = lines_of_customer(ran, "ada")
    edit(ran / "subscriptions.csv", "s-ada,", "s-ada-new,")
    assert "'s-ada-new' would bill what was invoiced under 's-ada'" in refusal(ran)
    assert lines_of_customer(ran, "ada") == before


def test_fees_alone_do_not_bill_again_under_a_new_id(ran: Path) -> None:
    edit(ran / "catalog" / "products.yaml", "  free:\n", FEE_ONLY + "  free:\n")
    edit(ran / "subscriptions.csv", "s-dia,", "s-fee,eve,fee,2026-01-01,,,,\ns-dia,")
    run_through(ran)
    edit(ran / "subscriptions.csv", "s-fee,", "s-fee-new,")
    assert "'s-fee-new' would bill what was invoiced under 's-fee'" in refusal(ran)


def test_a_fault_in_one_of_two_subscriptions_leaves_the_other_alone(tmp_path: Path) -> None:
    """A customer may pay the same fee twice; that the row of one is set aside makes no new id of the other."""
    root = make_project(tmp_path / "project")
    edit(root / "catalog" / "products.yaml", "  free:\n", FEE_ONLY + "  free:\n")
    two = "s-fee/1,eve,fee,2026-01-01,,,,\ns-fee/2,eve,fee,2026-01-01,,,,\ns-dia,"
    edit(root / "subscriptions.csv", "s-dia,", two)
    run_through(root)
    edit(root / "subscriptions.csv", "s-fee/1,eve,fee,", "s-fee/1,eve,free,")
    assert "'s-fee/1' was invoiced to 'eve' for product 'fee'" in refusal(root)
    assert ("s-fee/2",) in rows(root, "subscriptions", "subscription_id")


FEE_ONLY: Final = """\
  fee:
    prices: [{ id: fee, kind: fixed, amount: 3 }]
"""


def test_usage_that_one_row_billed_while_another_was_faulty_is_not_billed_by_the_other(tmp_path: Path) -> None:
    """Two rows of a customer overlap: the later is refused. With a fault in the first it is the later one's turn."""
    root = make_project(tmp_path / "project")
    edit(root / "subscriptions.csv", "s-dia,", "s-two,bob,yen,2026-02-19,,,,Asia/Tokyo\ns-dia,")
    edit(root / "subscriptions.csv", "s-bob,bob,yen,2026-02-19,,,,Asia/Tokyo", "s-bob,bob,yen,2026-02-19,,,,Tokyo")
    run_through(root)
    before = lines_of_customer(root, "bob")
    edit(root / "subscriptions.csv", "s-bob,bob,yen,2026-02-19,,,,Tokyo", "s-bob,bob,yen,2026-02-19,,,,Asia/Tokyo")
    assert "'s-bob' would bill what was invoiced under 's-two'" in refusal(root)
    assert lines_of_customer(root, "bob") == before
    assert ("s-two",) in rows(root, "subscriptions", "subscription_id")


def test_a_start_that_moves_under_a_fee_billed_in_advance_is_refused(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    run_through(root, FIRST_DAY + timedelta(days=5))
    assert ("s-bob/0/0",) in rows(root, "invoices", "invoice_id")
    edit(root / "subscriptions.csv", "s-bob,bob,yen,2026-02-19", "s-bob,bob,yen,2026-02-10")
    assert "A final invoice does not move" in refusal(root)


def test_an_end_at_once_may_cut_a_cycle_whose_fee_was_billed_in_advance(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    run_through(root, FIRST_DAY + timedelta(days=5))
    edit(root / "subscriptions.csv", "s-bob,bob,yen,2026-02-19,,", "s-bob,bob,yen,2026-02-19,2026-03-01,at_once")
    run_through(root)
    assert ("s-bob/1/0",) in rows(root, "invoices", "invoice_id")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("s-bob,bob,yen", "s-bob,bob,free", id="product"),
        pytest.param("s-bob,bob,yen", "s-bob,ivy,yen", id="customer"),
    ],
)
def test_an_invoiced_subscription_keeps_its_product_and_customer(ran: Path, old: str, new: str) -> None:
    edit(ran / "subscriptions.csv", old, new)
    assert "'s-bob' was invoiced to 'bob' for product 'yen'; this row says" in refusal(ran)


def test_another_series_begins_with_one(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    run_through(root, FEBRUARY)
    edit(root / "meterhouse.yaml", "invoice_series: SMALL", "invoice_series: LATER")
    run_through(root)
    numbers = contents(root, ["invoices"])["invoices"].select("number", "sequence").rows()
    for series in ("SMALL", "LATER"):
        of_series = sorted(place for number, place in numbers if number.startswith(series))
        assert of_series == list(range(1, len(of_series) + 1))
        assert of_series
    assert all_pass(root)


def test_a_run_cut_off_after_metering_is_stale_though_the_change_is_taken_back(tmp_path: Path) -> None:
    """The states were replaced under a meter that the catalog no longer has when the next run begins."""
    root = make_project(tmp_path / "project", grace_days=30)
    run_through(root)
    before = contents(root, ["usage_daily"])["usage_daily"]
    edit(root / "catalog" / "meters.yaml", "value: large", "value: none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("meterhouse.planning.usage.record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_through(root)
    edit(root / "catalog" / "meters.yaml", "value: none", "value: large")
    run_through(root)
    assert_frame_equal(contents(root, ["usage_daily"])["usage_daily"], before)


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt
