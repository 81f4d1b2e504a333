"""Polars bills random books and usage, and DuckDB finds the same amounts and credits (rules 4.6, 5 and 6)."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from meterhouse.bill import Bill, Books, bill
from meterhouse.bill import Final as Billed
from meterhouse.catalog import Aggregation, FixedPrice, Meter, MeterCredits, Product, Tier, TieredPrice, UnitPrice
from meterhouse.catalog.rows import meter_rows, product_rows
from meterhouse.invoicing import Numbering
from meterhouse.tables import CreditLedger, Invoices, Subscriptions, Usage, UsageDaily, empty, schema_of
from tests.oracle.engine import assert_passes, audit_frames

if TYPE_CHECKING:
    from meterhouse.money import Rounding

START: Final = datetime(2026, 1, 31, tzinfo=UTC)
DAYS: Final = 90
CUSTOMERS: Final = ("ada", "bob", "cyd", "dan", "eve", "fay")
PRODUCTS: Final = ("basic", "plus", "pro")
METERS: Final = {
    "calls": Meter(aggregation=Aggregation(func="sum", property="calls")),
    "peak": Meter(aggregation=Aggregation(func="max", property="peak")),
}
CHECKS: Final = (
    "credit_grants",
    "credit_entries",
    "credit_balances",
    "credits_on_lines",
    "charges",
    "steps",
    "fees",
    "lines",
    "invoices",
    "invoice_numbers",
    "invoice_cycles",
)
DEFINITIONS: Final = ("products", "fixed_prices", "metered_prices", "tiers", "benefits")

# On and beside the bounds of tiers; prices that end in a half minor unit, or far below one.
UNITS: Final = tuple(map(Decimal, ("0", "0.5", "1", "2.5", "3", "7", "10", "10.000000000001", "1000")))
AMOUNTS: Final = tuple(map(Decimal, ("0", "0.005", "0.01", "0.015", "0.0000000001", "0.3333333333", "1", "99.99")))


def draw_tiers(draw: Random) -> tuple[Tier, ...]:
    ends: list[Decimal | None] = [*sorted(draw.sample(UNITS[1:], draw.randint(1, 3)))]
    if draw.random() < 0.5:
        ends.append(None)
    return tuple(Tier(up_to=end, amount=draw.choice(AMOUNTS), flat=draw.choice(AMOUNTS)) for end in ends)


def draw_price(draw: Random, meter: str) -> UnitPrice | TieredPrice:
    common: dict[str, Any] = {
        "id": meter,
        "meter": meter,
        "included": draw.choice((Decimal(0), *UNITS)),
        "cap": draw.choice((None, None, Decimal(0), Decimal("0.01"), Decimal("2.50"), Decimal(50))),
    }
    match draw.choice(("unit", "graduated", "volume")):
        case "unit":
            return UnitPrice(kind="unit", amount=draw.choice(AMOUNTS), **common)
        case "graduated":
            return TieredPrice(kind="graduated", tiers=draw_tiers(draw), **common)
        case _:
            return TieredPrice(kind="volume", tiers=draw_tiers(draw), **common)


def draw_product(draw: Random) -> Product:
    fees = [
        FixedPrice(id=f"fee {billed}", kind="fixed", amount=draw.choice((Decimal(0), Decimal("9.99"))), billed=billed)
        for billed in ("in_advance", "in_arrears")
        if draw.random() < 0.5
    ]
    used = [draw_price(draw, meter) for meter in draw.sample(sorted(METERS), draw.randint(1, 2))]
    benefits = tuple(
        MeterCredits(
            id=name,
            meter=draw.choice(("calls", "calls", "peak")),
            units=draw.choice(UNITS[1:]),
            rollover=draw.random() < 0.6,
            priority=draw.randint(0, 1),
        )
        for name in draw.sample(("gift", "plan", "trial"), draw.randint(0, 3))
    )
    return Product(prices=(*fees, *used), benefits=benefits)


def draw_books(draw: Random) -> dict[str, Product]:
    return {name: draw_product(draw) for name in PRODUCTS}


def draw_subscriptions(draw: Random) -> pl.DataFrame:
    rows = []
    for customer in CUSTOMERS:
        started_at = START + timedelta(hours=draw.randint(0, 24 * 25))
        lasts = draw.choice((None, timedelta(hours=draw.randint(1, 24 * DAYS))))
        row = {
            "subscription_id": f"sub/{customer}",
            "customer_id": customer,
            "product": draw.choice(PRODUCTS),
            "started_at": started_at,
            "ends_at": None if lasts is None else started_at + lasts,
            "end": draw.choice(("period_end", "at_once")),
            "interval": draw.choice(("week", "month", "month", "quarter")),
            "interval_count": draw.choice((1, 1, 2)),
            "anchor": START,
            "timezone": draw.choice(("UTC", "America/New_York")),
        }
        rows.append(row)
    return pl.DataFrame(rows, schema_of(Subscriptions), orient="row")


def draw_daily_states(draw: Random) -> pl.DataFrame:
    """Usage on some days, each in one slice at the day's start."""
    rows = []
    for meter, customer, day in product(METERS, CUSTOMERS, range(DAYS)):
        if draw.random() > 0.1:
            continue
        quantity = draw.choice(UNITS) * draw.choice((1, 1, 1, -1))
        at = START + timedelta(days=day)
        state = {"sum": quantity if meter == "calls" else None, "max": quantity if meter == "peak" else None}
        counts = {"events": 1, "skipped": 0, "attributed": True}
        rows.append({"meter": meter, "customer_id": customer, "date": at.date(), "slice_start": at, **counts, **state})
    return pl.DataFrame(rows, schema_of(UsageDaily), orient="row")


