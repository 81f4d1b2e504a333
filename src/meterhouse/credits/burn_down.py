"""Demand and grants to ledger entries, cycle after cycle (rules 5.3 to 5.8)."""

from __future__ import annotations

from typing import Final

import polars as pl

from meterhouse.credits.grants import granted
from meterhouse.tables import CreditLedger, CreditsCarried, conform, empty
from meterhouse.tables.columns import QUANTITY

_ZERO: Final = pl.lit(0, dtype=QUANTITY)
_KINDS: Final = ("granted", "used", "rolled_over", "forfeited")
"""Kinds of entries, in the order in which they stand in the ledger of a cycle."""


def burn_down(demand: pl.LazyFrame, benefits: pl.LazyFrame, carried: pl.LazyFrame) -> pl.LazyFrame:
    """`CreditDemand`, `Benefits` and `CreditsCarried` to `CreditLedger`: grants, their use, what becomes of the rest.

    What a cycle carries over depends on the cycle before it, so cycles are taken one after the other, each for all
    subscriptions at once; the demand is read for that. The cycles of a subscription and meter must follow each other
    without a gap, and `carried` says what came into the first of them. Ids depend on nothing but subscription, meter,
    cycle and benefit: burning the same history again gives the same entries.
    """
    ledger = []
    for cycle in _in_turn(demand, benefits, carried):
        entries = _cycle_entries(cycle.lazy(), benefits, carried).collect()
        carried = carried_over(entries.lazy())
        ledger.append(entries)
    return pl.concat(ledger).lazy() if ledger else empty(CreditLedger)


def credited(ledger: pl.LazyFrame) -> pl.LazyFrame:
    """Units that credits covered: subscription_id, cycle, meter, units (positive)."""
    return (
        ledger.filter(pl.col("kind") == "used")
        .group_by("subscription_id", "cycle", "meter")
        .agg(units=-pl.col("units").sum())
    )


def carried_over(ledger: pl.LazyFrame) -> pl.LazyFrame:
    """`CreditsCarried`: what the last cycle of each subscription and meter in the ledger passes to the next one."""
    passed = -pl.col("units").filter(pl.col("kind") == "rolled_over", pl.col("cycle") == pl.col("cycle").max()).sum()
    carried = (
        ledger.group_by("subscription_id", "meter")
        .agg(cycle=pl.col("cycle").max() + 1, units=passed)
        .filter(pl.col("units") > 0)
    )
    return conform(carried, CreditsCarried)


def _in_turn(demand: pl.LazyFrame, benefits: pl.LazyFrame, carried: pl.LazyFrame) -> list[pl.DataFrame]:
    """Demand in parts to be taken one after the other; where nothing can roll over, all cycles are in the first."""
    subscription_meter = ["subscription_id", "meter"]
    # A meter without benefit, or without units carried, is null here; `any` skips nulls.
    rolls = (pl.col("rollover") | pl.col("is_carried")).any().over(subscription_meter)
    rolling = benefits.group_by("product", "meter").agg(pl.col("rollover").any())
    carrying = carried.select(*subscription_meter, is_carried=pl.lit(value=True))
    turn = pl.when(rolls).then(pl.col("cycle") - pl.col("cycle").min().over(subscription_meter)).otherwise(0)
    turns = (
        demand.join(rolling, on=["product", "meter"], how="left")
        .join(carrying, on=subscription_meter, how="left")
        .with_columns(turn=turn)
        .drop("rollover", "is_carried")
        .with_row_index("demand")
        .collect()
        .partition_by("turn", as_dict=True, include_key=False)
    )
    return [turns[key] for key in sorted(turns)]


def _cycle_entries(demand: pl.LazyFrame, benefits: pl.LazyFrame, carried: pl.LazyFrame) -> pl.LazyFrame:
    """Ledger entries of one cycle of each subscription."""
    shares = _with_balances(_shared(granted(demand, benefits, carried))).collect().lazy()
    entries = pl.concat([_entries(shares, kind) for kind in _KINDS]).filter(pl.col("units") != 0)
    return conform(entries, CreditLedger)


def _shared(grants: pl.LazyFrame) -> pl.LazyFrame:
    """Grants, in burn-down order, with one signed column per kind of entry.

    Units are truncated to whole ones over all grants together (rule 5.5): the fraction is taken from the last grants.
    """
    used = _in_order("units", pl.col("wanted"))
    left = pl.col("units") - pl.col("used")
    stays = pl.col("is_closed") & pl.col("rollover") & ~pl.col("is_last")
    rolled_over = _in_order("rolling", pl.col("rolling").sum().over("demand").floor())
    forfeited = pl.when("is_closed").then(left - pl.col("rolled_over")).otherwise(_ZERO)
    return (
        grants.with_columns(used=used)
        .with_columns(rolling=pl.when(stays).then(left).otherwise(_ZERO))
        .with_columns(rolled_over=rolled_over)
        .with_columns(forfeited=forfeited)
        .with_columns(-pl.col("used", "rolled_over", "forfeited"), granted=pl.col("units"))
    )


def _in_order(column: str, total: pl.Expr) -> pl.Expr:
    """How much of each row's column a total takes, when the rows of a demand are taken in order until it is spent."""
    taken_before = pl.col(column).cum_sum().over("demand") - pl.col(column)
    return pl.max_horizontal(pl.min_horizontal(total - taken_before, pl.col(column)), _ZERO)


def _with_balances(shares: pl.LazyFrame) -> pl.LazyFrame:
    """The balance after each entry: the kinds before it in full, and its own kind up to its rank.

    Cheaper than sorting all entries, to add them up in one go.
    """
    balances = {}
    kinds_before = _ZERO
    for kind in _KINDS:
        balances[_balance(kind)] = kinds_before + pl.col(kind).cum_sum().over("demand")
        kinds_before = kinds_before + pl.col(kind).sum().over("demand")
    return shares.with_columns(**balances)


def _balance(kind: str) -> str:
    return f"balance_{kind}"


def _entries(shares: pl.LazyFrame, kind: str) -> pl.LazyFrame:
    """Entries of one kind, one per grant; those of 0 units are still among them."""
    return shares.with_columns(
        entry_id=pl.concat_str("grant_id", pl.lit(kind), separator="/"),
        kind=pl.lit(kind),
        units=pl.col(kind),
        balance_before=pl.col(_balance(kind)) - pl.col(kind),
        balance_after=pl.col(_balance(kind)),
        occurred_at=pl.col("period_start" if kind == "granted" else "period_end"),
        invoice_id=pl.lit(None, dtype=pl.String),
    )
