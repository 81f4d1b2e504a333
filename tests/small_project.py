"""A small project with a bit of everything, for tests of whole runs.

Forty days of events of nine customers in nine files of four formats, with rejects, resends and conflicts; a price of
every kind; four currencies with 0, 2 and 3 digits; subscriptions in timezones on both sides of summer time. Nothing is
random: the same records come out on every machine.
"""

from __future__ import annotations

import gzip
import json
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest
import zstandard

from meterhouse.catalog import read_project
from meterhouse.planning import run
from meterhouse.tables import WAREHOUSE
from meterhouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from meterhouse.planning import RunReport

Event = dict[str, Any]

FIRST_DAY: Final = date(2026, 2, 20)
LAST_DAY: Final = date(2026, 3, 31)
LANDED_AT: Final = datetime(2026, 4, 1, 6, tzinfo=UTC)

_SETTINGS: Final = """\
name: Small project
currency: USD
grace_days: 0
due_days: 14
invoice_series: SMALL
"""

_METERS: Final = """\
meters:
  calls: { name: Calls, event: call, aggregation: { func: count } }
  tokens:
    name: Tokens of large models
    event: call
    filter: { clauses: [{ property: model, operator: like, value: large }] }
    aggregation: { func: sum, property: tokens }
  largest: { name: Largest call, event: call, aggregation: { func: max, property: tokens } }
  least: { name: Quickest call, event: call, aggregation: { func: min, property: seconds } }
  average: { name: Average call, event: call, aggregation: { func: avg, property: seconds } }
  models: { name: Models, event: call, aggregation: { func: unique, property: model } }
  seats: { name: Seats, event: seats, aggregation: { func: last, property: seats } }
"""

_PRODUCTS: Final = """\
products:
  pro:
    name: Pro
    prices:
      - { id: fee, kind: fixed, amount: 49, billed: in_advance }
      - { id: support, kind: fixed, amount: 5.50, billed: in_arrears }
      - id: tokens
        kind: graduated
        meter: tokens
        per: 1000
        included: 1000
        tiers:
          - { up_to: 10000, amount: 3, flat: 1 }
          - { up_to: 40000, amount: 2 }
          - { amount: 1.25, flat: 2.50 }
      - { id: calls, kind: unit, meter: calls, amount: 0.07, cap: 6 }
    benefits:
      - { id: monthly, meter: tokens, units: 15000.5, rollover: true, priority: 1 }
      - { id: promotion, meter: tokens, units: 2500, priority: 0 }
  yen:
    name: 定額
    prices:
      - { id: fee, kind: fixed, currency: JPY, amount: 980 }
      - id: calls
        kind: volume
        currency: JPY
        meter: calls
        tiers: [{ up_to: 40, amount: 12.5 }, { up_to: 80, amount: 11, flat: 30 }, { amount: 9.75 }]
  dinar:
    name: Dinar, weekly
    interval: week
    prices:
      - { id: fee, kind: fixed, currency: KWD, amount: 1.255, billed: in_arrears }
      - { id: tokens, kind: unit, currency: KWD, meter: tokens, amount: 0.000137 }
      - { id: largest, kind: unit, currency: KWD, meter: largest, per: 1000, amount: 0.333 }
  measured:
    name: "Measured, \\"not summed\\""
    prices:
      - { id: models, kind: unit, currency: EUR, meter: models, amount: 5, included: 1 }
      - { id: average, kind: unit, currency: EUR, meter: average, amount: 0.33 }
      - { id: least, kind: unit, currency: EUR, meter: least, amount: 1.01 }
      - { id: seats, kind: unit, currency: EUR, meter: seats, amount: 7.90 }
  free:
    name: Free
    prices:
      - { id: calls, kind: unit, meter: calls, amount: 0 }
"""

_CUSTOMERS: Final = """\
customer_id,external_id,name
ada,crm-1,"Ada, Countess"
bob,crm-2,Bob
cem,crm-3,"Cem ""Jim"" Öz"
dia,crm-4,Dia
eve,crm-5,Eve
fay,crm-6,Fay
gus,crm-7,Gus
hal,crm-8,Hal
ivy,crm-9,Ivy
"""

