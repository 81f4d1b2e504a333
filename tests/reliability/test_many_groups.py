"""A property of a million values is refused in bounded memory, and takes nothing with it (rule 2.3)."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.cli.conftest import Commands
from tests.reliability.comparing import assert_same, copied
from tests.small_project import contents, edit, run_through

pytestmark = pytest.mark.usefixtures("quick")

REPOSITORY: Final = Path(__file__).parents[2]
EVENTS: Final = 1_000_000
MOST_MEGABYTES: Final = 800

_MEASURE: Final = f"""
from datetime import UTC, date, datetime
from pathlib import Path
import polars as pl
from meterhouse.catalog import Meter
from meterhouse.errors import ProjectError
from meterhouse.metering import cuts_within_days, measure_days
from meterhouse.tables import BillingPeriods, Customers, Subscriptions, empty

place = pl.int_range({EVENTS}, eager=True).alias("place")
request = place.cast(pl.String)
instant = pl.lit(datetime(2026, 1, 1, tzinfo=UTC), pl.Datetime("us", "UTC"))
events = place.to_frame().select(
    event_id=request, source=pl.lit("user"), name=pl.lit("call"), customer_id=(place % 1000).cast(pl.String),
    external_customer_id=pl.lit(None, pl.String), subscription_id=pl.lit(None, pl.String),
    timestamp=instant, received_at=instant, date=pl.lit(date(2026, 1, 1)), text_request="request " + request,
    number_size=pl.lit("1.5").cast(pl.Decimal(38, 12)),
)
said = {{"aggregation": {{"func": "sum", "property": "size"}}, "group_by": ["request"]}}
meters = {{f"meter {{number}}": Meter.model_validate(said) for number in range(3)}}
try:
    cuts = cuts_within_days(empty(BillingPeriods))
    measure_days(events.lazy(), meters, empty(Customers), empty(Subscriptions), cuts)
except ProjectError as fault:
    print(fault)
# Of this program alone: `ru_maxrss` begins with what the test's process held when it forked.
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)
"""


def test_a_million_groups_are_refused_before_they_fill_the_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURE],
        env={"PYTHONPATH": str(REPOSITORY / "src"), "POLARS_MAX_THREADS": "2"},
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told, megabytes = ended.stdout.splitlines()
    assert told == (
        "Meter 'meter 0' has 1,000,000 groups by request on 2026-01-01, such as "
        '{"request":"request 0"} and {"request":"request 1"} and {"request":"request 10"}; '
        "expected at most 1,000, its `max_groups`. Group by properties with few values, such as a model and not a "
        "request, or set a higher `max_groups`. Nothing of that day was stored."
    )
    assert int(megabytes) < MOST_MEGABYTES
    assert after.ru_utime - before.ru_utime < 30  # Seconds of work: whatever else the machine does.


@pytest.fixture
def grouped(ran: Path) -> Commands:
    """The project after a run, with a meter that is grouped by too many values since."""
    edit(ran / "catalog" / "meters.yaml", "name: Calls, event: call,", GROUPED)
    return Commands(ran)


GROUPED: Final = "name: Calls, group_by: [seconds], max_groups: 3, event: call,"


def test_too_many_groups_stop_the_run_and_leave_everything_as_it_was(
    grouped: Commands, uninterrupted: Path, tmp_path: Path
) -> None:
    root = grouped.project
    before = contents(root)
    ended = grouped("run", "--through", "2026-03-31", "--landed-at", "2026-04-01T06:00:00Z")
    assert ended.code == 2
    assert "Meter 'calls' has" in ended.err
    assert "`max_groups`" in ended.err
    assert "Traceback" not in ended.err + ended.out
    # What is defined is stored, and that the grouped meter is to be measured again; no number is another.
    told = {"meters", "meter_versions", "fingerprints"}
    after = contents(root)
    assert_same(*({name: rows for name, rows in found.items() if name not in told} for found in (after, before)))

    edit(root / "catalog" / "meters.yaml", GROUPED, "name: Calls, event: call,")
    run_through(root)
    mended, once = contents(root), contents(copied(uninterrupted, tmp_path / "once"))
    assert_same(*({name: rows for name, rows in found.items() if name not in told} for found in (mended, once)))
