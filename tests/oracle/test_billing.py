"""Polars bills random books and usage, and DuckDB finds the same amounts and credits (rules 4.6, 5 and 6)."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.bill import Bill, Billed, Books, bill
from meterhouse.catalog import Aggregation, Meter, Product
from meterhouse.catalog.rows import meter_rows, product_rows
from meterhouse.invoicing import Numbering
from meterhouse.tables import (
    CreditLedger,
    Customers,
    InvoiceLines,
    Invoices,
    Subscriptions,
    Usage,
    UsageDaily,
    empty,
    schema_of,
)
from tests.oracle.books import PRODUCTS, UNITS, draw_books
from tests.oracle.engine import assert_passes, audit_frames

if TYPE_CHECKING:
    from meterhouse.money import Rounding

START: Final = datetime(2026, 1, 31, tzinfo=UTC)
DAYS: Final = 90
CUSTOMERS: Final = ("ada", "bob", "cyd", "dan", "eve", "fay")
CUSTOMER_ROWS: Final = pl.DataFrame(dict.fromkeys(schema_of(Customers), CUSTOMERS), schema_of(Customers))
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
        counts = {"events": 1, "skipped": 0, "attributed": True, "group_json": "{}"}
        rows.append({"meter": meter, "customer_id": customer, "date": at.date(), "slice_start": at, **counts, **state})
    return pl.DataFrame(rows, schema_of(UsageDaily), orient="row")


def run(
    subscribed: pl.DataFrame,
    measured: dict[str, Meter],
    sold: dict[str, Product],
    states: pl.DataFrame,
    before: dict[str, pl.DataFrame],
    as_of: datetime,
    grace_days: int,
    rounding: Rounding,
) -> dict[str, pl.DataFrame]:
    """All tables after a run that found `before`."""
    people = {"customers": CUSTOMER_ROWS, "subscriptions": subscribed}
    definitions = {**people, "meters": meter_rows(measured), **product_rows(sold, "USD")}
    numbering = Numbering("INV", before["invoices"].height, grace_days, 30)
    billed = Billed(*(before[name].lazy() for name in ("invoices", "invoice_lines", "usage", "credit_ledger")))
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
    "invoice_lines": empty(InvoiceLines).collect(),
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
    for seed in range(16):
        draw = Random(seed)
        subscribed, states = draw_subscriptions(draw), draw_daily_states(draw)
        rounding: Rounding = draw.choice(("half_away_from_zero", "half_even"))
        grace_days = draw.choice((0, 0, 5, 100))
        first = START + timedelta(days=draw.randint(20, 60))
        second = first + timedelta(days=draw.randint(0, 60))

        tables = run(subscribed, METERS, draw_books(draw, sorted(METERS)), states, NOTHING, first, grace_days, rounding)
        # Prices and benefits change between the runs, and meters go: what is final must still add up.
        kept = {name: meter for name, meter in METERS.items() if name == "calls" or draw.random() < 0.5}
        again = run(subscribed, kept, draw_books(draw, sorted(kept)), states, tables, second, grace_days, rounding)

        for found in (tables, again):
            findings = audit_frames(found, CHECKS, rounding)
            assert_passes(findings)
            seen.update({finding.check: finding.compared for finding in findings})
            seen.update(kinds(found))

    assert {kind: count for kind, count in seen.items() if count < 5} == {}