_SUBSCRIPTIONS: Final = """\
subscription_id,customer_id,product,started_at,ends_at,end,billing,timezone
s-ada,ada,pro,2026-01-01,,,calendar,UTC
s-bob,bob,yen,2026-02-19,,,,Asia/Tokyo
s-cem,cem,dinar,2026-02-18,,,,Asia/Kuwait
s-dia,dia,measured,2026-02-10,,,calendar,Europe/Berlin
s-eve,eve,free,2026-01-31T18:45:00,,,,America/New_York
s-fay,fay,pro,2026-02-05,2026-03-12T15:30:00Z,at_once,,America/Los_Angeles
s-gus,gus,pro,2026-02-08,2026-03-20,period_end,,Pacific/Auckland
s-hal,hal,pro,2026-02-01,2026-03-10T12:00:00Z,at_once,,
s-hal/2,hal,yen,2026-03-10T12:00:00Z,,,,
s-ivy,ivy,gold,2026-02-01,,,,
"""
"""The last row is refused: there is no product `gold`."""

_CUSTOMERS_OF_EVENTS: Final = ("ada", "bob", "cem", "dia", "eve", "fay", "gus", "hal", "ivy")
_DAYS_A_FILE: Final = 5


def make_project(root: Path, *, conflicts: bool = True, **settings: object) -> Path:
    """Write the project into a folder. Without `conflicts` the order in which files land makes no difference."""
    (root / "catalog").mkdir(parents=True)
    (root / "events").mkdir()
    chosen = "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())
    kept = "".join(f"{line}\n" for line in _SETTINGS.splitlines() if line.partition(":")[0] not in settings)
    write(root / "meterhouse.yaml", kept + chosen)
    write(root / "catalog" / "meters.yaml", _METERS)
    write(root / "catalog" / "products.yaml", _PRODUCTS)
    write(root / "customers.csv", _CUSTOMERS)
    write(root / "subscriptions.csv", _SUBSCRIPTIONS)
    write_events(root / "events", events())
    write(root / "events" / "resends.jsonl", "".join(_resends(conflicts=conflicts)))
    return root


@contextmanager
def without_waiting_for_the_disk() -> Iterator[None]:
    """Nobody pulls the plug in tests of this process, and waiting takes a third of a small run."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("meterhouse.warehouse.commit._sync", lambda _path, _flags: None)
        yield


def events() -> list[Event]:
    """All events, in the order of their days."""
    days = (LAST_DAY - FIRST_DAY).days + 1
    return [
        event
        for day in range(days)
        for place, customer in enumerate(_CUSTOMERS_OF_EVENTS)
        for event in _events_of_day(day, place, customer)
    ]


def call(event_id: str, customer: str, at: str, tokens: object = 1000, **properties: object) -> Event:
    """An event that the meters of calls count."""
    metadata = {"model": "large-1", "tokens": tokens, "seconds": 1.5, **properties}
    return {"event_id": event_id, "name": "call", "customer_id": customer, "timestamp": at, "metadata": metadata}


def write_events(folder: Path, these: list[Event], days_a_file: int = _DAYS_A_FILE) -> None:
    """Write events as files of some days each, in turn as JSON lines, gzip, Parquet and Zstandard."""
    files: dict[int, list[Event]] = {}
    for event in these:
        day = date.fromisoformat(event["timestamp"][:10])
        files.setdefault((day - FIRST_DAY).days // days_a_file, []).append(event)
    for number, part in files.items():
        write_file(folder, f"{number:02}", part, number % 4)


def write_file(folder: Path, name: str, part: list[Event], kind: int = 0) -> None:
    """Write one file of events: 0 JSON lines, 1 gzip, 2 Parquet, 3 Zstandard."""
    text = "".join(map(_line, part)).encode()
    match kind:
        case 0:
            (folder / f"{name}.jsonl").write_bytes(text)
        case 1:
            (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(text, mtime=0))
        case 2:
            (folder / f"{name}.parquet").write_bytes(_parquet(part))
        case _:
            (folder / f"{name}.jsonl.zst").write_bytes(zstandard.compress(text))


def write(path: Path, text: str) -> None:
    """Write text with the same line ends on every system."""
    path.write_bytes(text.encode())


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that stands once in a file."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"'{old}' stands {text.count(old)} times in {path.name}"
    write(path, text.replace(old, new))


def run_through(root: Path, through: date = LAST_DAY) -> RunReport:
    """Run the project through a day."""
    return run(read_project(root), through, LANDED_AT)


def warehouse_of(root: Path) -> Warehouse:
    """The project's warehouse."""
    return Warehouse(str(root / "warehouse"))


