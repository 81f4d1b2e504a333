"""The projects in `data/`: read whole, equal to their sources, and billed as their READMEs say."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest

from meterhouse.bill import Billed, Books, bill
from meterhouse.catalog import read_people, read_project
from meterhouse.invoicing import Numbering, billing_periods
from meterhouse.metering import combine, cuts_within_days, measure_daily, of_days
from meterhouse.planning import clock_after, run
from meterhouse.tables import CreditLedger, InvoiceLines, Invoices, Usage, empty
from meterhouse.warehouse import Warehouse
from tests.by_hand import bill_by_hand
from tests.landed import Count, land, read_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meterhouse.bill import Bill

ROOT: Final = Path(__file__).parents[2]
AI_USAGE: Final = ROOT / "data" / "ai-usage"
EV_CHARGING: Final = ROOT / "data" / "ev-charging"
GOLDEN: Final = ROOT / "tests" / "golden"
BOTH: Final = pytest.mark.parametrize("root", [AI_USAGE, EV_CHARGING], ids=lambda root: root.name)

LANDED_AT: Final = datetime(2026, 3, 1, tzinfo=UTC)
THROUGH: Final = date(2026, 2, 28)


@BOTH
def test_no_row_of_a_sample_is_refused(root: Path) -> None:
    people = read_people(read_project(root))
    totals = _totals(root)
    assert people["rejected_rows"].is_empty()
    assert people["customers"].height == totals["customers"]
    assert people["subscriptions"].height == totals["customers"]


@BOTH
def test_the_events_of_a_sample_are_those_of_its_source(root: Path) -> None:
    """Counted in plain Python from the files that are here, against totals that were counted from the source."""
    totals = _totals(root)
    events = list(_events(root))
    count = Count()
    for event in events:
        count.add(event["metadata"], [*totals["sum"], *totals["unique"]])

    assert len(events) == totals["events"]
    assert len({event.get("event_id", event.get("external_id")) for event in events}) == totals["event_ids"]
    assert len({event["external_customer_id"] for event in events}) == totals["customers"]
    assert {name: count.total(name) for name in totals["sum"]} == _decimals(totals["sum"])
    assert {name: count.greatest(name) for name in totals["max"]} == _decimals(totals["max"])
    assert {name: count.distinct(name) for name in totals["unique"]} == totals["unique"]
    assert {name: count.skipped(name) for name in totals["null_values"]} == totals["null_values"]


@BOTH
def test_each_file_holds_the_events_of_its_day(root: Path) -> None:
    for path in (root / "events").iterdir():
        days = {event["timestamp"][:10] for event in _events_of(path)}
        assert days == {path.name.partition(".")[0]}


# --- AI usage, run as `make demo` runs it -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ai_usage(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    root = tmp_path_factory.mktemp("samples") / "ai-usage"
    shutil.copytree(AI_USAGE, root, ignore=shutil.ignore_patterns("warehouse"))
    run(read_project(root), THROUGH, landed_at=LANDED_AT)
    return Warehouse(str(root / "warehouse"))


def test_every_event_lands(ai_usage: Warehouse) -> None:
    landed = ai_usage.scan("landed_files").collect().sum().row(0, named=True)
    assert {name: landed[name] for name in ("records", "events", "rejected", "duplicates", "conflicts")} == {
        "records": 21_041,
        "events": 21_041,
        "rejected": 0,
        "duplicates": 0,
        "conflicts": 0,
    }


def test_meters_amount_to_the_totals_of_the_source(ai_usage: Warehouse) -> None:
    totals = _totals(AI_USAGE)
    quantities = dict(_combined(ai_usage, ["meter"]).select("meter", "quantity").iter_rows())
    skipped = dict(_combined(ai_usage, ["meter"]).select("meter", "skipped").iter_rows())

    assert quantities["requests"] == totals["events"]
    assert quantities["input_tokens"] == Decimal(totals["sum"]["in"])
    assert quantities["output_tokens"] == Decimal(totals["sum"]["out"])
    assert quantities["models"] == totals["unique"]["model"]
    assert quantities["longest_request"] == Decimal(totals["max"]["api_time"])
    assert skipped["longest_request"] == totals["null_values"]["api_time"]
    families = ("opus", "sonnet", "haiku")
    assert sum(quantities[f"{family}_input"] for family in families) == quantities["input_tokens"]
    assert sum(quantities[f"{family}_output"] for family in families) == quantities["output_tokens"]


def test_usage_of_every_customer_is_what_plain_python_counts(ai_usage: Warehouse) -> None:
    counts: dict[str, Count] = defaultdict(Count)
    for event in _events(AI_USAGE):
        metadata = event["metadata"]
        family = next(name for name in ("opus", "sonnet", "haiku") if name in metadata["model"])
        split = metadata | {f"{family}_input": metadata["in"], f"{family}_output": metadata["out"]}
        counts[f"c{event['external_customer_id'][-4:]}"].add(split, [*split])
    expected = {
        customer: {
            "requests": Decimal(count.events),
            "input_tokens": count.total("in"),
            "output_tokens": count.total("out"),
            "models": count.distinct("model"),
            "longest_request": count.greatest("api_time"),
            "long_context_requests": Decimal(
                sum(
                    tokens > 150_000 and "haiku" not in str(model)
                    for tokens, model in zip(count.numbers("in"), count.values["model"], strict=True)
                )
            ),
            **{
                f"{family}_{way}": count.total(f"{family}_{way}")
                for family in ("opus", "sonnet", "haiku")
                for way in ("input", "output")
            },
        }
        for customer, count in counts.items()
    }
    found: dict[str, dict[str, Decimal | None]] = {
        customer: {meter: None if meter == "longest_request" else Decimal(0) for meter in meters}
        for customer, meters in expected.items()
    }
    for customer, meter, quantity in (
        _combined(ai_usage, ["customer_id", "meter"]).select("customer_id", "meter", "quantity").iter_rows()
    ):
        found[customer][meter] = quantity
    assert found == expected


def test_every_invoice_is_what_plain_python_bills(ai_usage: Warehouse) -> None:
    billed = dict(_invoices(ai_usage).select("invoice_id", "total_minor").iter_rows())
    assert billed == bill_by_hand(AI_USAGE, clock_after(THROUGH))


def test_three_invoices_calculated_on_paper(ai_usage: Warehouse) -> None:
    """Quantities were read off the files, the rest was done by hand.

    `c0013` wrote 22,213 tokens; 2,500 and 10,000 are credits: 9,713 x 25 / million = 0.24 USD. It read 6,539,611, one
    million of them free: 5,539,611 x 5 / million = 27.70 USD. It has left: no fee.

    `c0256` read 704,663 tokens as it went: at 6 a million 4.23 USD; wrote 19,835, all at 25 a million: 0.50 USD; 19
    requests are free. Then it read 41,195,845 with opus: 40,195,845 x 5 / million = 200.98, at most 60.00 USD; wrote
    238,012 less 12,500 credits: 225,512 x 25 / million = 5.64 USD; with haiku it read 3,835,225 for 3.84 and wrote
    50,341 for 0.25 USD; the next fee, 20.00 USD.

    `c0009` used one model, which is included; its longest request took 59.42 seconds: 29.42 x 0.05 = 1.47 EUR; seven
    requests with a long context at 0.04 = 0.28 EUR; the fee of the month that ended, 49.00 EUR.
    """
    billed = dict(_invoices(ai_usage).select("invoice_id", "total_minor").iter_rows())
    assert billed["s0013/1/0"] == 24 + 2770
    assert billed["s0256/1/0"] == 423 + 50 + 0
    assert billed["s0256-2/1/0"] == 6000 + 564 + 384 + 25 + 2000
    assert billed["s0009/2/0"] == 0 + 147 + 28 + 4900


def test_usage_without_a_subscription_is_measured_and_billed_by_no_price(ai_usage: Warehouse) -> None:
    daily = ai_usage.scan("usage_daily").filter(pl.col("meter") == "requests").collect()
    billed = ai_usage.scan("billing_periods").collect()
    unbilled = daily.join(billed.select("customer_id").unique(), on="customer_id", how="anti")
    assert unbilled["customer_id"].unique().to_list() == ["c0369"]
    assert unbilled["events"].sum() > 0


def test_running_a_sample_again_changes_nothing(ai_usage: Warehouse) -> None:
    before = ai_usage.versions()
    run(read_project(Path(ai_usage.root).parent), THROUGH, landed_at=LANDED_AT)
    assert ai_usage.versions() == before


def test_invoices_are_those_of_the_golden_file(ai_usage: Warehouse) -> None:
    """All invoices through February. To accept a change: read the difference, then copy what the failure names."""
    shown = [
        "invoice_id",
        "customer_id",
        "product",
        "status",
        "number",
        "issued_at",
        "currency",
        "lines",
        "total_minor",
    ]
    _assert_golden(_invoices(ai_usage).sort("issued_at", "invoice_id").select(shown), "ai-usage-invoices.csv")


def test_lines_are_those_of_the_golden_file(ai_usage: Warehouse) -> None:
    """Lines of the customers that the README tells about."""
    told = ["c0003", "c0009", "c0010", "c0012", "c0013", "c0017", "c0256"]
    invoices = _invoices(ai_usage).filter(pl.col("customer_id").is_in(told)).select("invoice_id", "issued_at")
    lines = pl.concat([ai_usage.scan("invoice_lines"), ai_usage.scan("draft_invoice_lines")]).collect()
    shown = (
        lines.join(invoices, on="invoice_id")
        .sort("issued_at", "invoice_id", "line_no")
        .select(
            *("invoice_id", "line_no", "price_id", "description", "period_start", "period_end"),
            *("quantity", "included", "credited", "billed", "uncapped_minor_unrounded", "amount_minor", "currency"),
        )
    )
    _assert_golden(shown, "ai-usage-lines.csv")


# --- EV charging ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ev_charging() -> Bill:
    """Landed into memory and billed through November 2015: its files are many."""
    project = read_project(EV_CHARGING)
    as_of = clock_after(date(2015, 11, 30))
    store, report = land(project.events, project.settings)
    assert report.files["events"].sum() == _totals(EV_CHARGING)["events"]
    people = {name: table.lazy() for name, table in read_people(project).items()}
    cuts = cuts_within_days(billing_periods(people["subscriptions"], as_of))
    daily = measure_daily(
        store.table("events").lazy(), project.catalog.meters, people["customers"], people["subscriptions"], cuts
    )
    definitions = {name: table.lazy() for name, table in project.definitions.items()}
    return bill(
        Books(customers=people["customers"], subscriptions=people["subscriptions"], **definitions),
        daily.collect().lazy(),
        Billed(empty(Invoices), empty(InvoiceLines), empty(Usage), empty(CreditLedger)),
        Numbering("EV", 0, project.settings.grace_days, project.settings.due_days),
        as_of,
        project.settings.rounding,
    )


def test_usage_of_every_driver_and_month_is_what_plain_python_counts(ev_charging: Bill) -> None:
    counts = _sessions_by_driver_and_month()
    quantities: dict[str, Callable[[Count], Decimal]] = {
        "hours": lambda count: count.total("chargeTimeHrs"),
        "energy": lambda count: count.total("kwhTotal"),
        "stations": lambda count: count.distinct("stationId"),
        "charged": lambda count: count.total("dollars"),
        "long_sessions": lambda count: Decimal(sum(hours > 4 for hours in count.numbers("chargeTimeHrs"))),
    }
    compared = set()
    for row in ev_charging.usage.iter_rows(named=True):
        month = row["customer_id"], f"{row['period_start']:%Y-%m}"
        assert row["quantity"] == quantities[row["meter"]](counts.get(month, Count())), row
        compared.add(month)
    assert counts.keys() <= compared


def test_what_is_passed_on_is_what_the_stations_charged(ev_charging: Bill) -> None:
    """Invoices at cost add up to the dollars of their drivers, to the cent."""
    subscriptions = _subscriptions(EV_CHARGING)
    drivers = {row["customer_id"] for row in subscriptions if row["product"] == "at-cost"}
    counts = _sessions_by_driver_and_month()
    dollars = sum(count.total("dollars") for (driver, _), count in counts.items() if driver in drivers)
    invoices = _all_invoices(ev_charging).filter(pl.col("product") == "at-cost")
    assert invoices["total_minor"].sum() == dollars * 100


def test_graduated_hours_and_volume_energy_are_what_plain_python_bills(ev_charging: Bill) -> None:
    counts = _sessions_by_driver_and_month()
    compared = 0
    periods = {
        (row["subscription_id"], row["cycle"] + 1): f"{row['period_start']:%Y-%m}"
        for row in ev_charging.periods.iter_rows(named=True)
    }
    for invoice in _all_invoices(ev_charging).filter(pl.col("product") == "workplace").iter_rows(named=True):
        month = periods[invoice["subscription_id"], invoice["cycle"]]
        count = counts.get((invoice["customer_id"], month), Count())
        hours, energy = count.total("chargeTimeHrs"), count.total("kwhTotal")
        waited = max(min(hours, Decimal(30)) - 10, Decimal(0)) * 25 + max(hours - 30, Decimal(0)) * 100
        charged = energy * (14 if energy <= 50 else 11)
        assert invoice["total_minor"] == _cents(waited) + _cents(charged), invoice
        compared += 1
    assert compared == 351


def _sessions_by_driver_and_month() -> dict[tuple[str, str], Count]:
    counts: dict[tuple[str, str], Count] = defaultdict(Count)
    for event in _events(EV_CHARGING):
        key = f"driver-{event['external_customer_id']}", event["timestamp"][:7]
        counts[key].add(event["metadata"], ["chargeTimeHrs", "kwhTotal", "stationId", "dollars"])
    return counts


def _all_invoices(found: Bill) -> pl.DataFrame:
    return pl.concat([found.finalized["invoices"], found.drafts["invoices"]])


# --- Reading ----------------------------------------------------------------------------------------------------------


def _totals(root: Path) -> dict[str, Any]:
    totals: dict[str, Any] = json.loads((root / "totals.json").read_text(encoding="utf-8"))
    return totals


def _decimals(texts: dict[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(text) for name, text in texts.items()}


def _subscriptions(root: Path) -> list[dict[str, str]]:
    with (root / "subscriptions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _events(root: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((root / "events").iterdir()):
        yield from _events_of(path)


def _events_of(path: Path) -> Iterator[dict[str, Any]]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    yield from map(read_metadata, text.splitlines())


def _cents(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def _invoices(warehouse: Warehouse) -> pl.DataFrame:
    return pl.concat([warehouse.scan("invoices"), warehouse.scan("draft_invoices")]).collect()


def _combined(warehouse: Warehouse, by: list[str]) -> pl.DataFrame:
    day = pl.col("date")
    states = of_days(warehouse.scan("usage_daily"), warehouse.scan("meters"), day.min(), day.max())
    return combine(states, by).collect()


def _assert_golden(shown: pl.DataFrame, name: str) -> None:
    """Compare byte for byte; what was found is left beside the build, to be read and copied."""
    found = _csv(shown)
    golden = GOLDEN / name
    if not golden.is_file() or golden.read_text(encoding="utf-8") != found:
        beside = ROOT / "build" / "golden" / name
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(found, encoding="utf-8")
        pytest.fail(f"{name} differs: diff tests/golden/{name} build/golden/{name}")


def _csv(shown: pl.DataFrame) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(shown.columns)
    writer.writerows([_cell(value) for value in row] for row in shown.iter_rows())
    return text.getvalue()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return f"{value:%Y-%m-%dT%H:%MZ}"
        case Decimal():
            return f"{value.normalize():f}"
        case _:
            return str(value)
