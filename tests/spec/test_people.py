"""Customers and subscriptions: read from files, and refused one by one with file, row and reason (rule 3)."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest

from meterhouse.catalog import read_people, read_project
from meterhouse.errors import ProjectError
from tests.projects import write_project
from tests.tables import assert_rows

if TYPE_CHECKING:
    from pathlib import Path

CATALOG: Final = """
meters:
  calls: {aggregation: {func: count}}
  seats: {aggregation: {func: max, property: seats}}
products:
  pro: {interval: year, interval_count: 2, prices: [{id: call, kind: unit, meter: calls, amount: 1}]}
  seats: {prices: [{id: seat, kind: unit, meter: seats, amount: 1}]}
  flat: {prices: [{id: fee, kind: fixed, amount: 1}]}
  gift: {prices: [{id: fee, kind: fixed, amount: 1}], benefits: [{id: gift, meter: calls, units: 10}]}
"""
ADA: Final = "customer_id\nada\n"
ONE: Final = "subscription_id,customer_id,product,started_at\n"


def people(
    root: Path, customers: str = ADA, subscriptions: str = ONE, settings: str = "name: Test", ending: str = "csv"
) -> dict[str, pl.LazyFrame]:
    """What becomes of two files, by table."""
    files = {f"customers__{ending}": customers, f"subscriptions__{ending}": subscriptions}
    read = read_people(read_project(write_project(root, CATALOG, settings, **files)))
    return {name: frame.lazy() for name, frame in read.items()}


def subscribed(root: Path, subscriptions: str, settings: str = "name: Test") -> pl.LazyFrame:
    """The subscriptions of `ada`, all of which must be good."""
    read = people(root, subscriptions=dedent(subscriptions), settings=settings)
    assert read["rejected_rows"].collect().rows() == []
    return read["subscriptions"]


def refusals(root: Path, subscriptions: str) -> list[tuple[str, int, str]]:
    """What is said of subscriptions: file, row, reason."""
    rejected = people(root, subscriptions=dedent(subscriptions))["rejected_rows"]
    return rejected.select("path", "row", "explanation").collect().rows()


# --- Files ------------------------------------------------------------------------------------------------------------


CUSTOMERS: Final = """
customer_id | external_id | name
ada         | a-1         | Ada Lovelace
bob         | bob         | bob
7           | 7           | 7
"""
SUBSCRIPTIONS: Final = """
subscription_id | customer_id | product | started_at | ends_at          | end        | interval | interval_count
s1              | ada         | pro     | 2025-01-01 | -                | period_end | year     | 2
s2              | bob         | seats   | 2025-01-31 | 2025-03-01T12:00 | at_once    | week     | 1
"""


def test_people_are_read_from_csv(tmp_path: Path) -> None:
    read = people(
        tmp_path,
        "customer_id,external_id,name,country\nada,a-1,Ada Lovelace,GB\nbob,,,\n7\n",
        "subscription_id,customer_id,product,started_at,ends_at,end,interval\n"
        "s1,ada,pro,2025-01-01\n"
        "s2,bob,seats,2025-01-31,2025-03-01T12:00,at_once,week\n",
    )
    assert_rows(read["customers"], CUSTOMERS)
    assert_rows(read["subscriptions"], SUBSCRIPTIONS)


def test_people_are_read_from_jsonl(tmp_path: Path) -> None:
    ada = {"subscription_id": "s1", "customer_id": "ada", "product": "pro", "started_at": "2025-01-01", "ends_at": None}
    bob = {"subscription_id": "s2", "customer_id": "bob", "product": "seats", "started_at": "2025-01-31T00:00Z"}
    ended = bob | {"ends_at": "2025-03-01T13:00+01:00", "end": "at_once", "interval": "week", "interval_count": 1}
    read = people(
        tmp_path,
        """\
        {"customer_id": "ada", "external_id": "a-1", "name": "Ada Lovelace", "country": "GB"}
        {"customer_id": "bob", "external_id": null}

        {"customer_id": 7, "name": ""}
        """,
        f"{json.dumps(ada)}\n{json.dumps(ended)}",
        ending="jsonl",
    )
    assert_rows(read["customers"], CUSTOMERS)
    assert_rows(read["subscriptions"], SUBSCRIPTIONS)


def test_people_are_read_from_parquet(tmp_path: Path) -> None:
    write_project(tmp_path, CATALOG)
    customers = {
        "customer_id": ["ada", "bob", "7"],
        "external_id": ["a-1", None, None],
        "name": ["Ada Lovelace", "", None],
    }
    subscriptions = {
        "subscription_id": ["s1", "s2"],
        "customer_id": ["ada", "bob"],
        "product": ["pro", "seats"],
        "started_at": [date(2025, 1, 1), date(2025, 1, 31)],
        "ends_at": [None, datetime(2025, 3, 1, 12, tzinfo=UTC)],
        "end": [None, "at_once"],
        "interval": [None, "week"],
    }
    pl.DataFrame(customers).write_parquet(tmp_path / "customers.parquet")
    pl.DataFrame(subscriptions).write_parquet(tmp_path / "subscriptions.parquet")
    read = {name: frame.lazy() for name, frame in read_people(read_project(tmp_path)).items()}
    assert_rows(read["customers"], CUSTOMERS)
    assert_rows(read["subscriptions"], SUBSCRIPTIONS)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "expected one of customers.csv, customers.jsonl or customers.parquet; found none. Keep one."),
        (
            ["customers.csv", "customers.jsonl"],
            (
                "expected one of customers.csv, customers.jsonl or customers.parquet; "
                "found customers.csv and customers.jsonl. Keep one."
            ),
        ),
    ],
)
def test_customers_stand_in_one_file(tmp_path: Path, files: list[str], said: str) -> None:
    write_project(tmp_path, CATALOG, **dict.fromkeys(files, ADA))
    with pytest.raises(ProjectError) as refused:
        read_people(read_project(tmp_path))
    assert str(refused.value) == f"{tmp_path}: {said}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("customers.csv", b'customer_id,name\nada,"Ada\n'),
        ("customers.csv", b"customer_id\n\xff\n"),
        ("customers.jsonl", b"\xff\n"),
        ("customers.parquet", b"PAR0"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_stops_the_reading(tmp_path: Path, name: str, content: bytes) -> None:
    write_project(tmp_path, CATALOG)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ProjectError, match=f"^{name}: cannot be read as {name.rpartition('.')[2]}: "):
        read_people(read_project(tmp_path))


@pytest.mark.parametrize(
    ("content", "found"),
    [("", "found nothing"), ("customer_id,name,name\nada,Ada,Bob\n", "found name more than once")],
)
def test_the_first_line_of_csv_names_each_column_once(tmp_path: Path, content: str, found: str) -> None:
    with pytest.raises(ProjectError) as refused:
        people(tmp_path, content)
    assert str(refused.value) == (
        f"customers.csv: expected a first line that names each column once; {found}. Mend the first line."
    )


# --- Customers --------------------------------------------------------------------------------------------------------


def test_a_customer_that_cannot_be_used_is_kept_with_the_reason_and_the_others_go_on(tmp_path: Path) -> None:
    read = people(
        tmp_path,
        dedent("""\
            customer_id,external_id,name
            ada,a-1,Ada
            ,x,Nobody
            ada,a-2,Ada again
            bob,a-1,Bob
            cy,d-1,Cy
            dan,cy,Dan, Inc.
            eve,,Eve
            """),
    )
    assert_rows(
        read["customers"],
        """
        customer_id | external_id
        ada         | a-1
        cy          | d-1
        eve         | eve
        """,
    )
    assert_rows(
        read["rejected_rows"],
        """
        path          | row | explanation
        customers.csv | 2   | customer_id: is missing
        customers.csv | 3   | customer_id 'ada' stands in an earlier row; ids must be unique
        customers.csv | 4   | external_id 'a-1' belongs to customer 'ada' already; give it another
        customers.csv | 6   | has more values than the file has columns; put quotes around a value that has a comma
        """,
    )


def test_a_refused_row_is_kept_as_it_was(tmp_path: Path) -> None:
    rejected = people(tmp_path, "customer_id,name\n,Zoë\n")["rejected_rows"].collect()
    assert json.loads(rejected["record"][0]) == {"customer_id": "", "name": "Zoë"}


def test_an_id_of_another_customer_is_not_free_as_an_external_id(tmp_path: Path) -> None:
    rejected = people(tmp_path, "customer_id,external_id\nada,\nbob,ada\n")["rejected_rows"]
    assert_rows(
        rejected,
        """
        row | explanation
        2   | external_id 'ada' belongs to customer 'ada' already; give it another
        """,
    )


def test_lines_that_are_not_json_objects_are_refused(tmp_path: Path) -> None:
    lines = ['{"customer_id": "ada"}', "ada", '["ada"]', '{"customer_id": "\\ud800"}', '{"customer_id": ["ada"]}']
    read = people(tmp_path, "\n".join(lines), "", ending="jsonl")
    assert_rows(
        read["rejected_rows"],
        """
        path            | row | explanation
        customers.jsonl | 2   | expected a JSON object, on a line of its own
        customers.jsonl | 3   | expected a JSON object, on a line of its own
        customers.jsonl | 4   | customer_id: expected a text of whole characters; found '\\ud800'
        customers.jsonl | 5   | customer_id: expected a text; found ['ada']
        """,
    )


# --- Defaults of subscriptions ----------------------------------------------------------------------------------------


def test_a_subscription_takes_its_interval_from_the_product_and_its_timezone_from_the_project(tmp_path: Path) -> None:
    rows = subscribed(
        tmp_path,
        """\
        subscription_id,customer_id,product,started_at,interval,interval_count,timezone
        s1,ada,pro,2025-01-01,,,
        s2,ada,seats,2025-01-01,week,3,Asia/Tokyo
        """,
        "{name: Test, timezone: Europe/Berlin}",
    )
    assert_rows(
        rows,
        """
        subscription_id | interval | interval_count | timezone
        s1              | year     | 2              | Europe/Berlin
        s2              | week     | 3              | Asia/Tokyo
        """,
    )


def test_a_date_is_midnight_and_a_time_without_offset_is_local(tmp_path: Path) -> None:
    rows = subscribed(
        tmp_path,
        """\
        subscription_id,customer_id,product,timezone,started_at,ends_at
        date,ada,flat,America/New_York,2025-07-01,
        compact,ada,flat,America/New_York,20250701,
        local,ada,flat,America/New_York,2025-07-01T12:00,
        offset,ada,flat,America/New_York,2025-07-01T12:00+02:00,
        utc,ada,flat,America/New_York,2025-07-01 12:00:00Z,
        twice,ada,flat,Europe/Berlin,2025-10-26T02:30,2025-10-26T02:31
        skipped,ada,flat,Europe/Berlin,2025-03-30T02:30,
        """,
    )
    assert_rows(
        rows,
        """
        subscription_id | started_at       | ends_at
        date            | 2025-07-01T04:00 | -
        compact         | 2025-07-01T04:00 | -
        local           | 2025-07-01T16:00 | -
        offset          | 2025-07-01T10:00 | -
        utc             | 2025-07-01T12:00 | -
        twice           | 2025-10-26T00:30 | 2025-10-26T00:31
        skipped         | 2025-03-30T01:30 | -
        """,
    )


def test_a_subscription_may_bill_by_whole_local_days(tmp_path: Path) -> None:
    rows = subscribed(
        tmp_path,
        """\
        subscription_id,customer_id,product,started_at,boundary,timezone
        by-time,ada,flat,2025-01-15T15:30,time,America/New_York
        by-day,ada,flat,2025-01-15T15:30,midnight,America/New_York
        """,
    )
    assert_rows(
        rows,
        """
        subscription_id | started_at       | anchor
        by-time         | 2025-01-15T20:30 | 2025-01-15T20:30
        by-day          | 2025-01-15T20:30 | 2025-01-15T05:00
        """,
    )


def test_boundaries_are_counted_from_the_start_from_an_anchor_or_with_the_calendar(tmp_path: Path) -> None:
    rows = subscribed(
        tmp_path,
        """\
        subscription_id,customer_id,product,started_at,anchor,billing,timezone
        start,ada,flat,2025-01-15,,,
        anchor,ada,flat,2025-01-15,2025-01-31,anniversary,
        calendar,ada,flat,2025-01-15,,calendar,Asia/Tokyo
        """,
    )
    assert_rows(
        rows,
        """
        subscription_id | anchor
        start           | 2025-01-15
        anchor          | 2025-01-31
        calendar        | 2000-12-31T15:00
        """,
    )


# --- Refusals of subscriptions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"subscription_id": ""}, "subscription_id: is missing"),
        ({"customer_id": ""}, "customer_id: is missing"),
        ({"product": ""}, "product: is missing"),
        ({"started_at": ""}, "started_at: is missing"),
        ({"subscription_id": "good"}, "subscription_id 'good' stands in an earlier row; ids must be unique"),
        ({"customer_id": "bob"}, "customer 'bob' is not in the customers file; add it there"),
        (
            {"product": "basic"},
            "product 'basic' is not in the catalog; known products: flat, gift, pro, seats. Add it, or mend the name",
        ),
        ({"timezone": "Berlin"}, "timezone: 'Berlin' is not an IANA timezone such as Europe/Berlin"),
        ({"timezone": "Factory"}, "timezone: 'Factory' is not an IANA timezone such as Europe/Berlin"),
        ({"interval": "hour"}, "interval: expected 'day', 'week', 'month', 'quarter' or 'year'; found 'hour'"),
        ({"interval_count": "0"}, "interval_count: expected at least 1; found '0'"),
        ({"interval_count": "1.5"}, "interval_count: expected a whole number; found '1.5'"),
        ({"interval_count": "1201"}, "interval_count: expected at most 1200; found '1201'"),
        ({"end": "now"}, "end: expected 'period_end' or 'at_once'; found 'now'"),
        ({"billing": "monthly"}, "billing: expected 'anniversary' or 'calendar'; found 'monthly'"),
        (
            {"billing": "calendar", "anchor": "2025-01-31"},
            "`anchor` has no meaning where billing is `calendar`; leave it empty",
        ),
        (
            {"started_at": "31.01.2025"},
            "started_at: expected a date or a time such as 2025-01-31 or 2025-01-31T12:00Z; found '31.01.2025'",
        ),
        (
            {"started_at": "1735689600"},
            "started_at: expected a date or a time such as 2025-01-31 or 2025-01-31T12:00Z; found '1735689600'",
        ),
        ({"ends_at": "9999-12-31"}, "ends_at: expected a year from 1900 to 2999; found 9999"),
        (
            {"ends_at": "2025-01-01"},
            "ends_at 2025-01-01 00:00:00 is not after started_at 2025-01-01 00:00:00; leave it empty for no end",
        ),
        (
            {"end": "now", "interval_count": "0"},
            "end: expected 'period_end' or 'at_once'; found 'now'; interval_count: expected at least 1; found '0'",
        ),
    ],
)
def test_a_subscription_that_cannot_be_meant_is_refused(tmp_path: Path, row: dict[str, str], said: str) -> None:
    good = {"subscription_id": "bad", "customer_id": "ada", "product": "flat", "started_at": "2025-01-01"}
    columns = [*good, *(name for name in row if name not in good)]
    bad = ",".join((good | row)[name] for name in columns)
    lines = [",".join(columns), "good,ada,flat,2025-01-01", bad, "other,ada,flat,2025-01-01"]
    read = people(tmp_path, subscriptions="\n".join(lines))
    assert read["subscriptions"].collect()["subscription_id"].to_list() == ["good", "other"]
    rejected = read["rejected_rows"].collect()
    assert rejected.select("path", "row").rows() == [("subscriptions.csv", 2)]
    assert rejected["explanation"][0] == said


def test_a_subscription_with_more_values_than_columns_is_refused(tmp_path: Path) -> None:
    assert refusals(tmp_path, f"{ONE}s1,ada,flat,2025-01-01,x\n") == [
        (
            "subscriptions.csv",
            1,
            "has more values than the file has columns; put quotes around a value that has a comma",
        )
    ]


@pytest.mark.parametrize(
    ("customers", "subscriptions", "said"),
    [
        (
            "customerid,name\nada,Ada\n",
            ONE,
            "customers.csv: column 'customer_id' is missing; did you mean it by 'custo",
        ),
        ("name\nAda\nBob\n", ONE, "customers.csv: column 'customer_id' is missing\n  found:    name\n  expected: cust"),
        (ADA, "subscription_id,customer_id,started_at\n", "subscriptions.csv: column 'product' is missing\n"),
        (
            ADA,
            ONE.replace("product", "prodct"),
            "column 'product' is missing; did you mean it by 'prodct'?; column 'prod",
        ),
        (
            ADA,
            f"{ONE.strip()},end_at\ns,ada,flat,2025-01-01,\n",
            "column 'end_at' is not known here; did you mean 'end",
        ),
    ],
)
def test_columns_that_no_row_can_be_used_with_are_one_fault_of_the_file(
    tmp_path: Path, customers: str, subscriptions: str, said: str
) -> None:
    with pytest.raises(ProjectError) as refused:
        people(tmp_path, customers, subscriptions)
    assert said in str(refused.value)


def test_a_key_that_no_record_has_is_one_fault_of_the_file(tmp_path: Path) -> None:
    rows = '{"customer": "ada"}\n{"customer": "bob"}\n'
    with pytest.raises(ProjectError, match="column 'customer_id' is missing; did you mean it by 'customer'"):
        people(tmp_path, rows, "", ending="jsonl")


def test_a_key_that_one_record_has_is_a_fault_of_that_record(tmp_path: Path) -> None:
    good = {"subscription_id": "s1", "customer_id": "ada", "product": "flat", "started_at": "2025-01-01"}
    bad = good | {"subscription_id": "s2", "timezon": "UTC"}
    read = people(tmp_path, '{"customer_id": "ada"}', f"{json.dumps(good)}\n{json.dumps(bad)}", ending="jsonl")
    assert read["rejected_rows"].collect().select("row", "explanation").rows() == [
        (2, "timezon: is not known here; did you mean 'timezone'?")
    ]


@pytest.mark.parametrize("value", [20250131, 1.5, True, ["2025-01-31"]])
def test_a_number_is_not_a_time(tmp_path: Path, value: Any) -> None:
    row = {"subscription_id": "s1", "customer_id": "ada", "product": "flat", "started_at": value}
    read = people(tmp_path, '{"customer_id": "ada"}', json.dumps(row), ending="jsonl")
    assert "started_at: expected a date or a time" in read["rejected_rows"].collect()["explanation"][0]


# --- One usage is billed by one subscription --------------------------------------------------------------------------


def overlapping(root: Path, *subscriptions: str, columns: str = "") -> list[tuple[int, str]]:
    """What is said of subscriptions of `ada`, from row 1; the first two columns and the customer are given."""
    header = f"subscription_id,customer_id,product,started_at,ends_at,end{columns}"
    rows = [f"s{number},ada,{row}" for number, row in enumerate(subscriptions, start=1)]
    return [(row, said) for _, row, said in refusals(root, "\n".join([header, *rows]))]


def test_of_two_subscriptions_that_would_bill_the_same_usage_the_later_row_is_refused(tmp_path: Path) -> None:
    """Also where it starts earlier: a row that is added pushes out none that may have been invoiced."""
    assert overlapping(tmp_path, "pro,2025-06-01,,", "pro,2025-01-01,,") == [
        (
            2,
            (
                "'s2' would bill usage that 's1' bills already: their products have a meter in common, "
                "and 's1' runs from 2025-06-01T00:00:00Z on. Let one start where the other ends"
            ),
        )
    ]


def test_a_subscription_may_end_where_one_of_an_earlier_row_starts(tmp_path: Path) -> None:
    assert overlapping(tmp_path, "pro,2025-06-01,,", "seats,2025-01-01,,", "pro,2025-05-01,2025-06-01,at_once") == []


def test_credits_of_a_meter_are_used_up_by_one_subscription_as_well(tmp_path: Path) -> None:
    assert [row for row, _ in overlapping(tmp_path, "pro,2025-01-01,,", "gift,2025-06-01,,")] == [2]


def test_subscriptions_without_a_meter_in_common_run_side_by_side(tmp_path: Path) -> None:
    assert (
        overlapping(tmp_path, "pro,2025-01-01,,", "seats,2025-01-01,,", "flat,2025-01-01,,", "flat,2025-01-01,,") == []
    )


def test_subscriptions_of_different_customers_run_side_by_side(tmp_path: Path) -> None:
    read = people(tmp_path, "customer_id\nada\nbob\n", f"{ONE}s1,ada,pro,2025-01-01\ns2,bob,pro,2025-01-01\n")
    assert read["rejected_rows"].collect().is_empty()


def test_a_subscription_starts_where_another_ends(tmp_path: Path) -> None:
    assert overlapping(tmp_path, "seats,2025-01-01,2025-01-20,at_once", "seats,2025-01-20,,") == []


def test_a_subscription_that_ends_with_its_period_goes_on_until_then(tmp_path: Path) -> None:
    assert overlapping(tmp_path, "seats,2025-01-15,2025-02-20,period_end", "seats,2025-03-14T23:59,,") == [
        (
            2,
            (
                "'s2' would bill usage that 's1' bills already: their products have a meter in common, "
                "and 's1' runs from 2025-01-15T00:00:00Z to 2025-03-15T00:00:00Z. Let one start where the other ends"
            ),
        )
    ]
    assert overlapping(tmp_path, "seats,2025-01-15,2025-02-20,period_end", "seats,2025-03-15,,") == []


def test_a_subscription_that_ends_on_a_boundary_ends_there(tmp_path: Path) -> None:
    assert overlapping(tmp_path, "seats,2025-01-15,2025-02-15,period_end", "seats,2025-02-15,,") == []


def test_a_period_ends_where_its_timezone_has_it(tmp_path: Path) -> None:
    ended = "seats,2025-01-01,2025-03-20,period_end,Europe/Berlin"
    follows = [
        (row, said.partition(", and ")[2])
        for row, said in overlapping(tmp_path, ended, "seats,2025-04-01,,,Asia/Tokyo", columns=",timezone")
    ]
    assert follows == [
        (2, "'s1' runs from 2024-12-31T23:00:00Z to 2025-03-31T22:00:00Z. Let one start where the other ends")
    ]
    assert overlapping(tmp_path, ended, "seats,2025-04-01,,,Europe/Berlin", columns=",timezone") == []


def test_a_refused_subscription_does_not_stand_in_the_way_of_another(tmp_path: Path) -> None:
    assert [
        row
        for row, _ in overlapping(
            tmp_path, "seats,2025-01-01,2025-02-01,at_once", "seats,2025-01-10,,", "seats,2025-02-01,,"
        )
    ] == [2]
