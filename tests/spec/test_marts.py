"""What the marts say about a small warehouse: revenue, usage, credits, usage that no one pays, data quality."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from meterhouse.tables import WAREHOUSE
from meterhouse.warehouse import Warehouse, connect, marts
from tests.tables import Value, assert_rows, rows


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """Ada and Bob are customers; ids in the sender's books begin with `x-`."""
    opened = Warehouse(str(tmp_path))
    store(opened, "customers", "customer_id | external_id \n ada | x-ada \n bob | x-bob", name="-")
    store(
        opened,
        "meters",
        """
        meter  | aggregation
        calls  | count
        tokens | sum
        seats  | max
        stock  | min
        people | unique
        level  | last
        speed  | avg
        """,
        name="-",
        unit="u",
        unit_multiplier=Decimal(1),
        numeric_text=False,
        carry_over=False,
        filter_json="{}",
        definition="d",
    )
    return opened


def store(warehouse: Warehouse, table: str, text: str, /, **defaults: Value) -> None:
    warehouse.append(table, rows(WAREHOUSE[table].table, text, **defaults).collect())


def answer(warehouse: Warehouse, mart: str) -> pl.LazyFrame:
    with connect(warehouse) as connection:
        frame = pl.from_arrow(connection.view(mart).to_arrow_table())
    assert isinstance(frame, pl.DataFrame)
    return frame.lazy()


@pytest.mark.parametrize("mart", marts())
def test_a_mart_of_an_empty_warehouse_is_empty_exact_and_says_what_a_row_is(tmp_path: Path, mart: str) -> None:
    frame = answer(Warehouse(str(tmp_path)), mart).collect()
    assert frame.is_empty()
    assert not any(dtype.is_float() for dtype in frame.dtypes)
    assert marts()[mart].startswith("-- One row per ")


def invoice(warehouse: Warehouse, table: str, text: str) -> None:
    given: dict[str, Value] = {"subscription_id": "-", "product": "-", "cycle": 1, "revision": 0, "lines": 1}
    given |= {"issued_at": "2026-02-01", "total_minor": 0, "is_zero": False, "number": None}
    given |= {"customer_name": "-", "external_id": "-"}
    store(warehouse, table, text, **given)


def line(warehouse: Warehouse, table: str, text: str, **more: Value) -> None:
    given: dict[str, Value] = {"price_id": "-", "description": "-", "line_no": 1, "kind": "usage", "unpriced": "0"}
    given |= {"period_start": "2026-01-01", "period_end": "2026-02-01", "included": "0", "credited": "0"}
    given |= {"uncapped_minor_unrounded": "0", "amount_minor_unrounded": "0", "amount_minor": 0}
    given |= {"currency": "USD"}
    given |= more
    store(warehouse, table, text, **given)


def test_revenue_by_meter_and_month(warehouse: Warehouse) -> None:
    invoice(
        warehouse,
        "invoices",
        """
        invoice_id | customer_id | status    | number | currency | month
        i1         | ada         | finalized | INV-1  | USD      | 2026-02
        i2         | bob         | finalized | INV-2  | USD      | 2026-02
        i3         | bob         | finalized | INV-3  | JPY      | 2026-02
        """,
    )
    line(
        warehouse,
        "invoice_lines",
        """
        invoice_id | line_no | kind  | meter | quantity | billed | amount_minor        | currency
        i1         | 1       | fixed | -     | -        | 0      | 2900                | USD
        i1         | 2       | usage | calls | 10.5     | 10.5   | 105                 | USD
        i2         | 1       | usage | calls | 5        | 4      | 9007199254740993    | USD
        i3         | 1       | usage | calls | 1        | 1      | 7                   | JPY
        """,
    )
    invoice(
        warehouse,
        "draft_invoices",
        """
        invoice_id | customer_id | status | currency | month
        d1         | ada         | draft  | USD      | 2026-03
        """,
    )
    line(
        warehouse,
        "draft_invoice_lines",
        """
        invoice_id | meter | quantity | billed | amount_minor
        d1         | calls | 3        | 3      | 30
        """,
    )
    assert_rows(
        answer(warehouse, "revenue_by_meter_and_month"),
        """
        month   | status    | currency | meter | customers | invoices | billed | amount_minor     | amount
        2026-02 | finalized | USD      | -     | 1         | 1        | 0      | 2900             | 29
        2026-02 | finalized | USD      | calls | 2         | 2        | 14.5   | 9007199254741098 | 90071992547410.98
        2026-02 | finalized | JPY      | calls | 1         | 1        | 1      | 7                | 7
        2026-03 | draft     | USD      | calls | 1         | 1        | 3      | 30               | 0.3
        """,
    )


