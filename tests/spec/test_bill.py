"""Whole bills: usage of several cycles and a small book in, lines, credits and invoices out (rules 4.6, 5 and 7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from meterhouse.bill import Books
from meterhouse.tables import (
    Benefits,
    Customers,
    FixedPrices,
    MeteredPrices,
    Meters,
    Products,
    Subscriptions,
    Tiers,
    UsageDaily,
    empty,
)
from tests.billed import History
from tests.tables import assert_rows, rows

if TYPE_CHECKING:
    from meterhouse.bill import Bill

FEBRUARY: Final = datetime(2025, 2, 1, tzinfo=UTC)
MARCH: Final = datetime(2025, 3, 1, tzinfo=UTC)
APRIL: Final = datetime(2025, 4, 1, tzinfo=UTC)


def subscriptions(text: str) -> pl.LazyFrame:
    """Monthly subscriptions of `ada` to `pro`, unless the text says otherwise."""
    return rows(
        Subscriptions,
        text,
        customer_id="ada",
        product="pro",
        end="at_once",
        interval="month",
        interval_count=1,
        anchor="2025-01-01",
        timezone="UTC",
    )


def daily(text: str) -> pl.LazyFrame:
    """States of days, each in one slice."""
    shown = rows(
        UsageDaily,
        text,
        customer_id="ada",
        slice_start="2025-01-01",
        attributed=True,
        group_json="{}",
        events=1,
        skipped=0,
    )
    return shown.with_columns(slice_start=pl.col("date").cast(pl.Datetime("us", "UTC")))


def metered(text: str) -> pl.LazyFrame:
    return rows(MeteredPrices, text, product="pro", currency="USD", volume=False, included=Decimal(0))


def tiers(text: str) -> pl.LazyFrame:
    return rows(Tiers, text, product="pro", over=Decimal(0), flat_amount_minor=Decimal(0))


# A fee in advance of 20 USD, support in arrears for 5 USD; calls at 1.5 cents, of which 100 are included, and at most
# 10 USD; seats by the highest number used: three at 5 USD and one USD for the first, more at 4 USD.
# Each month brings credits for 50 calls that are lost and for 30 that are kept.
BOOK: Final = Books(
    customers=rows(
        Customers,
        """
        customer_id | external_id | name
        ada         | crm-1       | Ada
        bob         | crm-2       | Bob
        """,
    ),
    subscriptions=subscriptions("""
        subscription_id | started_at | ends_at
        s1              | 2025-01-01 | -
    """),
    meters=rows(
        Meters,
        """
        meter | name  | aggregation
        calls | Calls | sum
        seats | Seats | max
        """,
        unit="unit",
        unit_multiplier=Decimal(1),
        numeric_text=False,
        carry_over=False,
        filter_json="",
        definition="d",
    ),
    products=rows(
        Products,
        """
        product | name | currency
        pro     | Pro  | USD
        """,
    ),
    fixed_prices=rows(
        FixedPrices,
        """
        product | price_id | amount_minor | in_advance
        pro     | fee      | 2000         | yes
        pro     | support  | 500          | no
        """,
        currency="USD",
    ),
    metered_prices=metered("""
        price_id | meter | included | cap_minor
        call     | calls | 100      | 1000
        seat     | seats | 0        | -
    """),
    tiers=tiers("""
        price_id | over | up_to | unit_amount_minor | flat_amount_minor
        call     | 0    | -     | 1.5               | 0
        seat     | 0    | 3     | 500               | 100
        seat     | 3    | -     | 400               | 0
    """),
    benefits=rows(
        Benefits,
        """
        product | benefit_id | meter | units | rollover
        pro     | lost       | calls | 50    | no
        pro     | kept       | calls | 30    | yes
        """,
        priority=0,
    ),
)
USAGE: Final = daily("""
    meter | date       | sum   | max
    calls | 2025-01-02 | 60    | -
    calls | 2025-01-31 | 55    | -
    seats | 2025-01-02 | -     | 2
    seats | 2025-01-09 | -     | 5
    calls | 2025-02-14 | 211.5 | -
    calls | 2025-03-03 | 1000  | -
    seats | 2025-03-31 | -     | 3