def run(
    subscribed: pl.DataFrame,
    sold: dict[str, Product],
    states: pl.DataFrame,
    before: dict[str, pl.DataFrame],
    as_of: datetime,
    grace_days: int,
    rounding: Rounding,
) -> dict[str, pl.DataFrame]:
    """All tables after a run that found `before`."""
    definitions = {"subscriptions": subscribed, "meters": meter_rows(METERS), **product_rows(sold, "USD")}
    numbering = Numbering("INV", before["invoices"].height, grace_days, 30)
    billed = Billed(before["invoices"].lazy(), before["usage"].lazy(), before["credit_ledger"].lazy())
    found: Bill = bill(
        Books(**{name: frame.lazy() for name, frame in definitions.items()}),
        states.lazy().filter(pl.col("date") < as_of.date()),
        billed,
        numbering,
        as_of,
        rounding,
    )
    final = {
        name: pl.concat([before[name], frame]) if name in before else frame for name, frame in found.finalized.items()
    }
    drafts = {f"draft_{name}": frame for name, frame in found.drafts.items()}
    drafts["draft_credit_entries"] = drafts.pop("draft_credit_ledger")
    now = {"usage": found.usage, "billing_periods": found.periods, "estimates": found.estimates}
    return {**definitions, **final, **drafts, **now}


NOTHING: Final = {
    "invoices": empty(Invoices).collect(),
    "usage": empty(Usage).collect(),
    "credit_ledger": empty(CreditLedger).collect(),
}


def kinds(tables: dict[str, pl.DataFrame]) -> Counter[str]:
    """How often a run did what is easily left out by chance."""
    lines, steps, entries = (
        pl.concat([tables[name], tables[f"draft_{draft}"]])
        for name, draft in (
            ("invoice_lines", "invoice_lines"),
            ("rated_lines", "rated_lines"),
            ("credit_ledger", "credit_entries"),
        )
    )
    amount = pl.col("amount_minor_unrounded")
    found = {
        "capped": lines.filter(amount < pl.col("uncapped_minor_unrounded")),
        "above the last tier": lines.filter(pl.col("unpriced") > 0),
        "included": lines.filter(pl.col("included") > 0),
        "negative": lines.filter(pl.col("quantity") < 0),
        "no quantity": lines.filter(pl.col("kind") == "usage", pl.col("quantity").is_null()),
        "half a minor unit": lines.filter(amount - amount.floor() == Decimal("0.5")),
        "several tiers": steps.filter(pl.col("step") > 1),
        "volume": steps.filter(pl.col("step") == 1, pl.col("over") > 0),
        "flat amount for nothing": steps.filter(pl.col("quantity") == 0),
        "several grants used": entries.filter(pl.col("kind") == "used", pl.col("rank") > 1),
        "carried units used": entries.filter(pl.col("kind") == "used", pl.col("origin") == "rollover"),
        "fraction forfeited": entries.filter(pl.col("kind") == "forfeited", pl.col("rollover")),
    }
    by_kind = {kind: rows for (kind,), rows in entries.partition_by("kind", as_dict=True).items()}
    return Counter({name: rows.height for name, rows in {**found, **by_kind}.items()})


def test_billed_alike() -> None:
    seen: Counter[str] = Counter()
    for seed in range(24):
        draw = Random(seed)
        subscribed, states = draw_subscriptions(draw), draw_daily_states(draw)
        rounding: Rounding = draw.choice(("half_away_from_zero", "half_even"))
        grace_days = draw.choice((0, 0, 5, 100))
        first = START + timedelta(days=draw.randint(20, 60))
        second = first + timedelta(days=draw.randint(0, 60))

        tables = run(subscribed, draw_books(draw), states, NOTHING, first, grace_days, rounding)
        # Prices and benefits change between the runs: what is final must still add up.
        again = run(subscribed, draw_books(draw), states, tables, second, grace_days, rounding)

        for found in (tables, again):
            findings = audit_frames(found, CHECKS, rounding)
            assert_passes(findings)
            seen.update({finding.check: finding.compared for finding in findings})
            seen.update(kinds(found))

    assert {kind: count for kind, count in seen.items() if count < 10} == {}
