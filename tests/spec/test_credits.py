"""How meter credits are granted, used, carried over and forfeited (rule 5)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest

from meterhouse.credits import burn_down, carried_over, credit_demand, credited
from meterhouse.tables import (
    Benefits,
    Billables,
    BillingPeriods,
    CreditDemand,
    CreditLedger,
    CreditsCarried,
    Usage,
    empty,
    verify,
)
from tests.tables import assert_rows, rows

NOTHING_CARRIED = empty(CreditsCarried)


def benefits(text: str) -> pl.LazyFrame:
    return rows(Benefits, text, product="pro", meter="calls", priority=0)


def demand(text: str) -> pl.LazyFrame:
    """Cycles that are over, of one customer's subscription that goes on, unless the text says otherwise."""
    return rows(
        CreditDemand,
        text,
        subscription_id="s1",
        meter="calls",
        customer_id="ada",
        product="pro",
        period_start="2025-01-01",
        period_end="2025-02-01",
        is_closed=True,
        is_last=False,
    )


def carried(text: str) -> pl.LazyFrame:
    return rows(CreditsCarried, text, subscription_id="s1", meter="calls")


MONTHLY = benefits("""
    benefit_id | units | rollover
    monthly    | 100   | no
""")
ROLLING = benefits("""
    benefit_id | units | rollover
    rolling    | 50    | yes
""")


def test_unused_units_are_forfeited_at_the_end_of_the_cycle() -> None:
    ledger = burn_down(
        demand("""
            cycle | wanted
            0     | 30.5
        """),
        MONTHLY,
        NOTHING_CARRIED,
    )
    assert_rows(
        ledger,
        """
        kind      | origin  | benefit_id | units | balance_before | balance_after | rank | rollover | occurred_at
        granted   | benefit | monthly    | 100   | 0              | 100           | 1    | no       | 2025-01-01
        used      | benefit | monthly    | -30.5 | 100            | 69.5          | 1    | no       | 2025-02-01
        forfeited | benefit | monthly    | -69.5 | 69.5           | 0             | 1    | no       | 2025-02-01
        """,
    )


def test_entries_name_their_grant_and_are_named_by_it() -> None:
    ledger = burn_down(
        demand("""
            subscription_id | cycle | wanted
            s/1             | 3     | 200
        """),
        MONTHLY,
        NOTHING_CARRIED,
    )
    assert_rows(
        ledger,
        """
        entry_id                              | grant_id                      | subscription_id | customer_id | cycle
        s%2F1/calls/3/benefit/monthly/granted | s%2F1/calls/3/benefit/monthly | s/1             | ada         | 3
        s%2F1/calls/3/benefit/monthly/used    | s%2F1/calls/3/benefit/monthly | s/1             | ada         | 3
        """,
    )


def test_entries_stay_apart_where_names_look_like_escaped_names() -> None:
    ledger = burn_down(
        demand("""
            subscription_id | cycle | wanted
            s/1             | 0     | 200
            s%2F1           | 0     | 200
        """),
        MONTHLY,
        NOTHING_CARRIED,
    )
    assert verify(ledger.collect(), CreditLedger)["grant_id"].n_unique() == 2


def test_no_more_than_the_grant_is_used() -> None:
    ledger = burn_down(
        demand("""
            cycle | wanted
            0     | 150
        """),
        MONTHLY,
        NOTHING_CARRIED,
    )
    assert_rows(
        credited(ledger),
        """
        subscription_id | cycle | meter | units
        s1              | 0     | calls | 100
        """,
    )


def test_an_open_cycle_forfeits_and_carries_nothing_yet() -> None:
    ledger = burn_down(
        demand("""
            cycle | wanted | is_closed
            0     | 30     | no
        """),
        ROLLING,
        NOTHING_CARRIED,
    )
    assert_rows(
        ledger,
        """
        kind    | units | balance_after
        granted | 50    | 50
        used    | -30   | 20
        """,
    )


def test_nothing_is_granted_where_the_product_has_no_benefit_on_the_meter() -> None:
    ledger = burn_down(
        demand("""
            product | meter   | cycle | wanted
            pro     | storage | 0     | 30
            free    | calls   | 0     | 30
        """),
        ROLLING,
        NOTHING_CARRIED,
    )
    assert ledger.collect().is_empty()


def test_no_demand_makes_an_empty_ledger() -> None:
    assert burn_down(empty(CreditDemand), ROLLING, NOTHING_CARRIED).collect().is_empty()


# --- Order of burn-down -----------------------------------------------------------------------------------------------