""")


@pytest.fixture(scope="module")
def three_months() -> History:
    """Billed through March in one go."""
    history = History()
    history.run(BOOK, USAGE, APRIL)
    return history


# --- Three months, calculated by hand ---------------------------------------------------------------------------------


def test_usage_of_a_cycle_is_what_was_used_in_it(three_months: History) -> None:
    assert_rows(
        three_months.usage.lazy().filter(pl.col("cycle") < 3),
        """
        subscription_id | cycle | meter | period_start | period_end | quantity | events
        s1              | 0     | calls | 2025-01-01   | 2025-02-01 | 115      | 2
        s1              | 0     | seats | 2025-01-01   | 2025-02-01 | 5        | 2
        s1              | 1     | calls | 2025-02-01   | 2025-03-01 | 211.5    | 1
        s1              | 1     | seats | 2025-02-01   | 2025-03-01 | -        | 0
        s1              | 2     | calls | 2025-03-01   | 2025-04-01 | 1000     | 1
        s1              | 2     | seats | 2025-03-01   | 2025-04-01 | 3        | 1
        """,
    )


def test_lines_of_three_months(three_months: History) -> None:
    assert_rows(
        three_months.show("invoice_lines").filter(pl.col("kind") == "usage"),
        """
        invoice_id | line_no | price_id | quantity | included | credited | billed | uncapped_minor_unrounded | amount_minor
        s1/1/0     | 3       | call     | 115      | 100      | 15       | 0      | 0                        | 0
        s1/1/0     | 4       | seat     | 5        | 0        | 0        | 5      | 2400                     | 2400
        s1/2/0     | 3       | call     | 211.5    | 100      | 110      | 1.5    | 2.25                     | 2
        s1/2/0     | 4       | seat     | -        | 0        | 0        | 0      | 0                        | 0
        s1/3/0     | 3       | call     | 1000     | 100      | 80       | 820    | 1230                     | 1000
        s1/3/0     | 4       | seat     | 3        | 0        | 0        | 3      | 1600                     | 1600
        """,  # noqa: E501 - a table as wide as its words
    )
    assert_rows(
        three_months.show("invoice_lines").filter(pl.col("kind") == "fixed"),
        """
        invoice_id | line_no | price_id | description  | period_start | amount_minor
        s1/0/0     | 1       | fee      | Pro: fee     | 2025-01-01   | 2000
        s1/1/0     | 1       | support  | Pro: support | 2025-01-01   | 500
        s1/1/0     | 2       | fee      | Pro: fee     | 2025-02-01   | 2000
        s1/2/0     | 1       | support  | Pro: support | 2025-02-01   | 500
        s1/2/0     | 2       | fee      | Pro: fee     | 2025-03-01   | 2000
        s1/3/0     | 1       | support  | Pro: support | 2025-03-01   | 500
        s1/3/0     | 2       | fee      | Pro: fee     | 2025-04-01   | 2000
        """,
    )


def test_rated_lines_of_three_months(three_months: History) -> None:
    assert_rows(
        three_months.show("rated_lines"),
        """
        invoice_id | line_no | step | over | up_to | quantity | unit_amount_minor | flat_amount_minor | amount_minor_unrounded
        s1/1/0     | 4       | 1    | 0    | 3     | 3        | 500               | 100               | 1600
        s1/1/0     | 4       | 2    | 3    | -     | 2        | 400               | 0                 | 800
        s1/2/0     | 3       | 1    | 0    | -     | 1.5      | 1.5               | 0                 | 2.25
        s1/3/0     | 3       | 1    | 0    | -     | 820      | 1.5               | 0                 | 1230
        s1/3/0     | 4       | 1    | 0    | 3     | 3        | 500               | 100               | 1600
        """,  # noqa: E501 - a table as wide as its words
    )


def test_credits_of_three_months(three_months: History) -> None:
    """What is lost is used before what is kept, and what was kept before what is new."""
    assert_rows(
        three_months.show("credit_ledger"),
        """
        cycle | kind        | benefit_id | units | balance_before | balance_after | invoice_id
        0     | granted     | lost       | 50    | 0              | 50            | s1/1/0
        0     | granted     | kept       | 30    | 50             | 80            | s1/1/0
        0     | used        | lost       | -15   | 80             | 65            | s1/1/0
        0     | rolled_over | kept       | -30   | 65             | 35            | s1/1/0
        0     | forfeited   | lost       | -35   | 35             | 0             | s1/1/0
        1     | granted     | lost       | 50    | 0              | 50            | s1/2/0
        1     | granted     | rollover   | 30    | 50             | 80            | s1/2/0
        1     | granted     | kept       | 30    | 80             | 110           | s1/2/0
        1     | used        | lost       | -50   | 110            | 60            | s1/2/0
        1     | used        | rollover   | -30   | 60             | 30            | s1/2/0
        1     | used        | kept       | -30   | 30             | 0             | s1/2/0
        2     | granted     | lost       | 50    | 0              | 50            | s1/3/0
        2     | granted     | kept       | 30    | 50             | 80            | s1/3/0
        2     | used        | lost       | -50   | 80             | 30            | s1/3/0
        2     | used        | kept       | -30   | 30             | 0             | s1/3/0
        """,
    )


def test_invoices_of_three_months(three_months: History) -> None:
    assert_rows(
        three_months.show("invoices"),
        """
        invoice_id | number     | issued_at  | finalized_at | due_at     | lines | total_minor | currency
        s1/0/0     | INV-000001 | 2025-01-01 | 2025-04-01   | 2025-05-01 | 1     | 2000        | USD
        s1/1/0     | INV-000002 | 2025-02-01 | 2025-04-01   | 2025-05-01 | 4     | 4900        | USD
        s1/2/0     | INV-000003 | 2025-03-01 | 2025-04-01   | 2025-05-01 | 4     | 2502        | USD
        s1/3/0     | INV-000004 | 2025-04-01 | 2025-04-01   | 2025-05-01 | 4     | 5100        | USD
        """,
    )


# --- The order of pricing ---------------------------------------------------------------------------------------------

# 12 calls at 1 cent, without anything else; each test changes one part.
PLAIN: Final = replace(
    BOOK,
    fixed_prices=empty(FixedPrices),
    metered_prices=metered("""
        price_id | meter | included | cap_minor
        call     | calls | 0        | -
    """),
    tiers=tiers("""
        price_id | up_to | unit_amount_minor
        call     | -     | 1
    """),
    benefits=rows(
        Benefits,
        """
        product | benefit_id | meter | units | rollover
        pro     | kept       | calls | 5     | yes
        """,
        priority=0,
    ),
)
TWELVE: Final = daily("""
    meter | date       | sum
    calls | 2025-01-02 | 12