def test_top_customers(warehouse: Warehouse) -> None:
    invoices = """
        invoice_id | customer_id | status    | number | currency | month   | total_minor
        i1         | ada         | finalized | INV-1  | USD      | 2026-02 | 105
        i2         | bob         | finalized | INV-2  | USD      | 2026-02 | 2900
        i3         | ada         | finalized | INV-3  | USD      | 2026-03 | 20
        i4         | ada         | finalized | INV-4  | KWD      | 2026-02 | 1234
    """
    invoice(warehouse, "invoices", invoices)
    drafts = (
        "invoice_id | customer_id | status | currency | month | total_minor \n d1 | ada | draft | USD | 2026-04 | 30"
    )
    invoice(warehouse, "draft_invoices", drafts)
    assert_rows(
        answer(warehouse, "top_customers"),
        """
        place | customer_id | external_id | currency | invoices | amount_minor | amount | draft_amount
        1     | bob         | x-bob       | USD      | 1        | 2900         | 29     | 0
        2     | ada         | x-ada       | USD      | 2        | 125          | 1.25   | 0.3
        1     | ada         | x-ada       | KWD      | 1        | 1234         | 1.234  | 0
        """,
    )


def test_only_an_event_that_says_when_it_was_received_is_late(warehouse: Warehouse) -> None:
    counts: dict[str, Value] = {"records": 5, "events": 5, "rejected": 0, "duplicates": 0, "conflicts": 0, "voids": 0}
    file = "file_id | landed_at \n f | 2026-11-21T08:00"
    store(warehouse, "landed_files", file, path="-", bytes=1, rounded_numbers=0, **counts)
    store(
        warehouse,
        "events",
        """
        event_id | date       | timestamp        | received_at
        1        | 2026-01-01 | 2026-01-01T23:00 | 2026-01-01T23:59
        2        | 2026-01-01 | 2026-01-01T23:00 | 2026-01-02T00:00
        3        | 2026-01-01 | 2026-01-01T01:00 | 2026-01-09T12:00
        4        | 2026-01-01 | 2026-01-01T02:00 | 2026-11-21T08:00
        5        | 2026-01-02 | 2026-01-02T01:00 | 2026-11-21T08:00
        """,
        source="user",
        name="-",
        metadata="{}",
        file_id="f",
        position=1,
    )
    assert_rows(
        answer(warehouse, "late_events"),
        """
        date       | events | with_received_at | late | days_late_at_most
        2026-01-01 | 4      | 3                | 2    | 8
        2026-01-02 | 1      | 0                | 0    | 0
        """,
    )


def test_usage_over_time_has_a_row_per_meter_customer_and_day(warehouse: Warehouse) -> None:
    store(
        warehouse,
        "usage_daily",
        """
        customer_id | date       | slice_start      | attributed | events
        ada         | 2026-01-01 | 2026-01-01       | yes        | 2
        ada         | 2026-01-01 | 2026-01-01T12:00 | yes        | 3
        ada         | 2026-01-02 | 2026-01-02       | yes        | 1
        ada         | 2026-01-02 | 2026-01-02       | no         | 7
        zoe         | 2026-01-01 | 2026-01-01       | no         | 9
        """,
        group_json="{}",
        meter="calls",
        skipped=0,
    )
    assert_rows(
        answer(warehouse, "usage_over_time"),
        """
        meter | customer_id | external_id | date       | attributed | quantity | unit | events
        calls | ada         | x-ada       | 2026-01-01 | yes        | 5        | u    | 5
        calls | ada         | x-ada       | 2026-01-02 | yes        | 1        | u    | 1
        calls | ada         | -           | 2026-01-02 | no         | 7        | u    | 7
        calls | zoe         | -           | 2026-01-01 | no         | 9        | u    | 9
        """,
    )


