"""A month of runs, one a day: each meters what is new and nothing else, and no table comes to lie in many files."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

import pytest

from meterhouse.catalog import read_project
from meterhouse.planning import RunReport, run
from meterhouse.tables import WAREHOUSE
from tests.projects import write_project
from tests.records import event
from tests.reliability.comparing import all_pass
from tests.small_project import warehouse_of

pytestmark = pytest.mark.usefixtures("quick")

FIRST: Final = date(2026, 1, 1)
DAYS: Final = 31
MOST_FILES: Final = 8
"""Of a table, or of a day or month of one that is partitioned."""

CATALOG: Final = """\
meters:
  calls: { event: call, aggregation: { func: count } }
products:
  daily: { name: Daily, interval: day, prices: [{ id: calls, kind: unit, meter: calls, amount: 1 }] }
"""


def land_and_run(root: Path, day: date, late: date | None) -> RunReport:
    """What a night does: the events of the day came, and one of a day long gone."""
    sent = [event(event_id=f"{day}", at=f"{day}T12:00:00Z")]
    if late is not None:
        sent.append(event(event_id=f"{day} late", at=f"{late}T13:00:00Z"))
    (root / "events" / f"{day}.jsonl").write_text("\n".join([*sent, "no json"]))
    return run(read_project(root), day, datetime.combine(day + timedelta(days=1), time(6), UTC))


def files_of(root: Path) -> Counter[str]:
    """Files by the folder that they lie in."""
    warehouse = warehouse_of(root)
    return Counter(str(Path(uri).parent.relative_to(root)) for table in WAREHOUSE for uri in warehouse.file_uris(table))


def test_a_month_of_daily_runs_meters_each_day_when_its_events_come(tmp_path: Path) -> None:
    root = write_project(
        tmp_path,
        CATALOG,
        "name: Test\ngrace_days: 0",
        customers__csv="customer_id,name\nada,Ada\n",
        subscriptions__csv="subscription_id,customer_id,product,started_at\ns,ada,daily,2026-01-01\n",
    )
    (root / "events").mkdir()
    joined = 0
    for number in range(DAYS):
        day = FIRST + timedelta(days=number)
        # Events of the first day come late until its files are joined, and long after: then it is left alone.
        late = FIRST if number and number % 3 else None
        before = files_of(root)
        report = land_and_run(root, day, late)
        assert report.days_metered == [*([late] if late else []), day]
        after = files_of(root)
        assert max(after.values()) <= MOST_FILES, after.most_common(3)
        joined += any(after[folder] < files for folder, files in before.items() if "events/date" in folder)
    assert joined
    assert warehouse_of(root).scan("invoices").collect().height >= DAYS - 2
    assert all_pass(root)