""")


def january(books: Books, usage: pl.LazyFrame = TWELVE) -> pl.LazyFrame:
    """Lines of January's usage."""
    history = History()
    history.run(books, usage, FEBRUARY)
    return history.show("invoice_lines").filter(pl.col("kind") == "usage")


def test_included_units_come_before_credits() -> None:
    """Nobody pays with credits for what is free."""
    prices = metered("""
        price_id | meter | included | cap_minor
        call     | calls | 10       | -
    """)
    assert_rows(
        january(replace(PLAIN, metered_prices=prices)),
        """
        quantity | included | credited | billed | amount_minor
        12       | 10       | 2        | 0      | 0
        """,
    )


def test_credits_come_before_the_price() -> None:
    """Units that credits cover fill no tier: 7 of 12 are priced, and none at the price above 10."""
    graduated = tiers("""
        price_id | over | up_to | unit_amount_minor
        call     | 0    | 10    | 1
        call     | 10   | -     | 100
    """)
    assert_rows(
        january(replace(PLAIN, tiers=graduated)),
        """
        quantity | credited | billed | amount_minor
        12       | 5        | 7      | 7
        """,
    )


def test_the_cap_comes_after_credits_and_before_rounding() -> None:
    prices = metered("""
        price_id | meter | included | cap_minor
        call     | calls | 0        | 3
    """)
    half_cents = tiers("""
        price_id | up_to | unit_amount_minor
        call     | -     | 0.5
    """)
    assert_rows(
        january(replace(PLAIN, metered_prices=prices, tiers=half_cents)),
        """
        billed | uncapped_minor_unrounded | amount_minor_unrounded | amount_minor
        7      | 3.5                      | 3                      | 3
        """,
    )


