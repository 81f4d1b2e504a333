"""How usage becomes charges: included units, credits, tiers, cap (rules 4.1 to 4.6)."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest

from meterhouse.rating import charge, cover_credited, cover_included, rate
from meterhouse.tables import Billables, BillingPeriods, MeteredPrices, Tiers, Usage
from tests.tables import assert_rows, rows

PRICES = rows(
    MeteredPrices,
    """
    product | price_id  | meter | volume | included | cap_minor
    pro     | unit      | calls | no     | 0        | -
    pro     | capped    | calls | no     | 0        | 100
    pro     | graduated | calls | no     | 0        | -
    pro     | volume    | calls | yes    | 0        | -
    pro     | bounded   | calls | no     | 0        | -
    pro     | only_some | calls | yes    | 0        | -
    """,
    currency="USD",
)
TIERS = rows(
    Tiers,
    """
    product | price_id  | over | up_to | unit_amount_minor | flat_amount_minor
    pro     | unit      | 0    | -     | 0.5               | 0
    pro     | capped    | 0    | -     | 3                 | 0
    pro     | graduated | 0    | 10    | 2                 | 100
    pro     | graduated | 10   | 50    | 1                 | 30
    pro     | graduated | 50   | -     | 0.1               | 0
    pro     | volume    | 0    | 10    | 2                 | 100
    pro     | volume    | 10   | 50    | 1                 | 30
    pro     | volume    | 50   | -     | 0.1               | 0
    pro     | bounded   | 0    | 10    | 2                 | 0
    pro     | only_some | 0    | 10    | 2                 | 0
    """,
)


def billables(text: str) -> pl.LazyFrame:
    """What is billed, of subscriptions that used exactly that."""
    return rows(Billables, text, cycle=0, product="pro", meter="calls", included=0, credited=0)


def steps_of(text: str) -> pl.LazyFrame:
    return rate(billables(text), PRICES, TIERS)


def charges_of(text: str) -> pl.LazyFrame:
    billed = billables(text)
    return charge(billed, rate(billed, PRICES, TIERS), PRICES)


# --- Included units ---------------------------------------------------------------------------------------------------


INCLUDING = rows(
    MeteredPrices,
    """
    product | price_id | meter   | included
    pro     | calls    | calls   | 10
    pro     | storage  | storage | 0.5
    free    | calls    | calls   | 0
    """,
    currency="USD",
    volume=False,
)
PERIODS = rows(
    BillingPeriods,
    """
    subscription_id | cycle | product
    ada             | 0     | pro
    ada             | 1     | free
    bob             | 0     | pro
    """,
    customer_id="any",
    period_start="2025-01-01",
    period_end="2025-02-01",
    is_last=False,
)


def included_of(text: str) -> pl.LazyFrame:
    usage = rows(
        Usage, text, customer_id="any", period_start="2025-01-01", period_end="2025-02-01", events=1, skipped=0
    )
    return cover_included(usage, PERIODS, INCLUDING)


def test_included_units_come_off_the_quantity() -> None:
    billed = included_of("""
        subscription_id | cycle | meter   | quantity
        ada             | 0     | calls   | 12.25
        ada             | 0     | storage | 0.2
        bob             | 0     | calls   | 10
    """)
    assert_rows(
        billed,
        """
        subscription_id | cycle | product | price_id | meter   | quantity | included | credited | billed
        ada             | 0     | pro     | calls    | calls   | 12.25    | 10       | 0        | 2.25
        ada             | 0     | pro     | storage  | storage | 0.2      | 0.2      | 0        | 0
        bob             | 0     | pro     | calls    | calls   | 10       | 10       | 0        | 0
        """,
    )


def test_usage_is_priced_by_the_product_of_its_cycle() -> None:
    billed = included_of("""
        subscription_id | cycle | meter | quantity
        ada             | 0     | calls | 12
        ada             | 1     | calls | 12
    """)
    assert_rows(
        billed,
        """
        cycle | product | billed
        0     | pro     | 2
        1     | free    | 12
        """,
    )


def test_usage_without_a_price_is_not_billable() -> None:
    billed = included_of("""
        subscription_id | cycle | meter   | quantity
        ada             | 0     | seats   | 12
        ada             | 1     | storage | 12
    """)
    assert billed.collect().is_empty()


def test_negative_quantity_bills_nothing_and_uses_no_included_units() -> None:
    billed = included_of("""
        subscription_id | cycle | meter | quantity
        ada             | 0     | calls | -5
    """)
    assert_rows(
        billed,
        """
        quantity | included | billed
        -5       | 0        | 0
        """,
    )


def test_quantity_of_nothing_bills_nothing() -> None:
    billed = included_of("""
        subscription_id | cycle | meter | quantity
        ada             | 0     | calls | -
    """)
    assert_rows(
        billed,
        """
        quantity | included | billed
        -        | 0        | 0
        """,
    )


# --- Credits ----------------------------------------------------------------------------------------------------------


CREDITED = pl.LazyFrame(
    {"subscription_id": ["ada", "bob"], "cycle": [0, 1], "meter": ["calls", "calls"], "units": ["4.5", "4"]}
).cast({"units": pl.Decimal(38, 12)})


def test_credits_come_off_what_is_billed_and_never_below_zero() -> None:
    billed = cover_credited(
        billables("""
            subscription_id | price_id  | quantity | billed
            ada             | unit      | 10       | 10
            ada             | graduated | 4        | 4
            bob             | unit      | 10       | 10
        """),
        CREDITED,
    )
    assert_rows(
        billed,
        """
        subscription_id | price_id  | quantity | credited | billed
        ada             | unit      | 10       | 4.5      | 5.5
        ada             | graduated | 4        | 4        | 0
        bob             | unit      | 10       | 0        | 10
        """,
    )


def test_units_already_covered_by_credits_stay_covered() -> None:
    billed = billables("""
        subscription_id | price_id | quantity | billed
        ada             | unit     | 10       | 10
    """)
    assert_rows(
        cover_credited(cover_credited(billed, CREDITED), CREDITED),
        """
        credited | billed
        9        | 1
        """,
    )


# --- Tiers ------------------------------------------------------------------------------------------------------------


def test_unit_price_is_one_tier_without_end() -> None:
    steps = steps_of("""
        subscription_id | price_id | quantity | billed
        ada             | unit     | 12.25    | 12.25
    """)
    assert_rows(
        steps,
        """
        subscription_id | price_id | step | over | up_to | quantity | unit_amount_minor | amount_minor_unrounded
        ada             | unit     | 1    | 0    | -     | 12.25    | 0.5               | 6.125
        """,
    )


def test_graduated_price_bills_each_unit_at_the_tier_it_falls_in() -> None:
    steps = steps_of("""
        subscription_id | price_id  | quantity | billed
        ada             | graduated | 10       | 10
        bob             | graduated | 10.5     | 10.5
        cyd             | graduated | 60       | 60
    """)
    assert_rows(
        steps,
        """
        subscription_id | step | over | quantity | unit_amount_minor | flat_amount_minor | amount_minor_unrounded
        ada             | 1    | 0    | 10       | 2                 | 100               | 120
        bob             | 1    | 0    | 10       | 2                 | 100               | 120
        bob             | 2    | 10   | 0.5      | 1                 | 30                | 30.5
        cyd             | 1    | 0    | 10       | 2                 | 100               | 120
        cyd             | 2    | 10   | 40       | 1                 | 30                | 70
        cyd             | 3    | 50   | 10       | 0.1               | 0                 | 1
        """,
    )


def test_volume_price_bills_all_units_at_the_tier_the_total_falls_in() -> None:
    steps = steps_of("""
        subscription_id | price_id | quantity | billed
        ada             | volume   | 10       | 10
        bob             | volume   | 10.5     | 10.5
        cyd             | volume   | 60       | 60
    """)
    assert_rows(
        steps,
        """
        subscription_id | step | over | quantity | unit_amount_minor | flat_amount_minor | amount_minor_unrounded
        ada             | 1    | 0    | 10       | 2                 | 100               | 120
        bob             | 1    | 10   | 10.5     | 1                 | 30                | 40.5
        cyd             | 1    | 50   | 60       | 0.1               | 0                 | 6
        """,
    )


@pytest.mark.parametrize("price", ["graduated", "volume"])
def test_zero_units_pay_the_flat_amount_of_the_first_tier(price: str) -> None:
    """As Lago and OpenMeter have it."""
    steps = steps_of(f"""
        subscription_id | price_id | quantity | billed
        ada             | {price}  | 0        | 0
        bob             | {price}  | -3       | 0
        cyd             | unit     | 0        | 0
    """)
    assert_rows(
        steps,
        """
        subscription_id | step | quantity | flat_amount_minor | amount_minor_unrounded
        ada             | 1    | 0        | 100               | 100
        bob             | 1    | 0        | 100               | 100
        """,
    )


def test_quantity_of_nothing_does_not_even_pay_a_flat_amount() -> None:
    steps = steps_of("""
        subscription_id | price_id  | quantity | billed
        ada             | graduated | -        | 0
    """)
    assert steps.collect().is_empty()


def test_product_of_quantity_and_unit_amount_is_exact() -> None:
    tiers = rows(
        Tiers,
        """
        product | price_id | over | up_to | unit_amount_minor | flat_amount_minor
        pro     | unit     | 0    | -     | 0.333333333333    | 0
        """,
    )
    billed = billables("""
        subscription_id | price_id | quantity       | billed
        ada             | unit     | 0.000000000001 | 0.000000000001
        bob             | unit     | 3000000000.003 | 3000000000.003
    """)
    assert_rows(
        rate(billed, PRICES, tiers),
        """
        subscription_id | amount_minor_unrounded
        ada             | 0.000000000000333333333333
        bob             | 999999999.999999999999999
        """,
    )


def test_prices_of_different_products_may_have_the_same_id() -> None:
    tiers = rows(
        Tiers,
        """
        product | unit_amount_minor
        pro     | 5
        free    | 0
        """,
        price_id="calls",
        over=Decimal(0),
        flat_amount_minor=Decimal(0),
    )
    billed = rows(
        Billables,
        """
        subscription_id | product
        ada             | pro
        bob             | free
        """,
        cycle=0,
        price_id="calls",
        meter="calls",
        quantity=Decimal(2),
        included=Decimal(0),
        credited=Decimal(0),
        billed=Decimal(2),
    )
    assert_rows(
        rate(billed, INCLUDING, tiers),
        """
        subscription_id | step | amount_minor_unrounded
        ada             | 1    | 10
        bob             | 1    | 0
        """,
    )


# --- Charges ----------------------------------------------------------------------------------------------------------


def test_charge_is_the_sum_of_its_steps_up_to_the_cap() -> None:
    charges = charges_of("""
        subscription_id | price_id  | quantity | billed
        ada             | graduated | 60       | 60
        ada             | capped    | 33       | 33
        bob             | capped    | 34       | 34
    """)
    assert_rows(
        charges,
        """
        subscription_id | price_id  | currency | billed | unpriced | uncapped_minor_unrounded | amount_minor_unrounded
        ada             | graduated | USD      | 60     | 0        | 191                      | 191
        ada             | capped    | USD      | 33     | 0        | 99                       | 99
        bob             | capped    | USD      | 34     | 0        | 102                      | 100
        """,
    )


def test_charge_of_nothing_is_zero() -> None:
    charges = charges_of("""
        subscription_id | price_id  | quantity | billed
        ada             | capped    | 0        | 0
        bob             | graduated | -        | 0
    """)
    assert_rows(
        charges,
        """
        subscription_id | quantity | billed | unpriced | uncapped_minor_unrounded | amount_minor_unrounded
        ada             | 0        | 0      | 0        | 0                        | 0
        bob             | -        | 0      | 0        | 0                        | 0
        """,
    )


def test_units_above_the_last_tier_are_unpriced() -> None:
    """A graduated price bills what it covers; a volume price finds no tier for the total, and bills nothing."""
    charges = charges_of("""
        subscription_id | price_id  | quantity | billed
        ada             | bounded   | 10       | 10
        bob             | bounded   | 15       | 15
        ada             | only_some | 10       | 10
        bob             | only_some | 15       | 15
    """)
    assert_rows(
        charges,
        """
        subscription_id | price_id  | billed | unpriced | amount_minor_unrounded
        ada             | bounded   | 10     | 0        | 20
        bob             | bounded   | 15     | 5        | 20
        ada             | only_some | 10     | 0        | 20
        bob             | only_some | 15     | 15       | 0
        """,
    )
