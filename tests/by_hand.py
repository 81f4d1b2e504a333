"""The project `data/ai-usage` billed in plain Python, from its own reading of the rules, without the program's help.

It knows the prices by heart and is written for this project alone.
"""

from __future__ import annotations

import calendar
import csv
import gzip
import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Event = dict[str, Any]

MILLION: Final = 1_000_000

FAMILIES: Final = ("haiku", "opus", "sonnet")

INPUT_CENTS: Final = {"haiku": 100, "opus": 500, "sonnet": 300}
INPUT_FREE: Final = {"haiku": 0, "opus": MILLION, "sonnet": MILLION}
OUTPUT_CENTS: Final = {"haiku": 500, "opus": 2500, "sonnet": 1500}
CREDITS_KEPT: Final = {"haiku": 0, "opus": 10_000, "sonnet": 20_000}
CREDITS_LOST: Final = {"haiku": 0, "opus": 2_500, "sonnet": 0}
CAP_CENTS: Final = 6000


@dataclass(frozen=True)
class Period:
    """A cycle of a subscription: first instant, first instant after it, and whether another follows."""

    start: datetime
    end: datetime
    is_last: bool


def bill_by_hand(project: Path, as_of: datetime) -> dict[str, int]:
    """Totals in cents of all invoices that are due by `as_of`, by their ids."""
    events = _events_by_customer(project)
    totals: dict[str, int] = {}
    with (project / "subscriptions.csv").open(encoding="utf-8", newline="") as file:
        for subscription in csv.DictReader(file):
            used = events[f"trace_{subscription['customer_id'][1:]}"]
            totals |= dict(_invoices(subscription, used, as_of))
    return totals


def _events_by_customer(project: Path) -> dict[str, list[Event]]:
    events: dict[str, list[Event]] = defaultdict(list)
    for path in sorted((project / "events").iterdir()):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                event = json.loads(line, parse_float=Decimal)
                at = {"at": datetime.fromisoformat(event["timestamp"])}
                events[event["external_customer_id"]].append(event["metadata"] | at)
    return events


def _invoices(subscription: dict[str, str], events: list[Event], as_of: datetime) -> Iterator[tuple[str, int]]:
    number = subscription["subscription_id"]
    product = subscription["product"]
    carried = dict.fromkeys(FAMILIES, 0)
    for cycle, period in enumerate(_periods(subscription)):
        if cycle == 0 and product == "team" and period.start <= as_of:
            yield f"{number}/0/0", 2000
        if period.end > as_of:
            return
        used = [event for event in events if period.start <= event["at"] < period.end]
        match product:
            case "team":
                next_fee = 0 if period.is_last else 2000
                yield f"{number}/{cycle + 1}/0", sum(_team_lines(used, carried)) + next_fee
            case "pay-as-you-go":
                yield f"{number}/{cycle + 1}/0", sum(_pay_as_you_go_lines(used))
            case _:
                yield f"{number}/{cycle + 1}/0", sum(_studio_lines(used))


def _periods(subscription: dict[str, str]) -> Iterator[Period]:
    timezone = ZoneInfo(subscription["timezone"] or "UTC")
    started = _instant(subscription["started_at"], timezone)
    anchor = _instant(subscription["anchor"] or subscription["started_at"], timezone)
    ends_at = _instant(subscription["ends_at"] or "9999-01-01", timezone)
    start = started
    for boundary in _boundaries(anchor, subscription["interval"] or "month", timezone):
        if boundary <= start:
            continue
        end = min(boundary, ends_at) if subscription["end"] == "at_once" else boundary
        yield Period(start, end, is_last=end >= ends_at)
        if end >= ends_at:
            return
        start = boundary


def _instant(text: str, timezone: ZoneInfo) -> datetime:
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=timezone)).astimezone(UTC)


def _boundaries(anchor: datetime, interval: str, timezone: ZoneInfo) -> Iterator[datetime]:
    """Boundaries of a grid, from a year before its anchor on."""
    local = anchor.astimezone(timezone)
    for number in count(-12):
        if interval == "week":
            moved = local + timedelta(days=7 * number)
        else:
            year, month = divmod(local.year * 12 + local.month - 1 + number, 12)
            last_day = calendar.monthrange(year, month + 1)[1]
            moved = local.replace(year=year, month=month + 1, day=min(local.day, last_day))
        yield moved.astimezone(UTC)


def _team_lines(used: list[Event], carried: dict[str, int]) -> Iterator[int]:
    for family in FAMILIES:
        of_family = [event for event in used if family in event["model"]]
        read = max(sum(event["in"] for event in of_family) - INPUT_FREE[family], 0)
        cents = Decimal(read * INPUT_CENTS[family]) / MILLION
        yield _rounded(cents if family == "haiku" else min(cents, Decimal(CAP_CENTS)))
        written = sum(event["out"] for event in of_family)
        after_lost = max(written - CREDITS_LOST[family], 0)
        kept = carried[family] + CREDITS_KEPT[family]
        carried[family] = max(kept - after_lost, 0)
        yield _rounded(Decimal(max(after_lost - kept, 0) * OUTPUT_CENTS[family]) / MILLION)


def _pay_as_you_go_lines(used: list[Event]) -> Iterator[int]:
    read = sum(event["in"] for event in used)
    first, second, rest = min(read, MILLION), min(max(read - MILLION, 0), 9 * MILLION), max(read - 10 * MILLION, 0)
    yield _rounded(Decimal(first * 600 + second * 500 + rest * 400) / MILLION)
    written = sum(event["out"] for event in used)
    cents = 2500 if written <= 20_000 else 2000 if written <= 100_000 else 1500
    yield _rounded(Decimal(written * cents) / MILLION)
    requests = len(used)
    flat = 150 if requests > 50 else 0
    yield _rounded(flat + Decimal(min(max(requests - 50, 0), 150)) + Decimal(max(requests - 200, 0)) / 2)


def _studio_lines(used: list[Event]) -> Iterator[int]:
    yield 4900
    yield max(len({event["model"] for event in used}) - 1, 0) * 500
    longest = max((Decimal(event["api_time"]) for event in used if event["api_time"] is not None), default=Decimal(0))
    yield _rounded(min(max(longest - 30, Decimal(0)) * 5, Decimal(1000)))
    yield 4 * sum(event["in"] > 150_000 and ("opus" in event["model"] or "sonnet" in event["model"]) for event in used)


def _rounded(cents: Decimal) -> int:
    return int(cents.quantize(Decimal(1), ROUND_HALF_UP))
