"""Which invoice bills what, when it becomes final, and what it is called (rules 6.2 and 7)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import polars as pl
import pytest

from meterhouse.errors import WarehouseError
from meterhouse.invoicing import (
    Numbering,
    as_invoice_lines,
    bill_lines,
    draft_invoices,
    estimates,
    fees_due,
    finalize,
    invoice_id,
    rated_lines,
)
from meterhouse.tables import (
    BilledFees,
    BillingPeriods,
    Charges,
    Customers,
    Estimates,
    FixedPrices,
    InvoiceLines,
    Invoices,
    Meters,
    Products,
    RatedLines,
    RatedSteps,
    empty,
    verify,
)
from tests.tables import assert_rows, rows

if TYPE_CHECKING:
    from meterhouse.money import Rounding

MARCH_1: Final = datetime(2025, 3, 1, tzinfo=UTC)

PRODUCTS: Final = rows(
    Products,
    """
    product | name | currency
    pro     | Pro  | USD
    yen     | Yen  | JPY
    """,
)
CUSTOMERS: Final = rows(
    Customers,
    """
    customer_id | external_id | name
    ada         | crm-1       | Ada
    """,
)
METERS: Final = rows(
    Meters,
    """
    meter | name
    calls | API calls
    seats | Seats
    """,
    unit="unit",
    unit_multiplier=Decimal(1),
    aggregation="count",
    numeric_text=False,
    carry_over=False,
    filter_json="",
    definition="d",
)
NO_FEES: Final = empty(FixedPrices)
NOTHING_BILLED: Final = empty(BilledFees)
NO_CHARGES: Final = empty(Charges)


def fees(text: str) -> pl.LazyFrame:
    return rows(FixedPrices, text, product="pro", currency="USD")


FEE: Final = fees("""
    price_id | amount_minor | in_advance
    fee      | 2000         | yes
""")
FEE_IN_ARREARS: Final = fees("""
    price_id | amount_minor | in_advance
    support  | 500          | no
""")

# Three cycles of `s1`, of which the clock of 1 March finds two closed.
PERIODS: Final = rows(
    BillingPeriods,
    """
    cycle | period_start | period_end
    0     | 2025-01-01   | 2025-02-01
    1     | 2025-02-01   | 2025-03-01
    2     | 2025-03-01   | 2025-04-01
    """,
    subscription_id="s1",
    customer_id="ada",
    product="pro",
    is_last=False,
)


def charges(text: str) -> pl.LazyFrame:
    """What metered prices of `s1` cost; the amount before the cap is the amount, unless the text says otherwise."""
    return rows(
        Charges,
        text,
        subscription_id="s1",
        price_id="call",
        product="pro",
        meter="calls",
        currency="USD",
        quantity=Decimal(10),
        included=Decimal(0),
        credited=Decimal(0),
        billed=Decimal(10),
        unpriced=Decimal(0),
        uncapped_minor_unrounded=Decimal(0),
    )


USED: Final = charges("""
    cycle | amount_minor_unrounded
    0     | 110.4
    1     | 120.5
    2     | 130