def test_usage_over_time_aggregates_a_day_as_its_meter_does(warehouse: Warehouse) -> None:
    store(
        warehouse,
        "usage_daily",
        """
        meter  | slice_start      | events | sum | min | max | last | last_timestamp   | distinct_values
        tokens | 2026-01-01       | 2      | 1.5 | -   | -   | -    | -                | -
        tokens | 2026-01-01T12:00 | 2      | 0.1 | -   | -   | -    | -                | -
        seats  | 2026-01-01       | 1      | -   | -   | 7   | -    | -                | -
        seats  | 2026-01-01T12:00 | 1      | -   | -   | 4   | -    | -                | -
        stock  | 2026-01-01       | 1      | -   | 7   | -   | -    | -                | -
        stock  | 2026-01-01T12:00 | 1      | -   | 4   | -   | -    | -                | -
        level  | 2026-01-01       | 1      | -   | -   | -   | 7    | 2026-01-01T01:00 | -
        level  | 2026-01-01T12:00 | 1      | -   | -   | -   | 4    | 2026-01-01T13:00 | -
        people | 2026-01-01       | 2      | -   | -   | -   | -    | -                | eve, kim
        people | 2026-01-01T12:00 | 2      | -   | -   | -   | -    | -                | kim, lou
        speed  | 2026-01-01       | 2      | 3   | -   | -   | -    | -                | -
        """,
        customer_id="bob",
        date="2026-01-01",
        attributed=True,
        group_json="{}",
        skipped=0,
    )
    assert_rows(
        answer(warehouse, "usage_over_time"),
        """
        meter  | quantity | events | sum
        tokens | 1.6      | 4      | 1.6
        seats  | 7        | 2      | -
        stock  | 4        | 2      | -
        level  | 4        | 2      | -
        people | 3        | 4      | -
        speed  | -        | 2      | 3
        """,
    )


def test_credit_balances(warehouse: Warehouse) -> None:
    entry: dict[str, Value] = {"subscription_id": "-", "grant_id": "-", "meter": "calls", "cycle": 0, "rank": 0}
    entry |= {"origin": "benefit", "benefit_id": "-", "balance_before": "0", "balance_after": "0", "rollover": False}
    entry |= {"occurred_at": "2026-01-01", "period_start": "2026-01-01", "period_end": "2026-02-01"}
    store(
        warehouse,
        "credit_ledger",
        """
        entry_id | customer_id | kind        | units
        1        | ada         | granted     | 100
        2        | ada         | used        | -30.5
        3        | ada         | rolled_over | -60
        4        | ada         | forfeited   | -9.5
        5        | ada         | granted     | 60
        6        | bob         | granted     | 5
        """,
        **entry,
    )
    store(
        warehouse,
        "draft_credit_entries",
        """
        entry_id | customer_id | kind | units
        7        | ada         | used | -12
        """,
        **entry,
    )
    assert_rows(
        answer(warehouse, "credit_balances"),
        """
        customer_id | external_id | meter | granted | used | rolled_over | forfeited | balance | balance_with_drafts
        ada         | x-ada       | calls | 160     | 30.5 | 60          | 9.5       | 60      | 48
        bob         | x-bob       | calls | 5       | 0    | 0           | 0         | 5       | 5
        """,
    )


