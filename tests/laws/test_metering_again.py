"""Laws of metering what is stale and nothing else (rule 8.1): it gives what metering everything gives."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meterhouse.catalog import Meter
from meterhouse.catalog.rows import meter_rows
from meterhouse.invoicing import billing_periods
from meterhouse.metering import Measured, cuts_within_days, measure_days
from meterhouse.planning import meter
from meterhouse.planning.events import counting_events
from meterhouse.planning.untyped import with_properties_of
from meterhouse.planning.usage import stale_days
from meterhouse.tables import Customers, Events, Subscriptions, UntypedProperties, VoidedEvents, schema_of
from meterhouse.warehouse import Warehouse
from tests.small_project import without_waiting_for_the_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meterhouse.catalog import Project

pytestmark = pytest.mark.usefixtures("_quick")


@pytest.fixture(scope="module")
def _quick() -> Iterator[None]:
    with without_waiting_for_the_disk():
        yield


FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
DAYS: Final = 4
AS_OF: Final = FIRST + timedelta(days=DAYS)
IDS: Final = ("ada", "bob", "carl")

LARGE: Final = {"clauses": [{"property": "size", "operator": "gt", "value": 2}]}
MEANINGS: Final[dict[str, list[dict[str, Any]]]] = {
    "calls": [
        {"aggregation": {"func": "count"}} | more
        for more in (
            {},
            {"filter": LARGE},
            {"group_by": ["size"]},
            {"changes": [{"from": FIRST + timedelta(hours=30), "filter": LARGE}]},
            {"changes": [{"from": FIRST + timedelta(days=2), "filter": LARGE}]},
        )
    ],
    "size": [
        {"aggregation": {"func": function, "property": "size"}, "filter": rule}
        for function in ("sum", "last", "unique", "max", "weighted_sum")
        for rule in ({}, LARGE)
    ],
    "extra": [{"aggregation": {"func": function, "property": "extra"}} for function in ("sum", "min")],
}
"""What the meters may mean, one after the other. `extra` has no column: it is read from the metadata."""

maybe_id = st.sampled_from([None, *IDS])
sent = st.fixed_dictionaries(
    {
        "customer_id": maybe_id,
        "external_customer_id": maybe_id,
        "subscription_id": maybe_id,
        "hour": st.integers(0, 24 * DAYS - 1),
        "size": st.sampled_from([None, *map(Decimal, range(5))]),
        "extra": st.sampled_from([None, 1, 2]),
    }
)
changes = st.one_of(
    st.fixed_dictionaries({"events": st.lists(sent, min_size=1, max_size=8)}),
    st.fixed_dictionaries({"customers": st.dictionaries(st.sampled_from(IDS), st.sampled_from(IDS))}),
    st.fixed_dictionaries(
        {
            "subscriptions": st.dictionaries(
                st.sampled_from(IDS), st.tuples(st.sampled_from(IDS), st.sampled_from([0, 10, 34]))
            )
        }
    ),
    st.fixed_dictionaries(
        {
            "meters": st.fixed_dictionaries(
                {}, optional={name: st.sampled_from(meanings) for name, meanings in MEANINGS.items()}
            )
        }
    ),
    st.fixed_dictionaries({"voided": st.integers(0, 20)}),
)


class Books:
    """A warehouse whose tables change, and the meters of a project."""

    def __init__(self, folder: str) -> None:
        self.warehouse = Warehouse(folder)
        self.meters: dict[str, Meter] = {}
        untyped = pl.DataFrame([("number", "extra", FIRST)], schema_of(UntypedProperties), orient="row")
        self.warehouse.append("untyped_properties", untyped)

    def change(self, change: dict[str, Any], step: int) -> None:
        """Change one thing."""
        match change:
            case {"events": events}:
                self.warehouse.append("events", event_rows(events, step))
            case {"customers": customers}:
                # Two customers with one external id are refused before they are stored.
                external = {external: customer for customer, external in customers.items()}
                rows = [(customer, external, customer) for external, customer in external.items()]
                self.warehouse.replace("customers", pl.DataFrame(rows, schema_of(Customers), orient="row"))
            case {"subscriptions": subscriptions}:
                self.warehouse.replace("subscriptions", subscription_rows(subscriptions))
            case {"meters": meters}:
                self.meters = {name: Meter.model_validate(meaning) for name, meaning in meters.items()}
            case {"voided": place}:
                self.void(place)
            case _:
                raise AssertionError

    def void(self, place: int) -> None:
        """Take an event back, if there are so many."""
        events = self.warehouse.scan("events").select("source", "event_id", "date").sort("event_id").collect()
        done = self.warehouse.scan("voided_events").select("event_id").collect().to_series().to_list()
        row = events.filter(~pl.col("event_id").is_in(done)).slice(place, 1)
        if not row.is_empty():
            added = row.with_columns(file_id=pl.lit("v"), position=pl.lit(1, pl.Int64), landed_at=pl.lit(AS_OF))
            typed = added.select(pl.col(name).cast(dtype) for name, dtype in schema_of(VoidedEvents).items())
            self.warehouse.append("voided_events", typed)

    def meter(self) -> list[date]:
        """Meter what is stale."""
        project = SimpleNamespace(
            catalog=SimpleNamespace(meters=self.meters), definitions={"meters": meter_rows(self.meters)}
        )
        return meter(cast("Project", project), self.warehouse, AS_OF)

    def stored(self) -> Measured:
        """What metering has stored."""
        return Measured(*(self.warehouse.scan(table).collect() for table in Measured._fields))

    def measured(self) -> Measured:
        """What the stage measures of all events at once, which knows nothing of what was stored before."""
        people = (self.warehouse.scan("customers"), self.warehouse.scan("subscriptions"))
        events = counting_events(self.warehouse, pl.lit(value=True))
        held = with_properties_of(self.meters.values(), events, self.warehouse)
        return measure_days(held, self.meters, *people, cuts_within_days(billing_periods(people[1], AS_OF)))


def assert_same(found: Measured, expected: Measured) -> None:
    for rows, wanted in zip(found, expected, strict=True):
        key = pl.selectors.exclude(pl.selectors.list())
        assert_frame_equal(rows.sort(key), wanted.sort(key), check_column_order=False)


def event_rows(events: list[dict[str, Any]], step: int) -> pl.DataFrame:
    rows = [
        {name: value for name, value in event.items() if name != "extra"}
        | {
            "source": "user",
            "event_id": f"{step}-{place}",
            "name": "call",
            "timestamp": FIRST + timedelta(hours=event["hour"]),
            "received_at": AS_OF,
            "metadata": "{}" if event["extra"] is None else json.dumps({"extra": event["extra"]}),
            "file_id": "file",
            "position": place + 1,
            "date": (FIRST + timedelta(hours=event["hour"])).date(),
            "number_size": event["size"],
        }
        for place, event in enumerate(events)
    ]
    return pl.DataFrame(rows, {**schema_of(Events), "number_size": pl.Decimal(38, 12)}, orient="row")


def subscription_rows(subscriptions: dict[str, tuple[str, int]]) -> pl.DataFrame:
    """Subscriptions by the day, whose cycles begin at some hour."""
    rows = [
        {
            "subscription_id": name,
            "customer_id": customer,
            "product": "plan",
            "started_at": FIRST + timedelta(hours=hour),
            "ends_at": None,
            "end": "at_once",
            "interval": "day",
            "interval_count": 1,
            "anchor": FIRST + timedelta(hours=hour),
            "timezone": "UTC",
        }
        for name, (customer, hour) in subscriptions.items()
    ]
    return pl.DataFrame(rows, schema_of(Subscriptions), orient="row")


MEANT: Final = {"meters": {name: meanings[0] for name, meanings in MEANINGS.items()}}


@settings(max_examples=6, deadline=None)
@given(st.lists(sent, min_size=5, max_size=20), st.lists(changes, min_size=2, max_size=6))
def test_metering_what_is_stale_is_metering_all(events: list[dict[str, Any]], made: list[dict[str, Any]]) -> None:
    first: list[dict[str, Any]] = [{"events": events}, MEANT]
    with TemporaryDirectory() as folder:
        books = Books(folder)
        for step, change in enumerate(first + made):
            books.change(change, step)
            books.meter()
            if step > 0:
                assert_same(books.stored(), books.measured())
        assert books.meter() == []


def event(hour: int, **said: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("customer_id", "external_customer_id", "subscription_id", "size", "extra"))
    return nothing | {"hour": hour, "size": Decimal(3), "extra": 1} | said


BEFORE: Final[list[dict[str, Any]]] = [
    {
        "events": [
            *(event(hour, customer_id="ada") for hour in (5, 20, 40)),
            event(50, external_customer_id="bob", size=Decimal(1)),
            event(70, subscription_id="carl"),
            event(71, size=None),
        ]
    },
    {"customers": {"ada": "bob", "bob": "carl"}},
    {"subscriptions": {"ada": ("ada", 0), "carl": ("bob", 0)}},
    MEANT,
]
"""On four days: calls of a customer, of another by each of her ids, and of nobody."""


def meanings(**chosen: int) -> dict[str, Any]:
    return {"meters": {name: of[chosen.get(name, 0)] for name, of in MEANINGS.items() if chosen.get(name) != -1}}


EACH: Final[dict[str, tuple[dict[str, Any], list[int]]]] = {
    "an event": ({"events": [event(30, customer_id="ada")]}, [1]),
    "an event of a new day": ({"events": [event(24, customer_id="ada"), event(95, customer_id="ada")]}, [1, 3]),
    "a customer is gone": ({"customers": {"bob": "carl"}}, [0, 1, 2]),
    "a customer has another external id": ({"customers": {"ada": "ada", "bob": "bob"}}, [2]),
    "two customers swap their external ids": ({"customers": {"ada": "carl", "bob": "bob"}}, [2]),
    "a subscription is another's": ({"subscriptions": {"ada": ("ada", 0), "carl": ("ada", 0)}}, [2]),
    "a subscription is gone": ({"subscriptions": {"ada": ("ada", 0)}}, [2]),
    "cycles begin within the day": ({"subscriptions": {"ada": ("ada", 10), "carl": ("bob", 0)}}, [0, 1, 2]),
    "a meter is another": (meanings(calls=1), [0, 1, 2]),
    "a meter has groups": (meanings(calls=2), [0, 1, 2]),
    "a meter changes within a day": (meanings(calls=3), [1, 2]),
    "a meter changes at the end of a day": (meanings(calls=4), [2]),
    "a meter is gone": (meanings(size=-1), [0, 1, 2]),
    "a meter of a property without a column": (meanings(extra=1), [0, 1, 2]),
    "an event is taken back": ({"voided": 2}, [1]),
}
"""A change, and the days that are metered for it."""


@pytest.mark.parametrize("change", EACH)
def test_each_change_is_noticed_and_no_other_day_is_metered(tmp_path: Path, change: str) -> None:
    books = Books(str(tmp_path))
    for step, before in enumerate(BEFORE):
        books.change(before, step)
    books.meter()
    was = books.stored()
    what, days = EACH[change]
    books.change(what, len(BEFORE))
    assert books.meter() == [FIRST.date() + timedelta(days=day) for day in days]
    assert_same(books.stored(), books.measured())
    assert not books.stored().usage_daily.equals(was.usage_daily), "the change proves nothing"
    assert books.meter() == []


def drop_rows(books: Books) -> None:
    """Drop the data files of customers as they were, as a vacuum does."""
    was = books.warehouse.file_uris("customers")
    books.change({"customers": {"ada": "ada"}}, 0)
    for file in was:
        Path(file).unlink()


def clean_log(books: Books) -> None:
    """Keep a checkpoint of customers as they are, and no commit of before, as Delta does after 30 days."""
    books.change({"customers": {"ada": "ada"}}, 0)
    folder = books.warehouse.root / "customers"
    DeltaTable(str(folder)).create_checkpoint()
    for commit in sorted((folder / "_delta_log").glob("*.json"))[:-1]:
        commit.unlink()


def make_anew(books: Books) -> None:
    """Other customers, in a table with as many versions."""
    shutil.rmtree(books.warehouse.root / "customers")
    books.change({"customers": {"ada": "ada"}}, 0)


def make_anew_and_change(books: Books) -> None:
    """The version of before is there, but is another."""
    make_anew(books)
    books.change({"customers": {"ada": "bob", "bob": "carl"}}, 0)


@pytest.mark.parametrize("lose", [drop_rows, clean_log, make_anew, make_anew_and_change])
def test_all_days_are_metered_again_where_it_is_lost_whose_events_were(
    tmp_path: Path, lose: Callable[[Books], None]
) -> None:
    books = Books(str(tmp_path))
    for step, before in enumerate(BEFORE):
        books.change(before, step)
    all_days = books.meter()
    lose(books)
    assert stale_days(books.warehouse, AS_OF) == all_days
    assert books.meter() == all_days
    assert_same(books.stored(), books.measured())
    assert books.meter() == []
