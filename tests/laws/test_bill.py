"""What holds for every book, every usage and every order of runs (rules 6.2, 7.2 and 8.6)."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meterhouse.bill import Bill, Books
from meterhouse.catalog import FixedPrice, MeterCredits, Product, Tier, TieredPrice, UnitPrice
from meterhouse.catalog.rows import product_rows
from meterhouse.money import minor_digits
from meterhouse.tables import Customers, Meters, Subscriptions, UsageDaily, schema_of
from tests.billed import History

if TYPE_CHECKING:
    from meterhouse.money import Rounding

START: Final = datetime(2025, 1, 31, tzinfo=UTC)
DAYS: Final = 70
CUSTOMERS: Final = ("ada", "bob/1", "cy%2F")
CUSTOMER_ROWS: Final = pl.DataFrame(dict.fromkeys(schema_of(Customers), CUSTOMERS), schema_of(Customers))
PRODUCTS: Final = ("basic", "pro")
METERS: Final = pl.DataFrame(
    {"meter": ["calls", "seats"], "name": ["Calls", "Seats"], "unit": "unit", "aggregation": ["sum", "max"]}
    | {"property": "any", "filter_json": "", "definition": ["calls", "seats"]}
    | {
        "unit_multiplier": Decimal(1),
        "percent": None,
        "rounding": None,
        "rounding_to": None,
        "numeric_text": False,
        "carry_over": False,
    },
    schema_of(Meters),
)
UNITS: Final = st.integers(0, 60).map(Decimal) | st.decimals("0", "60", places=3)
AMOUNTS: Final = st.integers(0, 50).map(lambda tenths: Decimal(tenths) / 10)
ROUNDING_MODES: Final[dict[Rounding, str]] = {"half_away_from_zero": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN}


class Case(NamedTuple):
    """A book and the usage of some weeks."""

    books: Books
    usage: pl.LazyFrame


@st.composite
def metered_prices(draw: st.DrawFn, meter: str) -> UnitPrice | TieredPrice:
    """Any metered price, with amounts that are exact in whole units of every currency."""
    common: dict[str, Any] = {
        "id": f"by {meter}",
        "meter": meter,
        "included": draw(st.just(Decimal(0)) | UNITS),
        "cap": draw(st.none() | st.integers(0, 100).map(Decimal)),
    }
    kind = draw(st.sampled_from(["unit", "graduated", "volume"]))
    if kind == "unit":
        return UnitPrice(kind="unit", amount=draw(AMOUNTS), **common)
    ends = sorted(draw(st.sets(st.integers(1, 40), max_size=2)))
    last = [None] if not ends or draw(st.booleans()) else []
    tiers = tuple(Tier(up_to=end, amount=draw(AMOUNTS), flat=draw(AMOUNTS)) for end in [*ends, *last])
    return TieredPrice(kind=kind, tiers=tiers, **common)


@st.composite
def products(draw: st.DrawFn) -> Product:
    """Any prices and benefits, of which at least one is a price."""
    fees = [
        FixedPrice(kind="fixed", id=billed, amount=draw(st.integers(0, 30)), billed=billed)
        for billed in draw(st.sets(st.sampled_from(["in_advance", "in_arrears"])))
    ]
    priced = draw(st.sets(st.sampled_from(["calls", "seats"]), min_size=0 if fees else 1))
    benefits = [
        MeterCredits(id=benefit, meter="calls", units=draw(UNITS) + 1, rollover=draw(st.booleans()))
        for benefit in draw(st.sets(st.sampled_from(["a", "b"])))
    ]
    prices = [*fees, *(draw(metered_prices(meter)) for meter in sorted(priced))]
    return Product(prices=tuple(prices), benefits=tuple(benefits))


@st.composite
def subscriptions(draw: st.DrawFn) -> pl.DataFrame:
    """One of each customer, which may end."""
    rows = []
    for customer in CUSTOMERS:
        started_at = START + timedelta(hours=draw(st.integers(0, 24 * 20)))
        lasting = draw(st.none() | st.integers(1, 24 * DAYS))
        row = {
            "subscription_id": f"s {customer}",
            "customer_id": customer,
            "product": draw(st.sampled_from(PRODUCTS)),
            "started_at": started_at,
            "ends_at": None if lasting is None else started_at + timedelta(hours=lasting),
            "end": draw(st.sampled_from(["period_end", "at_once"])),
            "interval": draw(st.sampled_from(["week", "month"])),
            "interval_count": draw(st.integers(1, 2)),
            "anchor": START,
            "timezone": draw(st.sampled_from(["UTC", "America/New_York"])),
        }
        rows.append(row)
    return pl.DataFrame(rows, schema_of(Subscriptions), orient="row")


@st.composite
def daily_usage(draw: st.DrawFn) -> pl.DataFrame:
    """Usage on some days, in slices that no boundary cuts: boundaries are on the hour, slices on the half hour."""
    used = st.tuples(st.sampled_from(["calls", "seats"]), st.sampled_from(CUSTOMERS), st.integers(0, DAYS))
    rows = []
    for (meter, customer, day), quantity in draw(st.dictionaries(used, UNITS, max_size=20)).items():
        at = START + timedelta(days=day, minutes=30)
        state = {"sum": quantity} if meter == "calls" else {"max": quantity}
        row = {
            "meter": meter,
            "customer_id": customer,
            "date": at.date(),
            "slice_start": at,
            "attributed": True,
            "group_json": "{}",
        }
        rows.append({**row, "events": 1, "skipped": 0, **state})
    return pl.DataFrame(rows, schema_of(UsageDaily), orient="row")


def as_books(sold: dict[str, Product], subscribed: pl.DataFrame, currency: str) -> Books:
    tables = {"customers": CUSTOMER_ROWS, "subscriptions": subscribed, "meters": METERS}
    tables |= product_rows(sold, currency)
    return Books(**{name: frame.lazy() for name, frame in tables.items()})


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any book and any usage."""
    sold = {product: draw(products()) for product in PRODUCTS}
    return Case(as_books(sold, draw(subscriptions()), "USD"), draw(daily_usage()).lazy())