def test_units_above_the_last_tier_are_named_and_not_billed() -> None:
    bounded = tiers("""
        price_id | up_to | unit_amount_minor
        call     | 4     | 1
    """)
    assert_rows(
        january(replace(PLAIN, tiers=bounded)),
        """
        billed | unpriced | amount_minor
        7      | 3        | 4
        """,
    )


def test_usage_that_was_taken_back_bills_nothing_and_uses_no_credits() -> None:
    taken_back = daily("""
        meter | date       | sum
        calls | 2025-01-02 | 12
        calls | 2025-01-03 | -20
    """)
    assert_rows(
        january(PLAIN, taken_back),
        """
        quantity | credited | billed | amount_minor
        -8       | 0        | 0      | 0
        """,
    )


def test_usage_of_others_is_not_billed() -> None:
    """That of another customer, of a stranger with the same id, and of a time before the subscription."""
    usage = daily("""
        meter | customer_id | date       | attributed | sum
        calls | bob         | 2025-01-02 | yes        | 100
        calls | ada         | 2025-01-02 | no         | 100
        calls | ada         | 2024-12-31 | yes        | 100
    """)
    assert_rows(
        january(PLAIN, usage),
        """
        quantity | amount_minor
        0        | 0
        """,
    )


# --- What is final stays ----------------------------------------------------------------------------------------------


def test_cycle_by_cycle_gives_the_same_as_in_one_go(three_months: History) -> None:
    history = History()
    for clock in (FEBRUARY, MARCH, APRIL):
        history.run(BOOK, USAGE, clock)
    for table, frame in three_months.final.items():
        clocks = ["finalized_at", "due_at"] if table == "invoices" else []
        assert_frame_equal(history.final[table].drop(clocks), frame.drop(clocks), check_row_order=False)
    assert_frame_equal(history.usage, three_months.usage, check_row_order=False)


def test_a_final_invoice_stays_whatever_changes() -> None:
    history = History()
    history.run(BOOK, USAGE, FEBRUARY)
    before = history.final
    late = daily("""
        meter | date       | sum
        calls | 2025-01-15 | 5000
    """)
    dearer = BOOK.tiers.with_columns(unit_amount_minor=pl.col("unit_amount_minor") + 1)
    renamed = BOOK.customers.with_columns(name=pl.col("name") + " Ltd", external_id="x-" + pl.col("external_id"))
    changed = replace(BOOK, customers=renamed, tiers=dearer, benefits=empty(Benefits))
    history.run(changed, pl.concat([USAGE, late]), MARCH)
    for table, frame in before.items():
        assert history.final[table].head(frame.height).equals(frame)
    assert_rows(
        history.show("invoices"),
        """
        invoice_id | customer_name | external_id
        s1/0/0     | Ada           | crm-1
        s1/1/0     | Ada           | crm-1
        s1/2/0     | Ada Ltd       | x-crm-1
        """,
    )
    assert_rows(
        history.usage.lazy().filter(pl.col("meter") == "calls", pl.col("cycle") < 2),
        """
        cycle | quantity
        0     | 115
        1     | 211.5
        """,
    )
    # The units that January kept are used in February, though the product grants none any more: 30 of 111.5.
    assert_rows(
        history.show("invoice_lines").filter(pl.col("invoice_id") == "s1/2/0", pl.col("price_id") == "call"),
        """
        quantity | included | credited | billed | amount_minor
        211.5    | 100      | 30       | 81.5   | 204
        """,
    )


def test_a_fee_that_a_product_gets_later_is_not_billed_for_what_is_final() -> None:
    history = History()
    history.run(replace(BOOK, fixed_prices=empty(FixedPrices)), USAGE, FEBRUARY)
    history.run(BOOK, USAGE, MARCH)
    assert_rows(
        history.show("invoices"),
        """
        invoice_id | number     | total_minor
        s1/1/0     | INV-000001 | 2400
        s1/2/0     | INV-000002 | 2502
        """,
    )


def test_the_same_clock_again_finds_nothing_new() -> None:
    history = History()
    history.run(BOOK, USAGE, MARCH)
    before = history.final
    again = history.run(BOOK, USAGE, MARCH)
    assert all(frame.is_empty() for frame in again.finalized.values())
    assert again.drafts["invoices"].is_empty()
    assert history.final["invoices"].equals(before["invoices"])