""")


def lines_of(
    periods: pl.LazyFrame = PERIODS,
    used: pl.LazyFrame = NO_CHARGES,
    fixed: pl.LazyFrame = NO_FEES,
    as_of: datetime = MARCH_1,
    rounding: Rounding = "half_away_from_zero",
    before: pl.LazyFrame = NOTHING_BILLED,
) -> pl.LazyFrame:
    """Lines of all invoices that the clock knows of."""
    fees = fees_due(periods, fixed, PRODUCTS, before, as_of)
    return bill_lines(fees, used, periods, METERS, as_of, rounding)


def billed(
    periods: pl.LazyFrame = PERIODS,
    used: pl.LazyFrame = NO_CHARGES,
    fixed: pl.LazyFrame = NO_FEES,
    as_of: datetime = MARCH_1,
    rounding: Rounding = "half_away_from_zero",
) -> pl.LazyFrame:
    """Lines as they are stored."""
    lines = as_invoice_lines(lines_of(periods, used, fixed, as_of, rounding))
    return verify(lines.collect(), InvoiceLines).lazy()


def drafts(
    periods: pl.LazyFrame = PERIODS,
    used: pl.LazyFrame = NO_CHARGES,
    fixed: pl.LazyFrame = NO_FEES,
    as_of: datetime = MARCH_1,
    timezone: str = "UTC",
) -> pl.LazyFrame:
    """Drafts as they are stored."""
    lines = lines_of(periods, used, fixed, as_of)
    return verify(draft_invoices(periods, lines, PRODUCTS, CUSTOMERS, as_of, timezone).collect(), Invoices).lazy()


# --- A fee whose time of billing changes ------------------------------------------------------------------------------


def fee_starts(text: str, fixed: pl.LazyFrame) -> dict[int, list[str]]:
    """Starts of the fees that each invoice bills, where these were billed before."""
    before = rows(BilledFees, text, subscription_id="s1")
    found = lines_of(fixed=fixed, before=before).sort("period_start").collect()
    starts: dict[int, list[str]] = {}
    for cycle, start in found.select("invoice_cycle", "period_start").iter_rows():
        starts.setdefault(cycle, []).append(f"{start:%Y-%m-%d}")
    return starts


def test_a_fee_that_turns_to_arrears_is_not_billed_again() -> None:
    in_advance = """
        invoice_cycle | price_id | period_start | period_end
        0             | fee      | 2025-01-01   | 2025-02-01
        1             | fee      | 2025-02-01   | 2025-03-01
    """
    assert fee_starts(in_advance, FEE.with_columns(in_advance=pl.lit(value=False))) == {}


def test_a_fee_that_turns_to_advance_leaves_no_cycle_out() -> None:
    in_arrears = """
        invoice_cycle | price_id | period_start | period_end
        0             | -        | -            | -
        1             | fee      | 2025-01-01   | 2025-02-01
    """
    assert fee_starts(in_arrears, FEE) == {2: ["2025-02-01", "2025-03-01"]}


def test_a_fee_that_a_product_gets_later_bills_no_cycle_before() -> None:
    """Its lines for cycles whose invoices are final stay where no invoice is made."""
    others = """
        invoice_cycle | price_id | period_start | period_end
        0             | other    | 2025-01-01   | 2025-02-01
        1             | other    | 2025-02-01   | 2025-03-01
    """
    assert fee_starts(others, FEE) == {0: ["2025-01-01"], 1: ["2025-02-01"], 2: ["2025-03-01"]}


# --- The seller's books -----------------------------------------------------------------------------------------------


def test_the_month_of_an_invoice_is_that_of_the_sellers_books() -> None:
    """The cycle ends at midnight in UTC, which is still the day before in New York."""
    in_utc = drafts(fixed=FEE).filter(pl.col("cycle") == 1)
    in_new_york = drafts(fixed=FEE, timezone="America/New_York").filter(pl.col("cycle") == 1)
    shown = pl.concat([in_utc, in_new_york]).select("issued_at", "month").collect()
    assert shown["issued_at"].n_unique() == 1
    assert shown["month"].to_list() == ["2025-02", "2025-01"]


def test_an_invoice_says_what_its_customer_is_called() -> None:
    assert_rows(
        drafts(fixed=FEE).head(1),
        """
        customer_id | customer_name | external_id
        ada         | Ada           | crm-1
        """,
    )


def test_an_invoice_without_a_customer_is_refused_and_does_not_vanish() -> None:
    lines = lines_of(fixed=FEE)
    found = draft_invoices(PERIODS, lines, PRODUCTS, CUSTOMERS.clear(), MARCH_1, "UTC").collect()
    with pytest.raises(WarehouseError, match="customer_name"):
        verify(found, Invoices)


# --- Which invoice bills what -----------------------------------------------------------------------------------------


def test_a_fee_in_advance_is_on_the_invoice_of_the_cycle_that_begins() -> None:
    assert_rows(
        billed(fixed=FEE),
        """
        invoice_id | kind  | price_id | meter | description | period_start | period_end | quantity | amount_minor
        s1/0/0     | fixed | fee      | -     | Pro         | 2025-01-01   | 2025-02-01 | -        | 2000
        s1/1/0     | fixed | fee      | -     | Pro         | 2025-02-01   | 2025-03-01 | -        | 2000
        s1/2/0     | fixed | fee      | -     | Pro         | 2025-03-01   | 2025-04-01 | -        | 2000
        """,
    )


def test_a_fee_in_arrears_is_on_the_invoice_after_the_cycle_that_ended() -> None:
    assert_rows(
        billed(fixed=FEE_IN_ARREARS),
        """
        invoice_id | price_id | period_start | period_end | amount_minor
        s1/1/0     | support  | 2025-01-01   | 2025-02-01 | 500
        s1/2/0     | support  | 2025-02-01   | 2025-03-01 | 500
        """,
    )


def test_usage_is_on_the_invoice_after_the_cycle_that_ended() -> None:
    assert_rows(
        billed(used=USED),
        """
        invoice_id | kind  | price_id | meter | description | period_start | period_end | amount_minor
        s1/1/0     | usage | call     | calls | API calls   | 2025-01-01   | 2025-02-01 | 110
        s1/2/0     | usage | call     | calls | API calls   | 2025-02-01   | 2025-03-01 | 121
        """,
    )


def test_the_last_invoice_has_no_fee_of_a_next_cycle() -> None:
    only = rows(
        BillingPeriods,
        """
        subscription_id | cycle | customer_id | product | period_start | period_end | is_last
        s1              | 0     | ada         | pro     | 2025-01-01   | 2025-02-01 | yes
        """,
    )
    assert_rows(
        billed(only, USED, pl.concat([FEE, FEE_IN_ARREARS])),
        """
        invoice_id | price_id | amount_minor
        s1/0/0     | fee      | 2000
        s1/1/0     | support  | 500
        s1/1/0     | call     | 110
        """,
    )


def test_several_fees_of_a_product_are_told_apart_by_their_ids() -> None:
    both = fees("""
        price_id | amount_minor | in_advance
        base     | 2000         | yes
        extra    | 100          | yes
    """)
    assert_rows(
        billed(PERIODS.head(1), fixed=both),
        """
        line_no | description
        1       | Pro: base
        2       | Pro: extra
        """,
    )


def test_fees_come_before_usage_then_earlier_periods_before_later_then_prices_by_name() -> None:
    used = charges("""
        cycle | price_id | meter | amount_minor_unrounded
        0     | b        | seats | 1
        0     | a        | calls | 1
    """)
    # Names that would sort the other way round.
    fixed = fees("""
        price_id | amount_minor | in_advance
        0        | 2000         | yes
        z        | 500          | no
        y        | 400          | no
    """)
    assert_rows(
        billed(PERIODS, used, fixed).filter(pl.col("invoice_id") == "s1/1/0"),
        """
        line_no | kind  | price_id | period_start
        1       | fixed | y        | 2025-01-01
        2       | fixed | z        | 2025-01-01
        3       | fixed | 0        | 2025-02-01
        4       | usage | a        | 2025-01-01
        5       | usage | b        | 2025-01-01
        """,
    )


def test_a_line_says_what_was_measured_and_what_of_it_was_paid_for() -> None:
    used = charges("""
        cycle | quantity | included | credited | billed | unpriced | uncapped_minor_unrounded | amount_minor_unrounded
        0     | 100      | 10       | 20       | 70     | 5        | 6500.25                  | 6000
    """)
    assert_rows(
        billed(used=used),
        """
        quantity | included | credited | billed | unpriced | uncapped_minor_unrounded | amount_minor
        100      | 10       | 20       | 70     | 5        | 6500.25                  | 6000
        """,
    )


@pytest.mark.parametrize("quantity", ["-5", "-"])
def test_usage_of_less_than_nothing_and_of_nothing_stands_on_a_line_of_zero(quantity: str) -> None:
    used = charges(f"""
        cycle | quantity   | billed | amount_minor_unrounded
        0     | {quantity} | 0      | 0
    """)
    assert_rows(
        billed(used=used),
        f"""
        quantity   | billed | amount_minor
        {quantity} | 0      | 0
        """,
    )


@pytest.mark.parametrize(("rounding", "amount"), [("half_away_from_zero", 121), ("half_even", 120)])
def test_a_line_is_rounded_once_as_the_setting_says(rounding: Rounding, amount: int) -> None:
    lines = billed(used=USED, rounding=rounding).filter(pl.col("invoice_id") == "s1/2/0")
    assert_rows(
        lines,
        f"""
        amount_minor_unrounded | amount_minor
        120.5                  | {amount}
        """,
    )


def test_each_line_is_rounded_and_the_invoice_adds_the_rounded_up() -> None:
    used = charges("""
        cycle | price_id | meter | amount_minor_unrounded
        0     | a        | calls | 0.5
        0     | b        | seats | 0.5
    """)
    assert_rows(
        drafts(used=used).filter(pl.col("cycle") == 1),
        """
        lines | total_minor
        2     | 2
        """,
    )


def test_rated_steps_stand_under_the_line_they_add_up_to() -> None:
    steps = rows(
        RatedSteps,
        """
        subscription_id | cycle | price_id | step | over | up_to | quantity | amount_minor_unrounded
        s1              | 0     | call     | 1    | 0    | 10    | 10       | 100
        s1              | 0     | call     | 2    | 10   | -     | 0.5      | 10.4
        s1              | 2     | call     | 1    | 0    | 10    | 10       | 130
        """,
        unit_amount_minor=Decimal(10),
        flat_amount_minor=Decimal(0),
    )
    lines = lines_of(used=USED, fixed=FEE)
    found = verify(rated_lines(lines, steps).collect(), RatedLines).lazy()
    # Line 1 is the fee; the third cycle is open and has no invoice yet.
    assert_rows(
        found,
        """
        invoice_id | line_no | step | quantity | amount_minor_unrounded
        s1/1/0     | 2       | 1    | 10       | 100
        s1/1/0     | 2       | 2    | 0.5      | 10.4
        """,
    )


# --- Drafts -----------------------------------------------------------------------------------------------------------


def test_each_end_of_a_cycle_has_an_invoice() -> None:
    assert_rows(
        drafts(used=USED),
        """
        invoice_id | customer_id | product | cycle | issued_at  | month   | lines | total_minor | currency
        s1/1/0     | ada         | pro     | 1     | 2025-02-01 | 2025-02 | 1     | 110         | USD
        s1/2/0     | ada         | pro     | 2     | 2025-03-01 | 2025-03 | 1     | 121         | USD
        """,
    )


def test_the_start_of_a_subscription_has_an_invoice_where_something_is_due_in_advance() -> None:
    assert_rows(
        drafts(used=USED, fixed=FEE),
        """
        invoice_id | cycle | issued_at  | lines | total_minor
        s1/0/0     | 0     | 2025-01-01 | 1     | 2000
        s1/1/0     | 1     | 2025-02-01 | 2     | 2110
        s1/2/0     | 2     | 2025-03-01 | 2     | 2121
        """,
    )


def test_an_invoice_of_nothing_is_made_and_marked() -> None:
    free = charges("""
        cycle | amount_minor_unrounded
        0     | 0.4
    """)
    assert_rows(
        drafts(used=free),
        """
        invoice_id | lines | total_minor | is_zero
        s1/1/0     | 1     | 0           | yes
        s1/2/0     | 0     | 0           | yes
        """,
    )


def test_a_draft_has_no_number_and_is_not_due() -> None:
    assert_rows(
        drafts(used=USED).head(1),
        """
        status | revision | number | sequence | finalized_at | due_at | is_zero
        draft  | 0        | -      | -        | -            | -      | no
        """,
    )


def test_a_cycle_is_billed_at_the_instant_it_ends_and_not_before() -> None:
    just_before = datetime(2025, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)
    assert drafts(used=USED, as_of=just_before).collect()["invoice_id"].to_list() == ["s1/1/0"]
    assert drafts(used=USED, as_of=MARCH_1).collect()["invoice_id"].sort().to_list() == ["s1/1/0", "s1/2/0"]


def test_an_invoice_is_in_the_currency_of_its_product() -> None:
    yen = PERIODS.with_columns(product=pl.lit("yen"))
    used = charges("""
        cycle | product | currency | amount_minor_unrounded
        0     | yen     | JPY      | 150.5
    """)
    assert_rows(
        drafts(yen, used).filter(pl.col("cycle") == 1),
        """
        currency | total_minor
        JPY      | 151
        """,
    )


def test_ids_stay_apart_whatever_their_subscriptions_are_called() -> None:
    names = ["s1", "s/1", "s%2F1", "s%252F1", "s1/1", "s1/1/0", "ä b"]
    ids = pl.DataFrame({"name": names}).select(id=invoice_id(pl.col("name"), pl.lit(1)))["id"].to_list()
    assert ids == ["s1/1/0", "s%2F1/1/0", "s%252F1/1/0", "s%25252F1/1/0", "s1%2F1/1/0", "s1%2F1%2F0/1/0", "ä b/1/0"]


# --- Final invoices ---------------------------------------------------------------------------------------------------


def final(as_of: datetime, series: str = "INV", last: int = 0, grace_days: int = 0, due_days: int = 30) -> pl.LazyFrame:
    found = finalize(drafts(used=USED, fixed=FEE), Numbering(series, last, grace_days, due_days), as_of)
    return verify(found.collect(), Invoices).lazy()


def test_an_invoice_becomes_final_with_a_number_and_is_due_after_the_days_set() -> None:
    assert_rows(
        final(MARCH_1, due_days=14),
        """
        invoice_id | status    | number     | sequence | issued_at  | finalized_at | due_at
        s1/0/0     | finalized | INV-000001 | 1        | 2025-01-01 | 2025-03-01   | 2025-03-15
        s1/1/0     | finalized | INV-000002 | 2        | 2025-02-01 | 2025-03-01   | 2025-03-15
        s1/2/0     | finalized | INV-000003 | 3        | 2025-03-01 | 2025-03-01   | 2025-03-15
        """,
    )


def test_numbers_go_on_where_the_last_run_ended() -> None:
    assert final(MARCH_1, "EU-2025", last=999_998).collect()["number"].to_list() == [
        "EU-2025-999999",
        "EU-2025-1000000",
        "EU-2025-1000001",
    ]


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        (datetime(2025, 3, 1, tzinfo=UTC), ["s1/0/0", "s1/1/0"]),
        (datetime(2025, 3, 7, 23, 59, tzinfo=UTC), ["s1/0/0", "s1/1/0"]),
        (datetime(2025, 3, 8, tzinfo=UTC), ["s1/0/0", "s1/1/0", "s1/2/0"]),
    ],
)
def test_an_invoice_stays_a_draft_for_the_days_of_grace(clock: datetime, expected: list[str]) -> None:
    assert final(clock, grace_days=7).collect()["invoice_id"].to_list() == expected


def test_numbers_follow_the_order_of_issue_and_leave_no_gap() -> None:
    shuffled = drafts(used=USED, fixed=FEE).sort("issued_at", descending=True)
    later = shuffled.with_columns(subscription_id=pl.lit("a"), invoice_id="a" + pl.col("invoice_id").str.slice(2))
    found = finalize(pl.concat([shuffled, later]), Numbering("INV", 4, 0, 30), MARCH_1)
    assert_rows(
        found,
        """
        sequence | issued_at  | invoice_id
        5        | 2025-01-01 | a/0/0
        6        | 2025-01-01 | s1/0/0
        7        | 2025-02-01 | a/1/0
        8        | 2025-02-01 | s1/1/0
        9        | 2025-03-01 | a/2/0
        10       | 2025-03-01 | s1/2/0
        """,
    )


def test_an_earlier_clock_gives_no_number_after_a_later_one() -> None:
    """Numbers follow time: what an earlier clock finds due becomes final with the next run that is not earlier."""
    due = drafts(used=USED, fixed=FEE)
    given = Numbering("INV", 4, 0, 30, last_given_at=MARCH_1)
    a_day_before = datetime(2025, 2, 28, tzinfo=UTC)
    assert finalize(due, given, a_day_before).collect().is_empty()
    assert finalize(due, given, MARCH_1).collect()["sequence"].min() == 5


# --- Estimates --------------------------------------------------------------------------------------------------------


def test_an_open_cycle_is_estimated_as_if_it_ended_now() -> None:
    used = charges("""
        cycle | quantity | credited | billed | amount_minor_unrounded
        1     | 9        | 0        | 9      | 90
        2     | 12       | 2        | 10     | 100.5
    """)
    found = estimates(PERIODS, used, MARCH_1, "half_away_from_zero")
    assert_rows(
        verify(found.collect(), Estimates).lazy(),
        """
        subscription_id | price_id | meter | period_start | quantity | credited | billed | amount_minor | currency
        s1              | call     | calls | 2025-03-01   | 12       | 2        | 10     | 101          | USD
        """,
    )
