"""Make the events, customers and subscriptions of the sample projects again, byte for byte, from their sources.

Settings and catalogs are written by hand and left alone. Run it from the root of the repository:

    python data/make_samples.py SOURCES

`SOURCES` is a folder with `claude_code_traces/` and `ev_workplace_us/`, each with `events.parquet` and `totals.json`.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import sys
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

HERE = Path(__file__).parent

WEEKLY = range(17, 370, 30)

SUBSCRIPTION_FIELDS = (
    "subscription_id",
    "customer_id",
    "product",
    "started_at",
    "ends_at",
    "end",
    "interval",
    "anchor",
    "timezone",
)


def main(sources: Path) -> None:
    """Make both samples."""
    make_ai_usage(sources / "claude_code_traces", HERE / "ai-usage")
    make_ev_charging(sources / "ev_workplace_us", HERE / "ev-charging")


def make_ai_usage(source: Path, project: Path) -> None:
    """One gzip file per day, in meterhouse's own shape."""
    events = pl.read_parquet(source / "events.parquet")
    write_days(events, own_shape, lambda text: gzip.compress(text, mtime=0), project / "events", "jsonl.gz")
    traces = sorted(events["external_customer_id"].unique())
    customers = [
        {"customer_id": ai_customer(trace), "external_id": trace, "name": f"Conversation {int(trace[-4:])}"}
        for trace in traces
    ]
    write_csv(project / "customers.csv", ("customer_id", "external_id", "name"), customers)
    write_csv(project / "subscriptions.csv", SUBSCRIPTION_FIELDS, ai_subscriptions(traces))
    shutil.copyfile(source / "totals.json", project / "totals.json")


def make_ev_charging(source: Path, project: Path) -> None:
    """One plain file per day that has events, in the shape of Polar's ingest."""
    events = pl.read_parquet(source / "events.parquet")
    write_days(events, polar_shape, bytes, project / "events", "jsonl")
    first_days = dict(events.group_by("external_customer_id").agg(pl.col("timestamp").min().dt.date()).iter_rows())
    customers = [
        {"customer_id": f"driver-{user}", "external_id": user, "name": f"Driver {user}"} for user in sorted(first_days)
    ]
    write_csv(project / "customers.csv", ("customer_id", "external_id", "name"), customers)
    write_csv(project / "subscriptions.csv", SUBSCRIPTION_FIELDS, ev_subscriptions(first_days))
    shutil.copyfile(source / "totals.json", project / "totals.json")


def write_days(
    events: pl.DataFrame,
    shape: Callable[..., str],
    pack: Callable[[bytes], bytes],
    folder: Path,
    extension: str,
) -> None:
    """Write each UTC day to its own file, in the order of time; equal instants in the order of their ids."""
    days: dict[date, list[str]] = defaultdict(list)
    for event in events.sort("timestamp", "event_id").iter_rows(named=True):
        days[event["timestamp"].date()].append(shape(**event))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for day, lines in days.items():
        (folder / f"{day}.{extension}").write_bytes(pack("".join(lines).encode()))


def own_shape(*, event_id: str, name: str, external_customer_id: str, timestamp: datetime, metadata: str) -> str:
    """A line in meterhouse's own shape. The metadata stays the text that it was, so that no digit changes."""
    return (
        f'{{"event_id":{json.dumps(event_id)},"name":{json.dumps(name)},'
        f'"external_customer_id":{json.dumps(external_customer_id)},"timestamp":"{instant(timestamp)}",'
        f'"metadata":{metadata}}}\n'
    )


def polar_shape(*, event_id: str, name: str, external_customer_id: str, timestamp: datetime, metadata: str) -> str:
    """A line as Polar's ingest takes it: the event's id is called `external_id`."""
    return (
        f'{{"name":{json.dumps(name)},"external_id":{json.dumps(event_id)},'
        f'"external_customer_id":{json.dumps(external_customer_id)},"timestamp":"{instant(timestamp)}",'
        f'"metadata":{metadata}}}\n'
    )


def instant(timestamp: datetime) -> str:
    """An instant in UTC as ISO 8601."""
    return timestamp.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ai_customer(trace: str) -> str:
    """Customer ids of our own, so that the sample shows what `external_id` is for."""
    return f"c{trace[-4:]}"


def ai_subscriptions(traces: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Of ten customers six are on `team`, three on `pay-as-you-go` and one on `studio`; some stand out."""
    for trace in traces:
        number = int(trace[-4:])
        subscription = ai_subscription(number, ai_customer(trace))
        match number:
            case 12:  # leaves in the middle of a period and pays for no day after that
                yield subscription | {"ends_at": "2026-01-20", "end": "at_once"}
            case 13:  # leaves with the end of the period that it has paid for
                yield subscription | {"ends_at": "2026-01-12", "end": "period_end"}
            case 256:  # the heaviest user changes to the plan with a cap, half an hour into its work
                change = "2026-01-11T16:30:00Z"
                began = {"product": "pay-as-you-go", "started_at": "2025-12-20", "timezone": ""}
                yield subscription | began | {"ends_at": change, "end": "at_once"}
                went_on = {"subscription_id": "s0256-2", "product": "team", "started_at": change, "timezone": ""}
                yield subscription | went_on
            case 369:  # has an account and uses it, but has not subscribed: usage that no price bills
                continue
            case _:
                yield subscription


def ai_subscription(number: int, customer: str) -> dict[str, Any]:
    """Each begins one to eighteen days before its first request, between 15 December and 10 January."""
    first_request = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)).date()
    started = first_request - timedelta(days=1 + number * 5 % 18)
    started = min(max(started, date(2025, 12, 15)), date(2026, 1, 10))
    subscription = dict.fromkeys(SUBSCRIPTION_FIELDS, "") | {
        "subscription_id": f"s{number:04}",
        "customer_id": customer,
        "started_at": str(started),
    }
    match number % 10:
        case 9:  # calendar months in Berlin: the first period is a short one
            return subscription | {"product": "studio", "anchor": "2026-01-01", "timezone": "Europe/Berlin"}
        case 6 | 7 | 8:  # a few pay by the week
            return subscription | {"product": "pay-as-you-go", "interval": "week" if number in WEEKLY else ""}
        case 0:  # counted from the 31st: periods begin on 31 December, 31 January, 28 February, 31 March
            return subscription | {"product": "team", "started_at": "2025-12-31"}
        case 3:
            return subscription | {"product": "team", "timezone": "America/Los_Angeles"}
        case _:
            return subscription | {"product": "team"}


def ev_subscriptions(first_days: dict[str, date]) -> Iterator[dict[str, Any]]:
    """Every subscription begins on the first of the month of the driver's first session."""
    products = ("workplace", "workplace", "workplace", "company-car", "at-cost")
    for place, (user, first_day) in enumerate(sorted(first_days.items())):
        yield dict.fromkeys(SUBSCRIPTION_FIELDS, "") | {
            "subscription_id": f"charging-{user}",
            "customer_id": f"driver-{user}",
            "product": products[place % len(products)],
            "started_at": str(first_day.replace(day=1)),
        }


def write_csv(path: Path, fields: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> None:
    """Write rows with the same line ends on every system."""
    text = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