# --- Drafts and estimates ---------------------------------------------------------------------------------------------


def test_until_grace_is_over_late_usage_changes_the_draft() -> None:
    history = History(grace_days=5)
    first = history.run(BOOK, USAGE, FEBRUARY)
    assert _total(first, "s1/1/0") == 4900
    late = daily("""
        meter | date       | sum
        calls | 2025-01-15 | 75
    """)
    # 190 calls, 100 included, 80 by credits: 10 x 1.5 cents.
    second = history.run(BOOK, pl.concat([USAGE, late]), datetime(2025, 2, 3, tzinfo=UTC))
    assert _total(second, "s1/1/0") == 4915
    third = history.run(BOOK, pl.concat([USAGE, late]), datetime(2025, 2, 6, tzinfo=UTC))
    assert third.drafts["invoices"].is_empty()
    assert history.final["invoices"]["invoice_id"].to_list() == ["s1/0/0", "s1/1/0"]
    assert history.final["invoices"]["total_minor"].to_list() == [2000, 4915]


def _total(found: Bill, invoice: str) -> int:
    return int(found.drafts["invoices"].row(by_predicate=pl.col("invoice_id") == invoice, named=True)["total_minor"])


def test_credits_of_a_draft_become_final_with_it() -> None:
    history = History(grace_days=5)
    found = history.run(BOOK, USAGE, FEBRUARY)
    assert history.final["credit_ledger"].is_empty()
    assert_rows(
        found.drafts["credit_ledger"].lazy().filter(pl.col("kind") != "granted"),
        """
        cycle | kind        | units | invoice_id
        0     | used        | -15   | s1/1/0
        0     | rolled_over | -30   | s1/1/0
        0     | forfeited   | -35   | s1/1/0
        """,
    )


def test_an_open_cycle_is_estimated_with_its_credits() -> None:
    history = History()
    found = history.run(BOOK, USAGE, datetime(2025, 2, 20, tzinfo=UTC))
    assert_rows(
        found.estimates.lazy(),
        """
        price_id | period_start | quantity | credited | billed | amount_minor
        call     | 2025-02-01   | 211.5    | 110      | 1.5    | 2
        seat     | 2025-02-01   | -        | 0        | 0      | 0
        """,
    )


# --- Ends -------------------------------------------------------------------------------------------------------------


def test_the_last_cycle_keeps_no_credits_and_bills_no_next_fee() -> None:
    ending = subscriptions("""
        subscription_id | started_at | ends_at
        s1              | 2025-01-01 | 2025-01-20
    """)
    history = History()
    history.run(replace(BOOK, subscriptions=ending), USAGE, APRIL)
    assert_rows(
        history.show("invoices"),
        """
        invoice_id | issued_at  | lines | total_minor
        s1/0/0     | 2025-01-01 | 1     | 2000
        s1/1/0     | 2025-01-20 | 3     | 2900
        """,
    )
    assert_rows(
        history.show("credit_ledger").filter(pl.col("kind") != "granted"),
        """
        kind      | benefit_id | units
        forfeited | lost       | -50
        forfeited | kept       | -30
        """,
    )


def test_subscriptions_of_several_customers_are_billed_apart() -> None:
    both = pl.concat(
        [
            BOOK.subscriptions,
            subscriptions("""
                subscription_id | customer_id | started_at | ends_at
                s2              | bob         | 2025-01-20 | 2025-02-01
            """),
        ]
    )
    bobs = daily("""
        meter | customer_id | date       | max
        seats | bob         | 2025-01-25 | 1
    """)
    history = History()
    history.run(replace(BOOK, subscriptions=both), pl.concat([USAGE, bobs]), FEBRUARY)
    assert_rows(
        history.show("invoices"),
        """
        invoice_id | customer_id | number     | issued_at  | total_minor
        s1/0/0     | ada         | INV-000001 | 2025-01-01 | 2000
        s2/0/0     | bob         | INV-000002 | 2025-01-20 | 2000
        s1/1/0     | ada         | INV-000003 | 2025-02-01 | 4900
        s2/1/0     | bob         | INV-000004 | 2025-02-01 | 1100
        """,
    )
