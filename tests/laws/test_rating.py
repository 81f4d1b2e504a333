"""What holds for every price and every quantity (rules 4.1 to 4.6)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meterhouse.rating import charge, cover_credited, cover_included, rate
from meterhouse.tables import Billables, Charges, MeteredPrices, RatedSteps, Tiers, schema_of, verify

QUANTITIES = st.decimals("-10", "1000000", places=12)
SOME_QUANTITIES = st.lists(st.none() | QUANTITIES, min_size=1, max_size=6)
UNIT_AMOUNTS = st.decimals("0", "1000", places=12)
SOME_UNITS = st.just(Decimal(0)) | st.decimals("0", "1000", places=12)


class Case(NamedTuple):
    """One price and what several subscriptions used of it."""

    prices: pl.LazyFrame
    tiers: pl.LazyFrame
    billables: pl.LazyFrame


def prices(*, volume: bool, included: Decimal, cap_minor: int | None) -> pl.LazyFrame:
    price = {
        "product": "pro",
        "price_id": "price",
        "meter": "calls",
        "currency": "USD",
        "volume": volume,
        "included": included,
        "cap_minor": cap_minor,
    }
    return pl.LazyFrame([price], schema=schema_of(MeteredPrices))


@st.composite
def tier_tables(draw: st.DrawFn, flat_amounts: st.SearchStrategy[Decimal] = UNIT_AMOUNTS) -> pl.LazyFrame:
    """Tiers that follow each other from 0; the last may have an end."""
    bounds = sorted(draw(st.sets(st.decimals("0.000000000001", "1000", places=12), max_size=4)))
    is_open = draw(st.booleans()) or not bounds
    starts = [Decimal(0), *bounds] if is_open else [Decimal(0), *bounds[:-1]]
    ends = [*bounds, None] if is_open else bounds
    tiers = [
        {
            "product": "pro",
            "price_id": "price",
            "over": over,
            "up_to": up_to,
            "unit_amount_minor": draw(UNIT_AMOUNTS),
            "flat_amount_minor": draw(flat_amounts),
        }
        for over, up_to in zip(starts, ends, strict=True)
    ]
    return pl.LazyFrame(draw(st.permutations(tiers)), schema=schema_of(Tiers))


def usage(quantities: list[Decimal | None]) -> pl.LazyFrame:
    """One subscription per quantity."""
    measured = pl.LazyFrame(
        {"subscription_id": [str(n) for n in range(len(quantities))], "quantity": quantities},
        schema_overrides={"quantity": pl.Decimal(38, 12)},
    )
    return measured.with_columns(cycle=pl.lit(0, dtype=pl.Int64), meter=pl.lit("calls"))


def billables_of(quantities: list[Decimal | None], metered_prices: pl.LazyFrame) -> pl.LazyFrame:
    periods = usage(quantities).with_columns(product=pl.lit("pro"))
    return cover_included(usage(quantities), periods, metered_prices)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any price, any quantities, some of them covered by credits."""
    quantities = draw(SOME_QUANTITIES)
    metered_prices = prices(
        volume=draw(st.booleans()),
        included=draw(SOME_UNITS),
        cap_minor=draw(st.none() | st.integers(0, 100_000_000)),
    )
    units = draw(st.lists(SOME_UNITS, min_size=len(quantities), max_size=len(quantities)))
    credited = usage([*units]).rename({"quantity": "units"})
    billables = cover_credited(billables_of(quantities, metered_prices), credited)
    return Case(metered_prices, draw(tier_tables()), billables)


def steps_of(case: Case) -> pl.DataFrame:
    return verify(rate(case.billables, case.prices, case.tiers).collect(), RatedSteps)


def charges_of(case: Case) -> pl.DataFrame:
    return verify(charge(case.billables, steps_of(case).lazy(), case.prices).collect(), Charges)


@given(cases())
def test_included_credited_and_billed_units_add_up_to_the_quantity(case: Case) -> None:
    billables = verify(case.billables.collect(), Billables)
    for row in billables.iter_rows(named=True):
        assert row["included"] + row["credited"] + row["billed"] == max(row["quantity"] or 0, 0)
        assert min(row["included"], row["credited"], row["billed"]) >= 0


@given(cases())
def test_steps_and_unpriced_units_add_up_to_what_is_billed(case: Case) -> None:
    priced = steps_of(case).group_by("subscription_id").agg(pl.col("quantity").sum())
    quantities = dict(priced.iter_rows())
    for row in charges_of(case).iter_rows(named=True):
        assert quantities.get(row["subscription_id"], 0) + row["unpriced"] == row["billed"]
        assert row["unpriced"] >= 0


