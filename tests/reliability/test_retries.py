"""A retry of refused records that is killed, and repeated."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from subprocess import run

import pytest

from meterhouse.auditing import audit
from meterhouse.catalog import read_project
from meterhouse.planning import land, retry
from tests.reliability.comparing import assert_same
from tests.small_project import LANDED_AT, call, contents, make_project, warehouse_of, write, write_file

pytestmark = pytest.mark.usefixtures("quick")

REPOSITORY = Path(__file__).parents[2]

SET_ASIDE = ("event_duplicates", "event_conflicts", "voids", "rejected_events", "retried_records")
LANDED = ("events", "voided_events", *SET_ASIDE)

KILLED = """
import sys
from pathlib import Path
from tests.reliability.runner import STEPS, kill_at
from tests.reliability.test_retries import retried
kill_at(STEPS["write"], int(sys.argv[2]))
retried(Path(sys.argv[1]))
"""


def refusing(root: Path) -> Path:
    """A project that refused records of the future, a file of unknown columns, and a void of one of them."""
    make_project(root)
    ahead = [call(f"ahead {day}", "ada", f"2026-04-{day}T12:00:00Z") for day in range(10, 20)]
    write_file(root / "events", "ahead", [*ahead, ahead[0]])
    write(root / "events" / "table.csv", "id,what,who,when\na,call,ada,2026-03-01T00:00:00Z\nb,,,\n")
    write(root / "events" / "void.jsonl", '{"void": "ahead 11"}\n')
    project = read_project(root)
    land(project, warehouse_of(root), LANDED_AT)
    columns = "{event_id: id, name: what, customer_id: who, timestamp: when}"
    later = f"future_limit_days: 30\nsources:\n  partner: {{files: '*.csv', columns: {columns}}}\n"
    write(root / "meterhouse.yaml", (root / "meterhouse.yaml").read_text(encoding="utf-8") + later)
    return root


def retried(root: Path) -> Path:
    retry(read_project(root), warehouse_of(root), LANDED_AT)
    return root


@pytest.mark.parametrize("write_number", [1, 2, 3, 4, 6])
def test_a_retry_killed_at_a_write_and_repeated_is_as_if_it_had_not_been(tmp_path: Path, write_number: int) -> None:
    expected = contents(retried(refusing(tmp_path / "whole")), LANDED)
    root = refusing(tmp_path / "killed")
    command = [sys.executable, "-c", KILLED, str(root), str(write_number)]
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'src'}"}
    ended = run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert [finding.check for finding in audit(warehouse_of(root)) if not finding.passed] == []
    assert_same(contents(retried(root), LANDED), expected)
    assert [finding.check for finding in audit(warehouse_of(root)) if not finding.passed] == []