def clock(days: int) -> datetime:
    return START + timedelta(days=days)


CLOCKS: Final = st.integers(1, DAYS)
ROUNDINGS: Final = st.sampled_from(sorted(ROUNDING_MODES))


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort([name for name, dtype in frame.schema.items() if not dtype.is_nested()])


def assert_same_bill(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    """Fail unless the tables have the same rows; when an invoice became final is another matter."""
    assert found.keys() == expected.keys()
    for name, frame in expected.items():
        clocks = ["finalized_at", "due_at"] if name == "invoices" else []
        assert_frame_equal(in_order(found[name].drop(clocks)), in_order(frame.drop(clocks)))


def drafts_of(found: Bill) -> dict[str, pl.DataFrame]:
    return {**found.drafts, "usage": found.usage, "estimates": found.estimates, "periods": found.periods}


@settings(max_examples=25)
@given(cases(), CLOCKS, ROUNDINGS)
def test_steps_add_up_to_lines_and_lines_to_invoices(case: Case, days: int, rounding: Rounding) -> None:
    history = History(rounding=rounding)
    history.run(case.books, case.usage, clock(days))
    lines, steps = history.final["invoice_lines"], history.final["rated_lines"]
    for line in lines.iter_rows(named=True):
        exact = Decimal(line["amount_minor_unrounded"])
        assert line["amount_minor"] == exact.quantize(Decimal(1), ROUNDING_MODES[rounding])
        assert 0 <= exact <= line["uncapped_minor_unrounded"]
        if line["kind"] == "usage":
            own = steps.filter(pl.col("invoice_id") == line["invoice_id"], pl.col("line_no") == line["line_no"])
            assert sum(own["amount_minor_unrounded"], Decimal(0)) == line["uncapped_minor_unrounded"]
            assert sum(own["quantity"], Decimal(0)) + line["unpriced"] == line["billed"]
            assert line["included"] + line["credited"] + line["billed"] == (line["quantity"] or 0)
    for invoice in history.final["invoices"].iter_rows(named=True):
        own = lines.filter(pl.col("invoice_id") == invoice["invoice_id"])
        assert sum(own["amount_minor"]) == invoice["total_minor"]
        assert own["line_no"].sort().to_list() == list(range(1, invoice["lines"] + 1))
        assert invoice["is_zero"] == (invoice["total_minor"] == 0)
    assert history.final["invoices"]["sequence"].to_list() == list(range(1, history.final["invoices"].height + 1))


@settings(max_examples=15)
@given(cases(), CLOCKS, st.integers(0, 2**32), st.integers(0, 10))
def test_the_order_of_rows_changes_nothing(case: Case, days: int, seed: int, grace_days: int) -> None:
    def shuffled(frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.collect().sample(fraction=1, shuffle=True, seed=seed).lazy()

    books = Books(**{field.name: shuffled(getattr(case.books, field.name)) for field in fields(Books)})
    one, other = History(grace_days), History(grace_days)
    expected = one.run(case.books, case.usage, clock(days))
    found = other.run(books, shuffled(case.usage), clock(days))
    assert_same_bill(other.final, one.final)
    assert_same_bill(drafts_of(found), drafts_of(expected))


@settings(max_examples=25)
@given(cases(), st.sets(CLOCKS, min_size=2, max_size=5), st.sampled_from([0, 0, 10]))
def test_billing_in_one_go_and_cycle_by_cycle_gives_the_same(case: Case, days: set[int], grace_days: int) -> None:
    at_once, by_cycle = History(grace_days), History(grace_days)
    expected = at_once.run(case.books, case.usage, clock(max(days)))
    runs = [by_cycle.run(case.books, case.usage, clock(day)) for day in sorted(days)]
    assert_same_bill(by_cycle.final, at_once.final)
    assert_same_bill(drafts_of(runs[-1]), drafts_of(expected))


@settings(max_examples=15)
@given(st.fixed_dictionaries(dict.fromkeys(PRODUCTS, products())), subscriptions(), daily_usage(), CLOCKS)
def test_the_same_prices_cost_the_same_in_every_currency_up_to_its_digits(
    sold: dict[str, Product], subscribed: pl.DataFrame, usage: pl.DataFrame, days: int
) -> None:
    exact, line = {}, ["invoice_id", "line_no"]
    for currency in ("JPY", "USD", "KWD", "CLF"):
        history = History()
        history.run(as_books(sold, subscribed, currency), usage.lazy(), clock(days))
        lines = history.final["invoice_lines"].sort(line)
        assert set(lines["currency"]) <= {currency}
        shift = -minor_digits(currency)
        exact[currency] = [amount.scaleb(shift).normalize() for amount in lines["amount_minor_unrounded"]]
        for paid, asked in zip(lines["amount_minor"], exact[currency], strict=True):
            assert abs(Decimal(paid).scaleb(shift) - asked) * 2 <= Decimal(1).scaleb(shift)
    assert exact["JPY"] == exact["USD"] == exact["KWD"] == exact["CLF"]
