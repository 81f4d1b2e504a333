"""A landing that is cut off, and ended by one with other settings and another clock."""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from subprocess import run

import pytest

from meterhouse.auditing import audit
from meterhouse.catalog import read_project
from meterhouse.landing import LandingReport
from meterhouse.planning import land, retry
from tests.reliability.comparing import assert_same
from tests.small_project import LANDED_AT, call, contents, make_project, warehouse_of, write

pytestmark = pytest.mark.usefixtures("quick")

REPOSITORY = Path(__file__).parents[2]

LANDED = (
    "events",
    "voided_events",
    "event_duplicates",
    "event_conflicts",
    "voids",
    "rejected_events",
    "retried_records",
    "landed_files",
)

LATER = LANDED_AT + timedelta(days=30)

OTHER_SETTINGS = """
past_limit_days: 20
missing_customer: unattributed
dedupe_window_days: 2
sources:
  partner: {files: '**', source: partner}
"""
"""Each would do something else with a record of the files below."""

KILLED = """
import sys
from pathlib import Path
from meterhouse.landing import land_folder, small
from tests.reliability.runner import STEPS, kill_at
from tests.reliability.test_cut_off import landed, retried
small.SMALL_BYTES = -1
land_folder.__kwdefaults__["batch_rows"] = 4
kill_at(STEPS["write"], int(sys.argv[2]))
{"land": landed, "retry": retried}[sys.argv[3]](Path(sys.argv[1]))
"""


A_CALL = "call,ada,2026-03-01T00:00:00Z"
TABLES = {
    "first.csv": f"id,what,who,when\na,{A_CALL}\nb,call,ada,2026-03-25T00:00:00Z\na,{A_CALL}\n",
    "second.csv": f"id,what,who,when\na,{A_CALL}\nc,call,ada,2026-03-12T00:00:00Z\nd,,,\n",
}
COLUMNS = "{event_id: id, name: what, customer_id: who, timestamp: when}"


def lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def begun(root: Path) -> Path:
    """A project with a file of which each setting makes something else, and each batch repeats something."""
    make_project(root)
    for file in (root / "events").iterdir():
        file.unlink()
    first = call("1", "ada", "2026-03-01T12:00:00Z")
    nobody = {"event_id": "nobody", "name": "call", "timestamp": "2026-03-02T12:00:00Z"}
    ahead = call("ahead", "ada", "2026-04-10T12:00:00Z")
    unnamed = {key: value for key, value in first.items() if key != "event_id"}
    other = {**first, "metadata": {"tokens": 2}, "timestamp": "2026-03-09T12:00:00Z"}
    records = [first, nobody, {"void": "1"}, unnamed, ahead, first, call("2", "bob", "2026-03-28T12:00:00Z"), other]
    write(
        root / "events" / "begun.jsonl",
        lines(*records, first, unnamed, ahead, call("3", "bob", "2026-03-02T12:00:00Z")),
    )
    return root


def landed(root: Path) -> Path:
    land(read_project(root), warehouse_of(root), LANDED_AT)
    return root


def retried(root: Path) -> Path:
    retry(read_project(root), warehouse_of(root), LATER)
    return root


def changed(root: Path) -> Path:
    """Other settings, another clock, another file, and the first one under another name."""
    with (root / "meterhouse.yaml").open("a") as settings:
        settings.write(OTHER_SETTINGS)
    (root / "events" / "begun.jsonl").rename(root / "events" / "moved.jsonl")
    write(root / "events" / "another.jsonl", lines(call("4", "ada", "2026-04-20T12:00:00Z"), {"name": "call"}))
    return root


def landed_later(root: Path) -> LandingReport:
    return land(read_project(root), warehouse_of(root), LATER)


def kill(root: Path, step: str, write_number: int) -> None:
    command = [sys.executable, "-c", KILLED, str(root), str(write_number), step]
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'src'}"}
    ended = run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def failing(root: Path) -> list[str]:
    return [finding.check for finding in audit(warehouse_of(root)) if not finding.passed]


@pytest.mark.parametrize("write_number", [1, 2, 4, 6, 9])
def test_what_was_begun_is_ended_under_the_settings_that_it_was_begun_under(tmp_path: Path, write_number: int) -> None:
    expected = landed(begun(tmp_path / "whole"))
    root = begun(tmp_path / "killed")
    kill(root, "land", write_number)
    for project in (expected, root):
        changed(project)
    whole, report = landed_later(expected), landed_later(root)
    assert (whole.resumed, report.resumed) == (0, 1)
    assert_same(contents(root, LANDED), contents(expected, LANDED))
    assert failing(root) == []
    assert landed_later(root).files.is_empty()


def refusing(root: Path) -> Path:
    """The same file refused in part, beside tables of columns that are known only now."""
    begun(root)
    for name, text in TABLES.items():
        write(root / "events" / name, text)
    landed(root)
    with (root / "meterhouse.yaml").open("a") as settings:
        settings.write(f"future_limit_days: 1\nsources: {{tables: {{files: '*.csv', columns: {COLUMNS}}}}}\n")
    return root


def changed_again(root: Path) -> Path:
    """Settings under which the same records would have another source, and some of them be too old."""
    text = (root / "meterhouse.yaml").read_text(encoding="utf-8")
    write(
        root / "meterhouse.yaml",
        text.replace("{files: '*.csv'", "{source: partner, files: '*'") + "past_limit_days: 30\n",
    )
    return root


@pytest.mark.parametrize("write_number", [1, 2, 3, 4, 5])
def test_a_retry_is_ended_under_the_settings_that_it_was_begun_under(tmp_path: Path, write_number: int) -> None:
    expected = retried(refusing(tmp_path / "whole"))
    root = refusing(tmp_path / "killed")
    kill(root, "retry", write_number)
    for project in (expected, root):
        retried(changed_again(project))
    assert_same(contents(root, LANDED), contents(expected, LANDED))
    assert failing(root) == []
