"""What holds for every benefit and every history of usage (rules 5.3, 5.5 and 5.8)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meterhouse.credits import burn_down, carried_over, credited
from meterhouse.tables import Benefits, CreditDemand, CreditLedger, CreditsCarried, empty, schema_of, verify

PRODUCTS = ["pro", "free"]
METERS = ["calls", "storage"]
UNITS = st.just(Decimal(0)) | st.integers(0, 100).map(Decimal) | st.decimals("0", "100", places=12)


class History(NamedTuple):
    """Benefits, and what consecutive cycles of several subscriptions want."""

    demand: pl.LazyFrame
    benefits: pl.LazyFrame


@st.composite
def benefit_tables(draw: st.DrawFn, priorities: st.SearchStrategy[int]) -> pl.LazyFrame:
    """Up to four benefits, of any product and meter."""
    benefits = [
        {
            "product": draw(st.sampled_from(PRODUCTS)),
            "benefit_id": benefit,
            "meter": draw(st.sampled_from(METERS)),
            "units": draw(UNITS),
            "rollover": draw(st.booleans()),
            "priority": draw(priorities),
        }
        for benefit in draw(st.sets(st.sampled_from(["a", "b", "c/d", "rollover"])))
    ]
    return pl.LazyFrame(benefits, schema=schema_of(Benefits))


@st.composite
def chains(draw: st.DrawFn, subscription: str, meter: str) -> list[dict[str, Any]]:
    """Consecutive cycles of one subscription and meter; only the last may be open, or the end of the subscription."""
    first, length = draw(st.integers(0, 3)), draw(st.integers(1, 4))
    closed, is_last = draw(st.booleans()), draw(st.booleans())
    return [
        {
            "subscription_id": subscription,
            "cycle": cycle,
            "meter": meter,
            "customer_id": "ada",
            "product": draw(st.sampled_from(PRODUCTS)),
            "period_start": datetime(2025, 1 + cycle, 1, tzinfo=UTC),
            "period_end": datetime(2025, 2 + cycle, 1, tzinfo=UTC),
            "is_closed": closed or cycle < first + length - 1,
            "is_last": is_last and cycle == first + length - 1,
            "wanted": draw(UNITS),
        }
        for cycle in range(first, first + length)
    ]


@st.composite
def histories(draw: st.DrawFn, priorities: st.SearchStrategy[int] | None = None) -> History:
    """Any benefits, any usage."""
    pairs = draw(st.sets(st.tuples(st.sampled_from(["s1", "s/2"]), st.sampled_from(METERS)), min_size=1))
    demand = [row for subscription, meter in sorted(pairs) for row in draw(chains(subscription, meter))]
    return History(
        pl.LazyFrame(demand, schema=schema_of(CreditDemand)),
        draw(benefit_tables(st.integers(0, 2) if priorities is None else priorities)),
    )


def burnt(history: History) -> pl.DataFrame:
    return verify(burn_down(history.demand, history.benefits, empty(CreditsCarried)).collect(), CreditLedger)


def cycles_of(ledger: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Entries of each cycle, as they follow each other."""
    kinds = pl.Enum(["granted", "used", "rolled_over", "forfeited"])
    in_order = ledger.with_columns(pl.col("kind").cast(kinds)).sort("kind", "rank")
    yield from in_order.partition_by("subscription_id", "meter", "cycle", maintain_order=True)


def units_of(entries: pl.DataFrame, kind: str) -> Decimal:
    """Units of all entries of a kind, without sign."""
    return sum((abs(units) for units in entries.filter(pl.col("kind") == kind)["units"]), Decimal(0))


@given(histories())
def test_balance_is_the_sum_of_entries_at_every_instant_and_never_negative(history: History) -> None:
    for entries in cycles_of(burnt(history)):
        balance = Decimal(0)
        for entry in entries.iter_rows(named=True):
            assert entry["balance_before"] == balance
            balance += entry["units"]
            assert entry["balance_after"] == balance >= 0


@given(histories())
def test_nothing_is_left_when_a_cycle_is_over(history: History) -> None:
    closed = history.demand.filter("is_closed").select("subscription_id", "cycle", "meter")
    entries = burnt(history).lazy().join(closed, on=["subscription_id", "cycle", "meter"], how="semi")
    left = entries.group_by("subscription_id", "cycle", "meter").agg(pl.col("units").sum()).collect()
    assert (left["units"] == 0).all()


