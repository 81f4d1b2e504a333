"""Random projects on disk, drawn from a seed: events of every fate, books, subscriptions that change within a day."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Final

import yaml

from meterhouse.auditing import Finding, audit
from meterhouse.catalog import read_project
from meterhouse.planning import retry, run
from meterhouse.warehouse import Warehouse
from tests.oracle.books import PRODUCTS, draw_books

if TYPE_CHECKING:
    from pathlib import Path

START: Final = datetime(2026, 1, 30, tzinfo=UTC)
LANDED_AT: Final = datetime(2026, 6, 1, tzinfo=UTC)
FIRST: Final = date(2026, 3, 1)
SECOND: Final = date(2026, 4, 3)
CUSTOMERS: Final = ("ada", "bob", "cyd", "dan", "eve")

_SETTINGS: Final = "name: Random\ngrace_days: 6\nmissing_customer: unattributed\n"

_SETTINGS_LATER: Final = f"""{_SETTINGS}future_limit_days: 60
sources:
  partner: {{files: "*.csv", columns: {{event_id: id, name: what, customer_id: who, timestamp: when}}}}
"""
"""With these, some of what was refused before can be used."""

_METERS: Final = """
meters:
  calls: {event: call, aggregation: {func: count}}
  tokens: {event: call, group_by: [plan.name], aggregation: {func: sum, property: tokens}}
  mean: {group_by: [plan.name, source], aggregation: {func: avg, property: tokens}}
  least: {filter: {clauses: [{property: tokens, operator: gt, value: -3}]}, aggregation: {func: min, property: tokens}}
  most:
    filter: {clauses: [{property: metadata.plan.name, operator: ne, value: free}]}
    aggregation: {func: max, property: tokens}
  level: {event: level, aggregation: {func: last, property: tokens}}
  stock: {aggregation: {func: weighted_sum, property: tokens, carry_over: true, numeric_text: count}}
  burst: {event: call, aggregation: {func: percentile, property: tokens, percent: 95}}
  plans:
    filter:
      conjunction: or
      clauses:
        - {property: plan.name, operator: like, value: r}
        - conjunction: and
          clauses: [{property: tokens, operator: eq, value: 2.5}, {property: source, operator: eq, value: user}]
    aggregation: {func: unique, property: plan.name}
"""
METERS: Final = tuple(yaml.safe_load(_METERS)["meters"])

_TOKENS: Final = (0, 1, 2.5, -3, 7, 1000, "12", True, None, 0.000000000001)
_PLANS: Final = ("free", "pro", "Pro", "", 5, False, None)


def write_project(root: Path, draw: Random) -> None:
    """Settings, catalog, customers and subscriptions; no events yet."""
    root.mkdir()
    (root / "catalog").mkdir()
    (root / "events").mkdir()
    (root / "meterhouse.yaml").write_text(_SETTINGS)
    (root / "catalog" / "meters.yaml").write_text(_METERS)
    write_books(root, draw)
    customers = [f"{customer},x-{customer}" for customer in CUSTOMERS]
    (root / "customers.csv").write_text("\n".join(["customer_id,external_id", *customers]) + "\n")
    header = "subscription_id,customer_id,product,started_at,ends_at,end,interval"
    (root / "subscriptions.csv").write_text("\n".join([header, *_subscriptions(draw)]) + "\n")


def write_books(root: Path, draw: Random) -> None:
    """New prices and benefits of every product."""
    products = {
        name: made.model_dump(mode="json", exclude_none=True) for name, made in draw_books(draw, METERS).items()
    }
    (root / "catalog" / "products.yaml").write_text(yaml.safe_dump({"products": products}))


def write_events(root: Path, draw: Random, name: str, events: int, days: int) -> None:
    """A file of events of `days` days: good ones, resends with the same and with other content, rubbish, and voids.

    Some of the voids name events that come with a later file, or never.
    """
    sent = [_event(draw, f"{name}-{place}", days) for place in range(events)]
    sent += [draw.choice(sent) for _ in range(events // 20)]
    sent += [{**draw.choice(sent), "metadata": {"tokens": 99}} for _ in range(events // 20)]
    draw.shuffle(sent)
    lines = [json.dumps(event) for event in sent]
    lines[len(lines) // 2 : len(lines) // 2] = ["{", '{"name": "call"}', '{"unheard of": 1}']
    ahead = json.dumps({"event_id": "ahead", "name": "call", "customer_id": "ada", "timestamp": "2026-06-20T00:00:00Z"})
    lines += [ahead, ahead]
    lines += [
        json.dumps({"void": void["event_id"].replace("first", spelled), "source": void["source"]})
        for void in sent[:: events // 12]
        for spelled in ("first", "second")
    ]
    (root / "events" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def bill_twice(root: Path, seed: int) -> list[list[Finding]]:
    """Findings after a run, and after another with new prices and more events, some of which come too late.

    In between the settings change, and what was refused is retried.
    """
    draw = Random(seed)
    write_project(root, draw)
    (root / "events" / "table.csv").write_text("id,what,who,when\nt,call,ada,2026-02-10T00:00:00Z\nu,,,\n")
    write_events(root, draw, "first", events=300, days=40)
    findings = []
    for through in (FIRST, SECOND):
        project = read_project(root)
        run(project, through, LANDED_AT)
        findings.append(audit(Warehouse(str(project.warehouse)), project.settings.rounding))
        (root / "meterhouse.yaml").write_text(_SETTINGS_LATER)
        later = read_project(root)
        retry(later, Warehouse(str(later.warehouse)), LANDED_AT)
        write_events(root, draw, "second", events=200, days=64)
        write_books(root, draw)
    return findings


def _subscriptions(draw: Random) -> list[str]:
    rows = []
    for customer in CUSTOMERS:
        started = START + timedelta(days=draw.randint(0, 10), minutes=draw.randint(0, 1440))
        changed = started + timedelta(days=draw.randint(5, 50), minutes=draw.randint(0, 1440))
        ends, end = draw.choice(((changed, "at_once"), (changed, "period_end"), ("", "")))
        interval = draw.choice(("week", "month"))
        rows.append(f"{customer}-1,{customer},{draw.choice(PRODUCTS)},{started},{ends},{end},{interval}")
        if end == "at_once":
            rows.append(f"{customer}-2,{customer},{draw.choice(PRODUCTS)},{changed},,,{interval}")
    return rows


def _event(draw: Random, event_id: str, days: int) -> dict[str, Any]:
    by_id, by_external_id = draw.choice(((1, 0), (0, 1), (1, 1), (0, 0))) if draw.random() < 0.3 else (1, 0)
    customer = draw.choice((*CUSTOMERS, "ghost") if draw.random() < 0.1 else CUSTOMERS)
    at = START + timedelta(days=draw.randrange(days), seconds=draw.choice((0, 43200, 86399, draw.randrange(86400))))
    event: dict[str, Any] = {
        "event_id": event_id,
        "source": draw.choice(("user", "system")),
        "name": draw.choice(("call", "call", "level")),
        "timestamp": at.isoformat(),
        "metadata": {"tokens": draw.choice(_TOKENS), "plan": {"name": draw.choice(_PLANS)}},
    }
    if by_id:
        event["customer_id"] = customer
    if by_external_id:
        event["external_customer_id"] = draw.choice((f"x-{customer}", customer))
    return event