def test_unbilled_usage_has_a_reason(warehouse: Warehouse) -> None:
    store(
        warehouse,
        "subscriptions",
        "subscription_id | customer_id | product \n s1 | ada | pro",
        started_at="2026-01-01",
        end="at_once",
        interval="month",
        interval_count=1,
        anchor="2026-01-01",
        timezone="UTC",
    )
    price: dict[str, Value] = {"currency": "USD", "volume": False, "included": "0"}
    store(warehouse, "metered_prices", "product | price_id | meter \n pro | calls | calls", **price)
    store(
        warehouse,
        "billing_periods",
        "subscription_id | cycle | period_start | period_end \n s1 | 0 | 2026-01-01T06:00 | 2026-02-01T06:00",
        customer_id="ada",
        product="pro",
        is_last=False,
    )
    used = """
        meter  | customer_id | date       | slice_start      | attributed | events | sum
        calls  | ada         | 2026-01-01 | 2026-01-01       | yes        | 1      | -
        calls  | ada         | 2026-01-01 | 2026-01-01T06:00 | yes        | 2      | -
        tokens | ada         | 2026-01-02 | 2026-01-02       | yes        | 3      | 4.5
        tokens | ada         | 2026-01-04 | 2026-01-04       | yes        | 3      | 0.1
        seats  | ada         | 2026-01-02 | 2026-01-02       | yes        | 0      | -
        calls  | bob         | 2026-01-02 | 2026-01-02       | yes        | 4      | -
        seats  | zoe         | 2026-01-02 | 2026-01-02       | no         | 5      | -
    """
    store(warehouse, "usage_daily", used, skipped=0, group_json="{}")
    nobody = (
        rows(WAREHOUSE["usage_daily"].table, used, skipped=0, group_json="{}")
        .head(1)
        .with_columns(customer_id=pl.lit(""), attributed=False)
        .collect()
    )
    warehouse.append("usage_daily", nobody)
    invoice(
        warehouse,
        "draft_invoices",
        "invoice_id | customer_id | status | currency | month \n d1 | ada | draft | USD | 2026-02",
    )
    line(
        warehouse, "draft_invoice_lines", "invoice_id | meter | quantity | billed | unpriced \n d1 | calls | 9 | 2 | 7"
    )
    unbilled = answer(warehouse, "unbilled_usage")
    assert_rows(
        unbilled.filter(pl.col("customer_id") != ""),
        """
        reason                        | meter  | customer_id | invoice_id | first_day  | last_day   | events | quantity
        outside every billing period  | calls  | ada         | -          | 2026-01-01 | 2026-01-01 | 1      | 1
        no price for this meter       | tokens | ada         | -          | 2026-01-02 | 2026-01-04 | 6      | 4.6
        customer without subscription | calls  | bob         | -          | 2026-01-02 | 2026-01-02 | 4      | 4
        unknown customer              | seats  | zoe         | -          | 2026-01-02 | 2026-01-02 | 5      | -
        above the last tier           | calls  | ada         | d1         | 2026-01-01 | 2026-01-31 | -      | 7
        """,
    )
    assert_rows(unbilled.filter(customer_id=""), "reason | events \n no customer was sent | 1")


def test_usage_that_came_or_went_after_its_invoice_was_final_is_listed(warehouse: Warehouse) -> None:
    """`calls` has two prices, so two lines; what `seats` measures was changed since; `tokens` is as it was billed.

    Some events of `people` and all of `speed` were voided.
    """
    subscribed: dict[str, Value] = {"started_at": "2026-01-01", "end": "at_once", "interval": "month"}
    subscribed |= {"interval_count": 1, "anchor": "2026-01-01", "timezone": "UTC"}
    store(warehouse, "subscriptions", "subscription_id | customer_id | product \n s1 | ada | pro", **subscribed)
    store(
        warehouse,
        "usage",
        """
        meter  | cycle | period_start | period_end | definition | quantity | events
        calls  | 0     | 2026-01-01   | 2026-02-01 | d          | 5        | 5
        tokens | 0     | 2026-01-01   | 2026-02-01 | d          | 1.5      | 2
        seats  | 0     | 2026-01-01   | 2026-02-01 | other      | 3        | 1
        stock  | 0     | 2026-01-01   | 2026-02-01 | d          | 9        | 1
        level  | 0     | 2026-01-01   | 2026-02-01 | d          | 7        | 1
        calls  | 1     | 2026-02-01   | 2026-03-01 | d          | 1        | 1
        people | 0     | 2026-01-01   | 2026-02-01 | d          | 2        | 4
        speed  | 0     | 2026-01-01   | 2026-02-01 | d          | 2        | 1
        """,
        subscription_id="s1",
        customer_id="ada",
        skipped=0,
    )
    store(
        warehouse,
        "usage_daily",
        """
        meter  | customer_id | date       | slice_start | attributed | events | sum
        calls  | ada         | 2026-01-01 | 2026-01-01  | yes        | 5      | -
        calls  | ada         | 2026-01-31 | 2026-01-31  | yes        | 2      | -
        calls  | ada         | 2026-01-31 | 2026-01-31  | no         | 50     | -
        calls  | ada         | 2026-02-01 | 2026-02-01  | yes        | 3      | -
        tokens | ada         | 2026-01-03 | 2026-01-03  | yes        | 2      | 1.5
        seats  | ada         | 2026-01-03 | 2026-01-03  | yes        | 8      | -
        level  | ada         | 2026-01-03 | 2026-01-03  | yes        | 2      | -
        stock  | ada         | 2026-01-03 | 2026-01-03  | yes        | 4      | -
        people | ada         | 2026-01-03 | 2026-01-03  | yes        | 1      | -
        """,
        group_json="{}",
        skipped=0,
    )
    final = "invoice_id | subscription_id | customer_id | status | number | currency | month"
    invoice(warehouse, "invoices", f"{final} \n i1 | s1 | ada | finalized | INV-1 | USD | 2026-02")
    billed = """
        line_no | meter  | quantity | billed
        1       | calls  | 5        | 5
        2       | calls  | 5        | 5
        3       | tokens | 1.5      | 1.5
        4       | seats  | 3        | 3
        5       | level  | 7        | 7
        6       | people | 2        | 2
        7       | speed  | 2        | 2
    """
    line(warehouse, "invoice_lines", billed, invoice_id="i1")
    assert_rows(
        answer(warehouse, "unbilled_usage"),
        """
        reason                           | meter | external_id | number | first_day  | last_day   | events | quantity
        came after the invoice was final | calls | x-ada       | INV-1  | 2026-01-01 | 2026-01-31 | 2      | 2
        came after the invoice was final | level | x-ada       | INV-1  | 2026-01-01 | 2026-01-31 | 1      | -
        went after the invoice was final | people | x-ada      | INV-1  | 2026-01-01 | 2026-01-31 | -3     | -
        went after the invoice was final | speed | x-ada       | INV-1  | 2026-01-01 | 2026-01-31 | -1     | -
        no price for this meter          | stock | x-ada       | -      | 2026-01-03 | 2026-01-03 | 4      | -
        no price for this meter          | calls | x-ada       | -      | 2026-02-01 | 2026-02-01 | 3      | 3
        unknown customer                 | calls | -           | -      | 2026-01-31 | 2026-01-31 | 50     | 50
        """,
    )