@given(histories())
def test_each_grant_is_used_forfeited_rolled_over_or_still_there(history: History) -> None:
    ledger = burnt(history)
    for grant in ledger.partition_by("grant_id"):
        gone = [units_of(grant, kind) for kind in ("used", "rolled_over", "forfeited")]
        assert units_of(grant, "granted") - sum(gone) == grant["units"].sum() >= 0
        assert grant["kind"].is_unique().all()
        assert grant["rank"].n_unique() == 1


@given(histories())
def test_every_benefit_of_the_product_grants_its_units_in_every_cycle(history: History) -> None:
    granted = burnt(history).filter(kind="granted", origin="benefit")
    keys = ["subscription_id", "cycle", "meter", "benefit_id", "units", "rollover"]
    expected = history.demand.join(history.benefits, on=["product", "meter"]).filter(pl.col("units") > 0)
    assert_frame_equal(granted.select(keys), expected.select(keys).collect(), check_row_order=False)


@given(histories())
def test_as_much_as_is_wanted_and_there_is_used(history: History) -> None:
    ledger = burnt(history)
    keys = ["subscription_id", "cycle", "meter"]
    there = ledger.lazy().filter(kind="granted").group_by(keys).agg(there=pl.col("units").sum())
    covered = history.demand.join(there, on=keys, how="left").join(credited(ledger.lazy()), on=keys, how="left")
    for row in covered.collect().iter_rows(named=True):
        assert (row["units"] or 0) == min(row["wanted"], row["there"] or 0)


@given(histories())
def test_a_grant_is_used_only_when_those_before_it_are_spent(history: History) -> None:
    for entries in cycles_of(burnt(history)):
        grants = entries.filter(kind="granted")
        used = dict(entries.filter(kind="used").select("rank", -pl.col("units")).iter_rows())
        assert grants["rank"].to_list() == list(range(1, grants.height + 1))
        spent = [used.get(rank, 0) == units for rank, units in grants.select("rank", "units").iter_rows()]
        assert all(before or rank + 2 not in used for rank, before in enumerate(spent))


@given(histories())
def test_what_a_cycle_rolls_over_is_granted_in_the_next(history: History) -> None:
    ledger = burnt(history)
    cycles = {
        row[:3]: row[3]
        for row in history.demand.select("subscription_id", "meter", "cycle", "is_last").collect().iter_rows()
    }
    for entries in cycles_of(ledger):
        subscription, meter, cycle = entries.select("subscription_id", "meter", "cycle").row(0)
        rolled_over = units_of(entries, "rolled_over")
        assert rolled_over == int(rolled_over)
        assert not (rolled_over and cycles[subscription, meter, cycle])
        if (subscription, meter, cycle + 1) in cycles:
            following = ledger.filter(subscription_id=subscription, meter=meter, cycle=cycle + 1, origin="rollover")
            assert units_of(following, "granted") == rolled_over


@given(histories(priorities=st.just(0)))
def test_rollover_without_priorities_is_that_of_polar(history: History) -> None:
    """The balance, but no more than the units that roll over, in whole units."""
    ends = history.demand.filter(~pl.col("is_closed") | pl.col("is_last")).select("subscription_id", "cycle", "meter")
    ledger = burnt(history).lazy().join(ends, on=["subscription_id", "cycle", "meter"], how="anti").collect()
    for entries in cycles_of(ledger):
        balance = units_of(entries, "granted") - units_of(entries, "used")
        rollover_units = units_of(entries.filter("rollover"), "granted")
        assert units_of(entries, "rolled_over") == int(min(balance, rollover_units))


@given(histories(), st.integers(1, 4))
def test_burning_in_two_parts_changes_nothing(history: History, cycle: int) -> None:
    first = burn_down(history.demand.filter(pl.col("cycle") < cycle), history.benefits, empty(CreditsCarried))
    carried = carried_over(first)
    verify(carried.collect(), CreditsCarried)
    second = burn_down(history.demand.filter(pl.col("cycle") >= cycle), history.benefits, carried)
    assert_frame_equal(pl.concat([first, second]).collect(), burnt(history), check_row_order=False)


@given(histories())
def test_each_subscription_and_meter_burns_as_if_it_were_alone(history: History) -> None:
    alone = [
        burnt(history._replace(demand=demand.lazy()))
        for demand in history.demand.collect().partition_by("subscription_id", "meter")
    ]
    assert_frame_equal(pl.concat(alone), burnt(history), check_row_order=False)


@given(histories(), st.integers(0, 1000))
def test_order_of_rows_changes_nothing(history: History, seed: int) -> None:
    shuffled = History(*(frame.collect().sample(fraction=1, shuffle=True, seed=seed).lazy() for frame in history))
    assert_frame_equal(burnt(shuffled), burnt(history), check_row_order=False)