def test_order_is_priority_then_earlier_expiry_then_earlier_effective_then_benefit() -> None:
    ledger = burn_down(
        demand("""
            cycle | wanted
            1     | 35
        """),
        benefits("""
            benefit_id | units | rollover | priority
            a          | 10    | yes      | 1
            b          | 10    | no       | 1
            c          | 10    | no       | 1
            d          | 10    | yes      | 0
            e          | 10    | yes      | 0
            f          | 10    | no       | 0
        """),
        carried("""
            cycle | units
            1     | 10
        """),
    )
    assert_rows(
        ledger.filter(pl.col("kind").is_in(["granted", "used"])),
        """
        kind    | benefit_id | rank | units | balance_after
        granted | f          | 1    | 10    | 10
        granted | rollover   | 2    | 10    | 20
        granted | d          | 3    | 10    | 30
        granted | e          | 4    | 10    | 40
        granted | b          | 5    | 10    | 50
        granted | c          | 6    | 10    | 60
        granted | a          | 7    | 10    | 70
        used    | f          | 1    | -10   | 60
        used    | rollover   | 2    | -10   | 50
        used    | d          | 3    | -10   | 40
        used    | e          | 4    | -5    | 35
        """,
    )


def test_carried_units_have_the_first_priority_of_the_benefits_with_rollover() -> None:
    ledger = burn_down(
        demand("""
            cycle | wanted
            1     | 0
        """),
        benefits("""
            benefit_id | units | rollover | priority
            a          | 10    | no       | 3
            b          | 10    | no       | 4
            c          | 10    | yes      | 5
            d          | 10    | yes      | 6
        """),
        carried("""
            cycle | units
            1     | 10
        """),
    )
    assert_rows(
        ledger.filter(pl.col("kind") == "granted"),
        """
        benefit_id | rank
        a          | 1
        b          | 2
        rollover   | 3
        c          | 4
        d          | 5
        """,
    )


def test_carried_units_come_last_where_no_benefit_rolls_over() -> None:
    ledger = burn_down(
        demand("""
            cycle | wanted
            1     | 0
        """),
        benefits("""
            benefit_id | units | rollover | priority
            a          | 10    | no       | 3
            b          | 10    | no       | 4
        """),
        carried("""
            cycle | units
            1     | 10
        """),
    )
    assert_rows(
        ledger.filter(pl.col("kind") == "granted"),
        """
        benefit_id | rank
        a          | 1
        b          | 2
        rollover   | 3
        """,
    )


# --- Rollover ---------------------------------------------------------------------------------------------------------


def test_unused_units_with_rollover_are_granted_again_in_the_next_cycle() -> None:
    ledger = burn_down(
        demand("""
            cycle | wanted | is_closed
            0     | 30     | yes
            1     | 60     | no
        """),
        ROLLING,
        NOTHING_CARRIED,
    )
    assert_rows(
        ledger,
        """
        cycle | kind        | origin   | benefit_id | units | balance_before | balance_after
        0     | granted     | benefit  | rolling    | 50    | 0              | 50
        0     | used        | benefit  | rolling    | -30   | 50             | 20
        0     | rolled_over | benefit  | rolling    | -20   | 20             | 0
        1     | granted     | rollover | rollover   | 20    | 0              | 20
        1     | granted     | benefit  | rolling    | 50    | 20             | 70
        1     | used        | rollover | rollover   | -20   | 70             | 50
        1     | used        | benefit  | rolling    | -40   | 50             | 10
        """,
    )


def test_units_carried_over_keep_on_rolling_over() -> None:
    """As in Polar, where a credit event that stems from a rollover has the rollover flag itself."""
    ledger = burn_down(
        demand("""
            cycle | wanted
            0     | 0
            1     | 0
            2     | 120
        """),
        ROLLING,
        NOTHING_CARRIED,
    )
    assert_rows(
        ledger.filter(pl.col("cycle") == 2),
        """
        kind        | benefit_id | units
        granted     | rollover   | 100
        granted     | rolling    | 50
        used        | rollover   | -100
        used        | rolling    | -20
        rolled_over | rolling    | -30
        """,
    )


def test_units_without_rollover_are_used_first_and_what_is_left_of_them_is_forfeited() -> None:
    ledger = burn_down(
        demand("""
            cycle | wanted
            0     | 80
        """),
        pl.concat([ROLLING, MONTHLY]),
        NOTHING_CARRIED,
    )
    assert_rows(
        ledger.filter(pl.col("kind") != "granted"),
        """
        kind        | benefit_id | units
        used        | monthly    | -80
        rolled_over | rolling    | -50
        forfeited   | monthly    | -20
        """,
    )


def test_rollover_is_truncated_to_whole_units_in_total() -> None:
    ledger = burn_down(
        demand("""
            cycle | wanted
            0     | 0.2
        """),
        benefits("""
            benefit_id | units | rollover
            a          | 10.5  | yes
            b          | 10.5  | yes
            c          | 1.9   | yes
        """),
        NOTHING_CARRIED,
    )
    assert_rows(
        ledger.filter(pl.col("kind").is_in(["rolled_over", "forfeited"])),
        """
        kind        | benefit_id | units
        rolled_over | a          | -10.3
        rolled_over | b          | -10.5
        rolled_over | c          | -1.2
        forfeited   | c          | -0.7
        """,
    )
    assert_rows(
        carried_over(ledger),
        """
        subscription_id | meter | cycle | units
        s1              | calls | 1     | 22
        """,
    )