def test_data_quality(warehouse: Warehouse) -> None:
    landing: dict[str, Value] = {"file_id": "f", "landed_at": "2026-02-01", "landed_on": "2026-02-01"}
    rejected = "position | reason \n 1 | no name \n 2 | no name \n 3 | no timestamp"
    store(warehouse, "rejected_events", rejected, path="-", explanation="-", record="-", **landing)
    store(warehouse, "event_duplicates", "position | source | event_id \n 4 | user | e1", **landing)
    conflict: dict[str, Value] = {"kept": "-", "refused": "-", "received_at": "2026-02-01", "source": "user"}
    conflicts = "position | event_id | reason \n 5 | e2 | metadata"
    store(warehouse, "event_conflicts", conflicts, **conflict, **landing)
    used = "date | slice_start | skipped \n 2026-01-01 | 2026-01-01 | 2 \n 2026-01-03 | 2026-01-03 | 3"
    store(warehouse, "usage_daily", used, meter="tokens", customer_id="ada", attributed=True, group_json="{}", events=0)
    void = "position | event_id \n 6 | e3 \n 7 | e4 \n 8 | e3"
    at: dict[str, Value] = {"timestamp": "2026-02-01", "received_at": "2026-02-01", "metadata": "{}"}
    store(warehouse, "voids", void, source="user", **at, **landing)
    voided = "event_id | file_id | position | date \n e3 | f | 6 | 2026-01-09"
    store(warehouse, "voided_events", voided, source="user", landed_at="2026-02-01")
    counts: dict[str, Value] = {"records": 9, "events": 9, "rejected": 0, "duplicates": 0, "conflicts": 0, "voids": 0}
    files = "file_id | rounded_numbers | landed_at \n f | 4 | 2026-02-01 \n g | 0 | 2026-02-02"
    store(warehouse, "landed_files", files, bytes=1, path="-", **counts)
    assert_rows(
        answer(warehouse, "data_quality"),
        """
        finding                      | reason              | records | first_day  | last_day
        record rejected              | no name             | 2       | 2026-02-01 | 2026-02-01
        record rejected              | no timestamp        | 1       | 2026-02-01 | 2026-02-01
        event voided                 | source user         | 1       | 2026-01-09 | 2026-01-09
        void without event           | source user         | 1       | 2026-02-01 | 2026-02-01
        resent with other content    | metadata            | 1       | 2026-02-01 | 2026-02-01
        resent with the same content | source user         | 1       | 2026-02-01 | 2026-02-01
        value skipped                | meter tokens        | 5       | 2026-01-01 | 2026-01-03
        number rounded               | more than 12 places | 4       | 2026-02-01 | 2026-02-01
        """,
    )
