"""What each command shows, on a screen and as JSON."""

from __future__ import annotations

import csv
import gzip
import io
import re
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from meterhouse import __version__
from meterhouse.warehouse import Warehouse
from tests.cli.conftest import ROOT, Commands

if TYPE_CHECKING:
    from pathlib import Path

LANDED = ("--through", "2026-02-02", "--landed-at", "2026-02-04")

READING = [
    ["status"],
    ["rejects"],
    ["usage"],
    ["usage", "--by", "customer"],
    ["usage", "--by", "day"],
    ["usage", "--by", "month"],
    ["usage", "--by", "hour"],
    ["usage", "--by", "group"],
    ["meter", "preview", "minutes"],
    ["meter", "preview", "people"],
    ["meter", "check"],
    ["meter", "versions", "minutes"],
    ["invoices", "list"],
    ["invoices", "show", "EX-000002"],
    ["credits"],
    ["credits", "--entries"],
    ["audit"],
    ["audit", "duplicates"],
    ["sql", "FROM credit_balances"],
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit_the_screen_and_end_well(example: Commands, words: list[str], columns: int) -> None:
    ended = Commands(example.project, columns)(*words)
    assert (ended.code, ended.err) == (0, "")
    tables = [line for line in ended.out.splitlines() if "--project" not in line and "/" not in line]
    assert [line for line in tables if len(line.rstrip()) > columns] == []


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_json_is_one_document_on_stdout(example: Commands, words: list[str]) -> None:
    ended = example(*words, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert isinstance(ended.document, dict)


def test_an_invoice_is_explained_step_by_step(example: Commands) -> None:
    shown = example("invoices", "show", "EX-000003").out
    found = [re.split(r"\s{2,}", line.strip()) for line in shown.splitlines()]
    assert ["2", "Minutes of speech", "151.75", "minute", "10.89"] in found
    assert ["from credits", "-30"] in found
    assert ["billed", "121.75"] in found
    assert ["up to 60", "60", "x 0.10", "6.00"] in found
    assert ["then up to 120", "60", "x 0.08", "4.80"] in found
    assert ["above 120", "1.75", "x 0.05", "0.0875"] in found
    assert ["before rounding", "10.8875"] in found
    assert ["included", "-5"] in found
    assert ["Total", "21.39"] in found
    assert ["minutes", "used", "welcome-minutes", "-30", "0"] in found


def test_a_volume_price_says_that_it_takes_all_units(example: Commands) -> None:
    assert "all, being above 200" in example("invoices", "show", "ex-000002").out


def test_an_invoice_of_whole_days_shows_them_in_its_own_timezone(example: Commands) -> None:
    shown = example("invoices", "show", "EX-000002").out
    assert "periods in Europe/Berlin" in shown
    assert "2026-01-01 to 2026-01-31" in shown


def test_amounts_are_text_and_minor_units_in_json(example: Commands) -> None:
    document = example("invoices", "show", "EX-000003", "--json").document
    assert document["invoice"]["total"] == "21.39"
    assert document["invoice"]["total_minor"] == 2139
    assert document["lines"][1]["quantity"] == "151.75"
    assert document["lines"][1]["amount_minor_unrounded"] == "1088.75"
    assert [step["unit_amount_minor"] for step in document["lines"][1]["steps"]] == ["10", "8", "5"]
    assert [entry["units"] for entry in document["credits"]] == ["30", "-30"]


def test_a_capped_line_shows_the_amount_before(sample: Commands) -> None:
    capped = "SELECT invoice_id FROM invoice_lines WHERE amount_minor_unrounded < uncapped_minor_unrounded LIMIT 1"
    invoice = sample("sql", capped, "--json").document["result"][0]["invoice_id"]
    assert re.search(r"capped: [\d,.]+ to +60\.00", sample("invoices", "show", invoice).out)


def test_invoices_are_filtered_counted_and_added_up(sample: Commands) -> None:
    everything = sample("invoices", "list", "--json").document
    drafts = sample("invoices", "list", "--status", "draft", "--json").document
    final = sample("invoices", "list", "--status", "finalized", "--json").document
    assert drafts["count"] + final["count"] == everything["count"] == len(everything["invoices"])
    assert {total["currency"] for total in final["totals"]} == {"EUR", "USD"}
    december = sample("invoices", "list", "--month", "2025-12", "--json").document
    assert {invoice["month"] for invoice in december["invoices"]} == {"2025-12"}
    mine = sample("invoices", "list", "--customer", "trace_0001", "--json").document
    assert {invoice["customer_id"] for invoice in mine["invoices"]} == {"c0001"}


def test_long_lists_say_how_much_is_left(sample: Commands) -> None:
    shown = sample("invoices", "list", "--limit", "2").out
    assert re.search(r"\.\.\. and \d+ more rows: --limit 0 shows all", shown)
    assert "more row" not in sample("invoices", "list", "--limit", "0").out
    assert len(sample("invoices", "list", "--limit", "2", "--json").document["invoices"]) == 2


def test_usage_marks_what_is_unattributed(example: Commands) -> None:
    assert "user-9 (unattributed)" in example("usage", "--by", "customer").out
    rows = example("usage", "--by", "customer", "--meter", "requests", "--json").document["usage"]
    assert [(row["customer_id"], row["attributed"], row["quantity"]) for row in rows] == [
        ("ada", True, "11"),
        ("user-9", False, "1"),
    ]


def test_usage_is_totalled_as_its_meter_aggregates(example: Commands) -> None:
    rows = example("usage", "--json").document["usage"]
    known = {row["meter"]: row["quantity"] for row in rows if row["attributed"]}
    assert known == {"fast_minutes": "353.25", "minutes": "494", "people": "3", "requests": "11", "storage": "19.5"}


def test_usage_of_some_days_and_one_customer(example: Commands) -> None:
    days = ["--from", "2026-01-06", "--through", "2026-01-07"]
    rows = example("usage", "--meter", "minutes", "--customer", "user-1", "--by", "day", *days, "--json").document
    assert [(row["day"], row["quantity"]) for row in rows["usage"]] == [("2026-01-06", "61"), ("2026-01-07", "18.25")]


def test_credits_are_balances_and_entries(example: Commands) -> None:
    (balance,) = example("credits", "--json").document["balances"]
    figures = ("granted", "used", "rolled_over", "forfeited", "balance", "balance_final")
    assert [balance[name] for name in figures] == ["60", "30", "0", "0", "30", "0"]
    entries = example("credits", "--entries", "--customer", "ada", "--meter", "minutes", "--json").document["entries"]
    assert [(entry["kind"], entry["status"]) for entry in entries] == [
        ("granted", "finalized"),
        ("used", "finalized"),
        ("granted", "draft"),
    ]


def test_status_counts_what_was_set_aside(example: Commands) -> None:
    found = example("status", "--json").document
    assert found["files"] == {"landed": 4, "not_landed": [], "not_files_of_events": []}
    assert found["events"] == 28
    assert found["set_aside"] == {"rejected": {"no_timestamp": 1}, "duplicates": 1, "conflicts": 0}
    assert found["unattributed"] == {"customers": 1, "events": 1, "ids": ["user-9"]}
    assert found["stale"] == {"definitions": [], "days": []}


def test_status_shows_what_the_next_run_would_do(copy: Commands) -> None:
    event = '{"event_id":"new","name":"request","external_customer_id":"user-1","timestamp":"2026-01-20T00:00:00Z"}'
    (copy.project / "events" / "new.jsonl").write_text(event, encoding="utf-8")
    (copy.project / "events" / "notes.txt").write_text("no events", encoding="utf-8")
    meters = copy.project / "catalog" / "meters.yaml"
    meters.write_text(meters.read_text(encoding="utf-8").replace("name: Requests", "name: Calls"), encoding="utf-8")
    with (copy.project / "subscriptions.csv").open("a", encoding="utf-8") as file:
        file.write("carl-1,carl,starter,2026-01-01,,,,,,\n")
    found = copy("status", "--json").document
    assert found["files"]["not_landed"] == ["new.jsonl"]
    assert [held["path"] for held in found["files"]["not_files_of_events"]] == ["notes.txt"]
    assert found["stale"]["definitions"] == ["meters", "rejected_rows"]
    assert [(row["path"], row["row"]) for row in found["rows_refused"]] == [("subscriptions.csv", 3)]
    shown = copy("status").out
    assert "subscriptions.csv, row 3: customer 'carl' is not in the customers file" in shown
    assert "1 file to land" in shown


def test_status_names_days_that_were_landed_but_not_metered(copy: Commands) -> None:
    event = '{"event_id":"new","name":"request","external_customer_id":"user-1","timestamp":"2026-01-20T00:00:00Z"}'
    (copy.project / "events" / "new.jsonl").write_text(event, encoding="utf-8")
    assert copy("land", "--landed-at", "2026-02-04", "--json").document["landing"]["events"] == 1
    assert copy("status", "--json").document["stale"]["days"] == ["2026-01-20"]
    assert "1 day to meter again" in copy("status").out


def test_status_of_a_new_project(tmp_path: Path) -> None:
    commands = Commands(tmp_path / "new")
    commands("init", str(tmp_path / "new"))
    shown = commands("status")
    assert shown.code == 0
    assert "Last run    never" in shown.out
    assert not (tmp_path / "new" / "warehouse").exists()


def test_a_second_run_changes_no_table(copy: Commands) -> None:
    warehouse = Warehouse(str(copy.project / "warehouse"))
    before = warehouse.versions()
    ended = copy("run", "--through", "2026-02-02", "--landed-at", "2026-02-05", "--json")
    assert (ended.document["days_metered"], ended.document["finalized"]["invoices"]) == ([], 0)
    assert warehouse.versions() == before


def test_run_says_each_step_on_stderr_and_the_result_on_stdout(copy: Commands) -> None:
    ended = copy("run", "--through", "2026-02-02")
    assert ended.err.splitlines() == [
        "Landing ...",
        "Metering ...",
        "Billing ...",
    ]
    assert "Landed     nothing new (4 files landed before)" in ended.out


def test_export_writes_a_batch_a_month_once(copy: Commands) -> None:
    first = copy("export", "--json").document
    assert [(batch["month"], batch["is_new"]) for batch in first["batches"]] == [("2026-01", True), ("2026-02", True)]
    again = copy("export", "--month", "2026-02", "--json").document
    assert [(batch["month"], batch["is_new"]) for batch in again["batches"]] == [("2026-02", False)]
    assert (copy.project / "exports" / "2026-02").is_dir()
    assert copy("export").code == 0


def test_audit_agrees_on_a_sound_warehouse(example: Commands) -> None:
    document = example("audit", "--json").document
    assert document["passed"]
    assert all(check["differing"] == 0 for check in document["checks"])
    assert "Both engines agree" in example("audit", "--explain").out


def test_sql_answers_as_csv_json_and_script(example: Commands) -> None:
    query = "SELECT invoice_id, total_minor, issued_at, total_minor > 1000 AS large, NULL AS x FROM invoices ORDER BY 1"
    rows = list(csv.reader(io.StringIO(example("sql", query, "--csv").out)))
    assert rows[0] == ["invoice_id", "total_minor", "issued_at", "large", "x"]
    assert rows[1] == ["ada-starter/0/0", "900", "2026-01-01T00:00:00Z", "false", ""]
    result = example("sql", "SELECT sum(quantity) AS q, 1 AS q FROM usage", "--json").document["result"]
    assert list(result[0]) == ["q", "q_2"]
    assert isinstance(result[0]["q"], str)
    assert 'CREATE OR REPLACE VIEW "invoices"' in example("sql", "--print").out


def test_sql_shows_rows_that_are_too_wide_one_column_a_line(example: Commands) -> None:
    shown = Commands(example.project, 60)("sql", "FROM invoices ORDER BY invoice_id").out
    assert "row 1\n  invoice_id       ada-starter/0/0\n" in shown


def test_sql_reads_statements_from_a_pipe(example: Commands) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-m", "meterhouse", "--project", str(example.project), "sql", "--csv"],
        input="SELECT 1; SELECT count(*) AS invoices FROM invoices;",
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("invoices\n3\n", "")


def test_help_answers_without_loading_the_engine() -> None:
    imported = "import sys; import meterhouse.cli.app; print([m for m in ('polars', 'duckdb') if m in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", imported],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "[]\n"


def test_the_version_is_printed(example: Commands) -> None:
    assert example("--version").out == f"meterhouse {__version__}\n"


def test_what_cannot_be_used_is_shown_with_how_to_see_it(copy: Commands) -> None:
    resent = '{"event_id":"e001","name":"request","external_customer_id":"user-1","timestamp":"2026-01-05T09:00:00Z"}'
    (copy.project / "events" / "odd.jsonl").write_text(f"{resent}\nnot json\n", encoding="utf-8")
    (copy.project / "events" / "notes.txt").write_text("no events", encoding="utf-8")
    landed = copy("land").out
    assert "Landed     1 file, 2 records: 0 events (4 files landed before)" in landed
    assert "Set aside  1 rejected, 1 conflict; why: " in landed
    assert "Left alone notes.txt: Its name does not say a known format." in landed
    shown = copy("status").out
    assert "Set aside   2 rejected, 1 duplicate, 1 conflict\n" in shown
    assert "            1 bad_json\n            1 no_timestamp\n" in shown
    assert " rejects\n" in shown
    assert 'sql "FROM event_conflicts"' in shown
    assert copy("sql", "FROM event_conflicts").code == 0


def test_files_that_broke_off_are_named_and_are_no_records(copy: Commands) -> None:
    event = '{"event_id":"new","name":"request","external_customer_id":"user-1","timestamp":"2026-02-01T00:00:00Z"}\n'
    whole = gzip.compress(event.encode() * 1000)
    (copy.project / "events" / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (copy.project / "events" / "bad.parquet").write_bytes(b"PAR1 and no more")
    landing = copy("run", *LANDED, "--json").document["landing"]
    assert [file["path"] for file in landing["unreadable"]] == ["bad.parquet", "cut.jsonl.gz"]
    assert landing["rejected"] <= 1, "the record at which the file was cut may be one"
    shown = copy("status").out
    assert re.search(r"^Unreadable  2 files; how to mend: .* rejects --reason unreadable_file$", shown, re.MULTILINE)
    where = "it ends in the middle of its compressed content"
    assert f"\n            cut.jsonl.gz: The file cannot be read to its end: {where}.\n" in shown
    assert f"Set aside   {landing['rejected'] + 1} rejected, " in shown
    (copy.project / "events" / "cut.jsonl.gz").write_bytes(whole)
    (copy.project / "events" / "bad.parquet").unlink()
    assert "Unreadable" not in copy("run", *LANDED).out
    # What landed under a name is judged by what landed under it last.
    assert [file["path"] for file in copy("status", "--json").document["unreadable"]] == ["bad.parquet"]


def test_of_many_files_that_are_no_events_the_first_are_named(copy: Commands) -> None:
    for number in range(7):
        (copy.project / "events" / f"notes-{number}.txt").write_text("no events", encoding="utf-8")
    for shown in (copy("land").out, copy("status").out):
        assert [line.split()[-1] for line in shown.splitlines() if "notes-" in line][:1] == ["elsewhere."]
        assert sum("notes-" in line for line in shown.splitlines()) == 5
        assert re.search(r"^ +and 2 more files$", shown, re.MULTILINE)


def test_values_that_do_not_count_are_told_where_they_have_a_price(copy: Commands) -> None:
    meters = copy.project / "catalog" / "meters.yaml"
    text = meters.read_text(encoding="utf-8").replace("property: minutes", "property: minuets")
    meters.write_text(f"{text}\n  unpriced: {{aggregation: {{func: sum, property: nothing}}}}\n", encoding="utf-8")
    for shown in (copy("run", *LANDED).out, copy("status").out):
        line = next(line for line in shown.splitlines() if line.startswith("Skipped"))
        assert re.fullmatch(r"Skipped +fast_minutes: (\d+) of \1 events have no number 'minuets'; NOTHING is .*", line)
        assert "unpriced" not in shown


def test_events_that_came_after_the_invoice_are_told(copy: Commands) -> None:
    assert "Late" not in copy("status").out
    event = '{"event_id":"new","name":"request","external_customer_id":"user-1","timestamp":"2026-01-20T00:00:00Z"}'
    (copy.project / "events" / "new.jsonl").write_text(event, encoding="utf-8")
    for shown in (copy("run", *LANDED).out, copy("status").out):
        assert re.search(r"^Late +1 event of 1 invoice came after the invoice was final", shown, re.MULTILINE)


def test_the_largest_invoices_come_first_where_asked(sample: Commands) -> None:
    invoices = sample("invoices", "list", "--largest", "--json").document["invoices"]
    totals = [Decimal(invoice["total"]) for invoice in invoices]
    assert totals == sorted(totals, reverse=True)
    assert {invoice["currency"] for invoice in invoices} == {"EUR", "USD"}


def test_what_goes_into_a_pipe_has_no_blanks_at_the_ends_of_lines(example: Commands) -> None:
    shown = example("invoices", "show", "EX-000003").out
    assert [line for line in shown.splitlines() if line != line.rstrip()] == []


def test_rows_of_people_that_are_refused_are_told_by_the_run(copy: Commands) -> None:
    with (copy.project / "customers.csv").open("a", encoding="utf-8") as file:
        file.write("ada,user-7,Ada again\n")
    ended = copy("run", "--through", "2026-02-02")
    assert "Refused    1 row of customers or subscriptions, so these are not billed:" in ended.out
    assert "customers.csv, row 3: " in ended.out