def rows(root: Path, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """Rows of a table on some columns, sorted."""
    return warehouse_of(root).scan(table).select(*columns).sort(*columns).collect().rows()


def contents(root: Path, tables: Iterable[str] = tuple(WAREHOUSE)) -> dict[str, pl.DataFrame]:
    """Sorted rows of tables by name. Fingerprints stem from random names of data files: only their parts count."""
    warehouse = warehouse_of(root)
    frames = {name: warehouse.scan(name).sort(WAREHOUSE[name].table.primary_key()).collect() for name in tables}
    if "fingerprints" in frames:
        frames["fingerprints"] = frames["fingerprints"].drop("inputs")
    return frames


def _events_of_day(day: int, place: int, customer: str) -> Iterable[Event]:
    """One to four calls of a customer, at times that wander through the day and touch both its ends."""
    start = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC) + timedelta(days=day)
    for number in range(1 + (day * 7 + place * 3) % 4):
        seed = day * 131 + place * 17 + number * 29
        second = (0, 86_399)[number] if number < 2 and (day + place) % 5 == 0 else seed * 7919 % 86_400
        at = start + timedelta(seconds=second, microseconds=seed % 3)
        yield call(
            f"{customer}-{day:02}-{number}",
            customer if seed % 2 else f"crm-{place + 1}",
            at.isoformat().replace("+00:00", "Z"),
            _tokens(seed),
            model=("large-1", "large-2", "small")[seed % 3],
            seconds=seed % 40 / 8,
        )
    if day % 6 == place % 6:
        at = start + timedelta(hours=9, minutes=place)
        yield {
            "event_id": f"{customer}-seats-{day:02}",
            "name": "seats",
            "customer_id": customer,
            "timestamp": at.isoformat(),
            "metadata": {"seats": 1 + (day + place) % 9},
        }


def _tokens(seed: int) -> object:
    """Whole and broken numbers; now and then a text, or nothing, which a sum skips."""
    if seed % 41 == 0:
        return "many"
    if seed % 43 == 0:
        return None
    return seed * 37 % 4000 if seed % 4 else seed * 37 % 4000 + 0.125


def _resends(*, conflicts: bool) -> Iterable[str]:
    """Records that make no new event: resends with the same and with other content, and what cannot be used."""
    sent = {event["event_id"]: event for event in events()}
    yield _line(sent["ada-03-0"])
    yield _line(sent["bob-17-0"])
    yield _line(sent["bob-17-0"])
    if conflicts:
        yield _line(sent["ada-04-0"] | {"metadata": {"model": "large-1", "tokens": 999_999}})
        yield _line(sent["cem-20-0"] | {"name": "other"})
    yield '{"event_id": "cut off", "name": "ca\n'
    yield '{"event_id": "nameless", "customer_id": "ada", "timestamp": "2026-03-01T00:00:00Z", "metadata": {}}\n'
    yield _line(call("timeless", "ada", "yesterday"))
    yield _line(call("huge", "ada", "2026-03-01T00:00:00Z", tokens=10**15))


def _line(event: Event) -> str:
    sent = dict(event)
    if str(sent["customer_id"]).startswith("crm-"):
        sent["external_customer_id"] = sent.pop("customer_id")
    return json.dumps(sent, ensure_ascii=False) + "\n"


def _parquet(part: list[Event]) -> bytes:
    """Times as instants, metadata as JSON text; customers by either of their ids."""
    external = [event["customer_id"].startswith("crm-") for event in part]
    frame = pl.DataFrame(
        {
            "event_id": [event["event_id"] for event in part],
            "name": [event["name"] for event in part],
            "customer_id": [None if out else event["customer_id"] for out, event in zip(external, part, strict=True)],
            "external_customer_id": [
                event["customer_id"] if out else None for out, event in zip(external, part, strict=True)
            ],
            "timestamp": [datetime.fromisoformat(event["timestamp"]) for event in part],
            "metadata": [json.dumps(event["metadata"], ensure_ascii=False) for event in part],
        }
    )
    content = BytesIO()
    frame.write_parquet(content)
    return content.getvalue()