@given(cases())
def test_steps_are_exact_and_add_up_to_the_charge(case: Case) -> None:
    sums: dict[str, Fraction] = {}
    for step in steps_of(case).iter_rows(named=True):
        amount = Fraction(step["quantity"]) * Fraction(step["unit_amount_minor"]) + Fraction(step["flat_amount_minor"])
        assert Fraction(step["amount_minor_unrounded"]) == amount
        sums[step["subscription_id"]] = sums.get(step["subscription_id"], Fraction()) + amount
    for row in charges_of(case).iter_rows(named=True):
        assert Fraction(row["uncapped_minor_unrounded"]) == sums.get(row["subscription_id"], 0)


@given(cases())
def test_cap_is_the_most_that_is_charged(case: Case) -> None:
    cap = case.prices.collect()["cap_minor"].item()
    for row in charges_of(case).iter_rows(named=True):
        uncapped = row["uncapped_minor_unrounded"]
        assert row["amount_minor_unrounded"] == (uncapped if cap is None else min(uncapped, cap))


@given(cases())
def test_steps_are_numbered_from_one_and_lie_in_their_tier(case: Case) -> None:
    volume = case.prices.collect()["volume"].item()
    for (_,), steps in steps_of(case).sort("step").group_by("subscription_id", maintain_order=True):
        assert steps["step"].to_list() == list(range(1, steps.height + 1))
        for step in steps.iter_rows(named=True):
            assert step["up_to"] is None or step["quantity"] + (0 if volume else step["over"]) <= step["up_to"]


@given(cases(), st.integers(0, 1000))
def test_order_of_rows_changes_nothing(case: Case, seed: int) -> None:
    shuffled = Case(*(frame.collect().sample(fraction=1, shuffle=True, seed=seed).lazy() for frame in case))
    assert_frame_equal(steps_of(case), steps_of(shuffled), check_row_order=False)
    assert_frame_equal(charges_of(case), charges_of(shuffled), check_row_order=False)


@given(cases())
def test_each_subscription_is_charged_as_if_it_were_alone(case: Case) -> None:
    together = charges_of(case)
    alone = [
        charges_of(case._replace(billables=case.billables.filter(pl.col("subscription_id") == subscription)))
        for subscription in together["subscription_id"]
    ]
    assert_frame_equal(together, pl.concat(alone), check_row_order=False)


@given(tier_tables(), SOME_QUANTITIES)
def test_more_units_of_a_graduated_price_never_cost_less(tiers: pl.LazyFrame, quantities: list[Decimal | None]) -> None:
    price = prices(volume=False, included=Decimal(0), cap_minor=None)
    charges = charges_of(Case(price, tiers, billables_of(quantities, price))).filter(pl.col("quantity").is_not_null())
    amounts = charges.sort("quantity")["uncapped_minor_unrounded"].to_list()
    assert all(less <= more for less, more in pairwise(amounts))


@given(tier_tables(flat_amounts=st.just(Decimal(0))), SOME_QUANTITIES)
def test_graduated_price_without_flat_amounts_does_not_jump(
    tiers: pl.LazyFrame, quantities: list[Decimal | None]
) -> None:
    price = prices(volume=False, included=Decimal(0), cap_minor=None)
    dearest = Fraction(tiers.collect()["unit_amount_minor"].max())  # type: ignore[arg-type]
    charges = charges_of(Case(price, tiers, billables_of(quantities, price))).sort("billed")
    points = [
        (Fraction(row["billed"]), Fraction(row["uncapped_minor_unrounded"])) for row in charges.iter_rows(named=True)
    ]
    for (fewer, less), (more, cost) in pairwise(points):
        assert cost - less <= (more - fewer) * dearest


@given(UNIT_AMOUNTS, UNIT_AMOUNTS, SOME_QUANTITIES)
def test_graduated_and_volume_agree_where_there_is_one_tier(
    unit_amount: Decimal, flat_amount: Decimal, quantities: list[Decimal | None]
) -> None:
    tier = ("pro", "price", Decimal(0), None, unit_amount, flat_amount)
    tiers = pl.LazyFrame([tier], schema=schema_of(Tiers), orient="row")
    graduated, volume = (prices(volume=volume, included=Decimal(0), cap_minor=None) for volume in (False, True))
    billables = billables_of(quantities, graduated)
    assert_frame_equal(
        charges_of(Case(graduated, tiers, billables)),
        charges_of(Case(volume, tiers, billables)),
        check_row_order=False,
    )
