"""How faults reach the user: in words, with an exit code, without a traceback, as an object where JSON is asked for."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from typer.testing import CliRunner

from meterhouse.cli import main
from meterhouse.cli.app import app
from meterhouse.errors import ArithmeticRangeError
from meterhouse.money import AMOUNT_UNROUNDED, total
from meterhouse.planning.ranges import told_where
from meterhouse.warehouse import Warehouse
from tests.cli.conftest import ROOT, Commands

if TYPE_CHECKING:
    from pathlib import Path

THROUGH = ("--through", "2026-02-02")


def test_no_project(tmp_path: Path) -> None:
    ended = Commands(tmp_path)("status")
    assert ended.code == 2
    assert "there is no meterhouse.yaml" in ended.err
    assert "Traceback" not in ended.err


def test_a_fault_is_an_object_where_json_is_asked_for(tmp_path: Path) -> None:
    ended = Commands(tmp_path)("status", "--json")
    assert ended.document["error"]["kind"] == "ProjectError"
    assert ended.document["error"]["exit_code"] == ended.code == 2
    assert ended.document["error"]["message"] in ended.err


def test_no_warehouse_yet(tmp_path: Path) -> None:
    commands = Commands(tmp_path / "new")
    commands("init", str(tmp_path / "new"))
    for words in (["usage"], ["invoices", "list"], ["credits"], ["export"], ["sql", "SELECT 1"], ["audit"]):
        ended = commands(*words)
        assert (ended.code, "there is no warehouse yet" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("meterhouse.yaml", "name: Example", "name: [", "meterhouse.yaml:5:1: this is not valid YAML: while"),
        ("meterhouse.yaml", "currency: USD", "currency: XXX", "'XXX' is not an ISO 4217 currency"),
        ("catalog/products.yaml", "meter: requests", "meter: reqests", "names meter 'reqests', which no file defines"),
        ("catalog/products.yaml", "kind: graduated", "kind: gradual", "products.starter.prices.minutes: 'kind' is"),
        ("customers.csv", None, None, "expected one of customers.csv"),
    ],
)
def test_a_project_that_cannot_be_used(copy: Commands, file: str, old: str | None, new: str | None, told: str) -> None:
    path = copy.project / file
    if old is None or new is None:
        path.unlink()
    else:
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    ended = copy("run", *THROUGH)
    assert ended.code == 2
    assert told in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "--through", "2026-02-30"], "'2026-02-30' is not a day. Write it as 2026-02-28."),
        (["run", "--through", "2999-01-01"], "2999-01-01 is not over yet"),
        (["run", *THROUGH, "--landed-at", "soon"], "'soon' is not an instant"),
        (["invoices", "list", "--month", "2026-13"], "'2026-13' is not a month. Write it as 2026-02."),
        (["invoices", "list", "--status", "paid"], "--status': 'paid' is not one of"),
        (["usage", "--by", "week"], "--by': 'week' is not one of"),
        (["usage", "--limit", "-1"], "greater than or equal to 0"),
        (["usage", "--from", "2026-02-02", "--through", "2026-02-01"], "2026-02-02 is after --through 2026-02-01"),
    ],
)
def test_a_word_that_an_option_does_not_take(example: Commands, words: list[str], told: str) -> None:
    ended = example(*words)
    assert ended.code == 2
    assert told in " ".join(ended.err.split())


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["invoices", "show", "EX-999999"], 2, "There is no invoice 'EX-999999'"),
        (["usage", "--meter", "minuts"], 2, "Did you mean minutes"),
        (["usage", "--customer", "adda"], 2, "Did you mean ada"),
        (["credits", "--meter", "nothing"], 2, "Known meters: fast_minutes, minutes"),
        (["export", "--month", "2020-01"], 1, "No final invoices were issued in '2020-01'"),
        (["sql", "SELECT * FROM nowhere"], 1, "nowhere"),
        (["sql", "SELEC 1"], 1, "syntax error"),
    ],
)
def test_a_name_that_is_not_there(example: Commands, words: list[str], code: int, told: str) -> None:
    ended = example(*words)
    assert (ended.code, told in ended.err, "Traceback" in ended.err) == (code, True, False)
    assert example(*words, "--json").document["error"]["exit_code"] == code


def test_usage_of_a_stranger_can_be_asked_for(example: Commands) -> None:
    assert example("usage", "--customer", "user-9").code == 0


def test_a_warehouse_that_another_run_holds(copy: Commands) -> None:
    with Warehouse(str(copy.project / "warehouse")).lock():
        for words in (["run", *THROUGH], ["land"], ["export"]):
            ended = copy(*words)
            assert (ended.code, "is held by process" in ended.err) == (4, True)
        assert copy("status").code == 0


def test_an_audit_that_finds_a_difference(copy: Commands) -> None:
    # As nobody should: behind meterhouse's back.
    path = str(copy.project / "warehouse" / "invoice_lines")
    lines = pl.read_delta(path)
    shutil.rmtree(path)
    write_deltalake(path, lines.with_columns(amount_minor=pl.col("amount_minor") + 1))
    assert DeltaTable(path).version() == 0
    ended = copy("audit")
    assert ended.code == 6
    assert "DIFFER" in ended.out
    assert "checks found differences: lines, invoices" in ended.err
    again = copy("audit", "--json")
    assert (again.code, again.document["passed"]) == (6, False)


def test_a_number_that_does_not_fit_is_refused(copy: Commands) -> None:
    event = (
        '{"event_id":"big","name":"transcription","external_customer_id":"user-1",'
        '"timestamp":"2026-02-09T00:00:00Z","metadata":{"minutes":999999999999999}}'
    )
    (copy.project / "events" / "big.jsonl").write_text(event, encoding="utf-8")
    ended = copy("run", "--through", "2026-02-10")
    assert ended.code == 5
    assert "does not fit its exact decimal while billing" in ended.err
    assert copy("invoices", "list", "--json").document["count"] == 3


def test_other_faults_of_the_engine_are_left_as_they_are() -> None:
    frame = pl.DataFrame({"day": ["x"]})
    with pytest.raises(pl.exceptions.PolarsError), told_where("testing"):
        frame.select(pl.col("day").str.to_date())
    with pytest.raises(ArithmeticRangeError, match="while testing"), told_where("testing"):
        pl.DataFrame({"n": ["1"]}).select(pl.lit(10).cast(pl.Decimal(38, 0)).cast(pl.Decimal(38, 38)))


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), RuntimeError("Query interrupted")])
def test_ctrl_c_says_that_nothing_is_broken(
    copy: Commands, monkeypatch: pytest.MonkeyPatch, raised: BaseException
) -> None:
    """DuckDB has a word of its own for it."""

    def interrupted(*_: object) -> None:
        raise raised

    monkeypatch.setattr("meterhouse.planning.run", interrupted)
    ended = copy("run", *THROUGH)
    assert (ended.code, ended.out) == (130, "")
    assert ended.err == "Stopped. Nothing is half done: the next run goes on from here.\n"


def test_a_fault_that_nobody_foresaw_is_told_and_can_be_looked_into(
    example: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        message = "something odd"
        raise RuntimeError(message)

    monkeypatch.setattr("meterhouse.planning.run", broken)
    monkeypatch.setattr(sys, "argv", ["meterhouse", "--project", str(example.project), "run", *THROUGH])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 70
    assert told.startswith("Error: RuntimeError: something odd\nThis is a fault in meterhouse")
    assert "Traceback" not in told
    monkeypatch.setenv("METERHOUSE_DEBUG", "1")
    with pytest.raises(SystemExit):
        main()
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_stops_reading_is_no_fault(example: Commands) -> None:
    ended = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -m meterhouse --project "{example.project}" sql --print | head -1'],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("SET TimeZone = 'UTC';\n", "")


@pytest.mark.parametrize("words", ["invoices list", "status --json", "sql --print", f"run {' '.join(THROUGH)}"])
@pytest.mark.parametrize(("out", "code"), [("| true", 141), ("> /dev/full", 74)])
def test_an_output_that_takes_nothing_is_no_fault_of_the_program(
    example: Commands, words: str, out: str, code: int
) -> None:
    command = f'"{sys.executable}" -m meterhouse --project "{example.project}" {words} {out}; exit ${{PIPESTATUS[0]}}'
    ended = subprocess.run(
        ["bash", "-c", command],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in ended.stderr.splitlines() if not line.endswith("...")]
    full = "Error: the output cannot be written (No space left on device). Make room, or write elsewhere, and run"
    assert ended.returncode == code
    assert [line.startswith(full) for line in said] == ([True] if code == 74 else [])


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{file}'",
        "SELECT 1; COPY (SELECT 1) TO '{file}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'",
        "/* harmless */ EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{file}'",
        "PREPARE written AS COPY (SELECT 1) TO '{file}'; EXECUTE written",
        "EXPORT DATABASE '{file}'",
        "ATTACH '{file}' AS other",
        "SET profiling_output = '{file}'",
        "FROM enable_logging(storage = 'file', storage_path = '{file}')",
        "INSTALL httpfs",
        "LOAD httpfs",
    ],
)
def test_sql_changes_no_file(example: Commands, query: str) -> None:
    log = example.project / "warehouse" / "invoices" / "_delta_log" / "00000000000000000000.json"
    before = log.read_bytes()
    ended = example("sql", query.format(file=log))
    assert (ended.code, ended.out) == (1, "")
    assert "sql only reads, and '" in ended.err
    assert log.read_bytes() == before


@pytest.mark.parametrize(
    "query",
    ["CREATE VIEW mine AS FROM invoices; FROM mine", "CREATE TABLE t (i INT); FROM t", "SET threads = 1; FROM usage"],
)
def test_sql_may_change_its_own_memory(example: Commands, query: str) -> None:
    assert example("sql", query).code == 0


def test_a_hint_in_a_fault_can_be_run_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["./venv/bin/meterhouse"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "or make one with `venv/bin/meterhouse init`" in Commands(tmp_path)("status").err


def test_the_project_is_found_from_a_folder_inside_it(example: Commands) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-m", "meterhouse", "status"],
        cwd=example.project / "catalog",
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout.startswith("Example\n"), ended.stderr) == (0, True, "")


def _read_by_somebody(pipe: Path) -> bool:
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def test_ctrl_c_stops_a_long_query(example: Commands, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    forever = "SELECT sum(a.i * b.i) FROM range(1000000000) a(i), range(1000000000) b(i)"
    query = f"FROM read_text('{begun}'); {forever}"
    running = subprocess.Popen(
        [sys.executable, "-m", "meterhouse", "--project", str(example.project), "sql", query],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    patience = time.monotonic() + 60
    while not _read_by_somebody(begun) and time.monotonic() < patience:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert err == "Stopped. Nothing is half done: the next run goes on from here.\n"


@pytest.mark.parametrize("where", ["first", "last", "joined"])
def test_the_project_may_be_named_anywhere(example: Commands, where: str) -> None:
    words = {
        "first": ["--project", str(example.project), "invoices", "list"],
        "last": ["invoices", "list", "--project", str(example.project)],
        "joined": ["invoices", f"--project={example.project}", "list"],
    }[where]
    ended = CliRunner().invoke(app, words)
    assert (ended.exit_code, "EX-000003" in ended.stdout) == (0, True)


def test_a_sum_of_amounts_that_does_not_fit_is_told_with_its_step() -> None:
    amounts = pl.DataFrame({"amount": [90_000_000_000_000] * 2}).cast(AMOUNT_UNROUNDED)
    with pytest.raises(ArithmeticRangeError, match="while testing"), told_where("testing"):
        amounts.group_by(pl.lit(1)).agg(total(pl.col("amount")))
