"""What was invoiced stays: late events, changed projects, rows that contradict it, credits that are carried over."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from meterhouse.planning import clock_after
from tests.reliability.comparing import FEBRUARY, FINAL, MIDDLE, all_pass, assert_same, final
from tests.small_project import (
    FIRST_DAY,
    LAST_DAY,
    call,
    contents,
    edit,
    make_project,
    rows,
    run_through,
    warehouse_of,
    write_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.usefixtures("quick")


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


def test_a_changed_meter_leaves_final_usage_as_it_was_and_the_audit_passes(ran: Path) -> None:
    before = final(ran)
    edit(ran / "catalog" / "meters.yaml", "value: large", "value: small")
    run_through(ran)
    assert_same(final(ran), before)
    assert all_pass(ran)


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


def test_after_a_run_through_an_earlier_day_what_is_final_still_may_not_move(ran: Path) -> None:
    run_through(ran, FEBRUARY)
    edit(ran / "subscriptions.csv", "2026-03-12T15:30:00Z", "2026-03-12T15:31:00Z")
    assert "A final invoice does not move" in refusal(ran)


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