def test_the_last_cycle_forfeits_everything() -> None:
    ledger = burn_down(
        demand("""
            cycle | wanted | is_last
            0     | 20     | yes
        """),
        ROLLING,
        NOTHING_CARRIED,
    )
    assert_rows(
        ledger,
        """
        kind      | units
        granted   | 50
        used      | -20
        forfeited | -30
        """,
    )


def test_carried_units_outlive_their_benefit_and_are_used_last() -> None:
    ledger = burn_down(
        demand("""
            cycle | product | wanted
            4     | pro     | 110
            5     | free    | 5
        """),
        MONTHLY.with_columns(priority=pl.lit(9, dtype=pl.Int64)),
        carried("""
            cycle | units
            4     | 30
        """),
    )
    assert_rows(
        ledger.filter(pl.col("kind") != "granted"),
        """
        cycle | kind        | benefit_id | rank | units
        4     | used        | monthly    | 1    | -100
        4     | used        | rollover   | 2    | -10
        4     | rolled_over | rollover   | 2    | -20
        5     | used        | rollover   | 1    | -5
        5     | rolled_over | rollover   | 1    | -15
        """,
    )


def test_only_the_last_cycle_of_the_ledger_carries_on() -> None:
    ledger = burn_down(
        demand("""
            cycle | wanted
            0     | 0
            1     | 200
        """),
        ROLLING,
        NOTHING_CARRIED,
    )
    assert carried_over(ledger).collect().is_empty()


def test_credits_of_subscriptions_and_meters_are_kept_apart() -> None:
    ledger = burn_down(
        demand("""
            subscription_id | meter   | cycle | wanted
            s1              | calls   | 0     | 10
            s1              | storage | 0     | 20
            s2              | calls   | 7     | 30
        """),
        pl.concat([ROLLING, ROLLING.with_columns(meter=pl.lit("storage"))]),
        NOTHING_CARRIED,
    )
    assert_rows(
        carried_over(ledger),
        """
        subscription_id | meter   | cycle | units
        s1              | calls   | 1     | 40
        s1              | storage | 1     | 30
        s2              | calls   | 8     | 20
        """,
    )


def test_a_benefit_may_be_called_rollover() -> None:
    ledger = burn_down(
        demand("""
            cycle | wanted
            1     | 5
        """),
        benefits("""
            benefit_id | units | rollover
            rollover   | 10    | yes
        """),
        carried("""
            cycle | units
            1     | 10
        """),
    )
    assert verify(ledger.collect(), CreditLedger)["grant_id"].n_unique() == 2


# --- Demand -----------------------------------------------------------------------------------------------------------


def test_credits_cover_what_included_units_leave_and_all_usage_of_a_meter_without_price() -> None:
    usage = rows(
        Usage,
        """
        meter   | quantity
        calls   | 30
        storage | 7.5
        seats   | -2
        peak    | -
        """,
        subscription_id="s1",
        cycle=0,
        customer_id="ada",
        period_start="2025-01-01",
        period_end="2025-02-01",
        events=1,
        skipped=0,
    )
    billables = rows(
        Billables,
        """
        price_id | billed
        cheap    | 20
        dear     | 25
        """,
        subscription_id="s1",
        cycle=0,
        product="pro",
        meter="calls",
        quantity=Decimal(30),
        included=Decimal(0),
        credited=Decimal(0),
    )
    periods = rows(
        BillingPeriods,
        """
        subscription_id | cycle | customer_id | product | period_start | period_end | is_last
        s1              | 0     | ada         | pro     | 2025-01-01   | 2025-02-01 | no
        """,
    )
    assert_rows(
        credit_demand(usage, billables, periods, datetime(2025, 1, 31, tzinfo=UTC)),
        """
        meter   | product | wanted | is_closed | is_last
        calls   | pro     | 25     | no        | no
        storage | pro     | 7.5    | no        | no
        seats   | pro     | 0      | no        | no
        peak    | pro     | 0      | no        | no
        """,
    )


@pytest.mark.parametrize(("clock", "is_closed"), [("2025-01-31T23:59", False), ("2025-02-01", True)])
def test_a_cycle_is_closed_from_its_end_on(clock: str, *, is_closed: bool) -> None:
    usage = rows(
        Usage,
        """
        meter | quantity
        calls | 30
        """,
        subscription_id="s1",
        cycle=0,
        customer_id="ada",
        period_start="2025-01-01",
        period_end="2025-02-01",
        events=1,
        skipped=0,
    )
    periods = rows(
        BillingPeriods,
        """
        subscription_id | cycle | customer_id | product | period_start | period_end | is_last
        s1              | 0     | ada         | pro     | 2025-01-01   | 2025-02-01 | yes
        """,
    )
    demand = credit_demand(usage, empty(Billables), periods, datetime.fromisoformat(clock).replace(tzinfo=UTC))
    assert demand.select("is_closed", "is_last").collect().row(0) == (is_closed, True)
