"""Batches of the small project, byte for byte, and everything that may happen to a batch.

After a change that is meant, `METERHOUSE_ACCEPT_GOLDEN=1 pytest tests/golden` writes the files of `exports/` again:
read what git shows of it before you commit it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import date
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest

from meterhouse.errors import MeterhouseError, WarehouseError
from meterhouse.exports import Batch, batch, export
from meterhouse.exports.content import EXPORTED, content
from meterhouse.money import minor_digits
from meterhouse.warehouse import Warehouse, journal
from tests.small_project import (
    call,
    edit,
    make_project,
    run_through,
    warehouse_of,
    without_waiting_for_the_disk,
    write_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).parent / "exports"
ACCEPT = bool(os.environ.get("METERHOUSE_ACCEPT_GOLDEN"))

NAME = "Small project"
MONTHS = ["2026-01", "2026-02", "2026-03", "2026-04"]
FULL = "2026-03"
"""Of this month all files are golden, of the others the manifest."""


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with without_waiting_for_the_disk():
        yield


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after a run and an export. Copy it before changing it."""
    root = make_project(tmp_path_factory.mktemp("exports") / "project")
    run_through(root)
    export_all(root)
    return root


@pytest.fixture
def project(exported: Path, tmp_path: Path) -> Path:
    """A copy of the project after an export."""
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def export_all(root: Path, *only: str, to: str = "exports") -> list[Batch]:
    return export(warehouse_of(root), NAME, root / to, only or None)


def newest(root: Path, month: str = FULL) -> Path:
    return max((root / "exports" / month).iterdir())


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return content


def rows_of(folder: Path, table: str) -> list[dict[str, str]]:
    with (folder / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def sha256sum(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False
    )


# --- Byte for byte ----------------------------------------------------------------------------------------------------


def golden(folder: Path, month: str) -> Iterator[tuple[str, bytes]]:
    """What is compared: text. Parquet may come out otherwise on another machine, so its checksums are left out."""
    files = [*sorted(folder.glob("*.csv")), folder / "datapackage.json"] if month == FULL else []
    for path in files:
        yield path.name, path.read_bytes()
    manifest = manifest_of(folder) | {"engine": "-"}
    manifest["files"] = [file for file in manifest["files"] if not file["path"].endswith(".parquet")]
    yield "manifest.json", (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()


@pytest.mark.parametrize("month", MONTHS)
def test_a_batch_is_as_it_was_accepted(exported: Path, month: str) -> None:
    found = dict(golden(newest(exported, month), month))
    kept = GOLDEN / month
    if ACCEPT:
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        for name, content in found.items():
            (kept / name).write_bytes(content)
    for name, content in found.items():
        assert content.decode() == (kept / name).read_bytes().decode(), f"{name} of {month}; see the head of this file"
    assert found.keys() == {path.name for path in kept.iterdir()}


def test_text_files_are_as_promised(exported: Path) -> None:
    for path in newest(exported).glob("*.csv"):
        content = path.read_bytes()
        assert not content.startswith(b"\xef\xbb\xbf")
        assert content.endswith(b"\r\n")
        assert content.count(b"\n") == content.count(b"\r\n")


def test_a_month_per_batch_in_a_row(exported: Path) -> None:
    found = [manifest_of(newest(exported, month)) for month in MONTHS]
    assert [manifest["sequence"] for manifest in found] == [1, 2, 3, 4]
    assert [manifest["previous"] for manifest in found] == [None, *[manifest["batch_id"] for manifest in found[:-1]]]
    assert {manifest["supersedes"] for manifest in found} == {None}


# --- Again ------------------------------------------------------------------------------------------------------------


def test_exporting_again_changes_no_byte_and_records_nothing(project: Path) -> None:
    versions, files = warehouse_of(project).versions(), files_of(project / "exports")
    changed = {path: path.stat().st_mtime_ns for path in (project / "exports").rglob("*") if path.is_file()}
    assert [found.is_new for found in export_all(project)] == [False] * len(MONTHS)
    assert warehouse_of(project).versions() == versions
    assert files_of(project / "exports") == files
    assert {path: path.stat().st_mtime_ns for path in changed} == changed
    export_all(project, to="elsewhere")
    assert files_of(project / "elsewhere") == files


def test_another_run_of_the_same_project_exports_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    run_through(root)
    export_all(root)
    assert files_of(root / "exports") == files_of(exported / "exports")


def test_a_newer_program_leaves_a_whole_batch_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_of(project / "exports")
    monkeypatch.setattr("meterhouse.exports.manifest.__version__", "99.0")
    found = export_all(project)
    assert files_of(project / "exports") == files
    assert "99.0" not in found[0].manifest["engine"]


def test_a_newer_program_that_had_to_write_a_batch_leaves_it_alone_then(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meterhouse.exports.manifest.__version__", "99.0")
    shutil.rmtree(newest(project))
    export_all(project, FULL)
    (newest(project) / "loaded.txt").write_text("by finance", encoding="utf-8")
    export_all(project, FULL)
    assert (newest(project) / "loaded.txt").exists()


def test_a_changed_month_is_a_new_batch_that_names_what_it_supersedes(project: Path) -> None:
    before = newest(project)
    files = files_of(project / "exports")
    edit(project / "subscriptions.csv", "s-ivy,ivy,gold,2026-02-01", "s-ivy,ivy,free,2026-02-15")
    run_through(project)
    found = {one.month: one for one in export_all(project)}
    assert {month for month, one in found.items() if one.is_new} == {FULL}
    manifest = manifest_of(newest(project))
    assert manifest["supersedes"] == manifest_of(before)["batch_id"]
    assert manifest["sequence"] == 5
    assert manifest["invoice_numbers_by_series"]["SMALL"] | {"first": "-"} == {
        "first": "-",
        "last": "SMALL-000026",
        "count": 16,
        "issued_in_other_months": 1,
        "missing": 0,
    }
    assert files_of(project / "exports").items() > files.items()


def test_a_month_that_is_again_what_it_was_is_a_batch_of_its_own(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a reader would go on with the batch in between: that of a program that described lines otherwise."""
    with monkeypatch.context() as patched:
        patched.setattr(batch, "content", described_otherwise)
        export_all(project, FULL)
    export_all(project, FULL)
    first, between, last = sorted((project / "exports" / FULL).iterdir())
    assert manifest_of(last)["supersedes"] == manifest_of(between)["batch_id"]
    assert manifest_of(last)["content_sha256"] == manifest_of(first)["content_sha256"]
    assert (last / "invoice_lines.csv").read_bytes() == (first / "invoice_lines.csv").read_bytes()


def described_otherwise(warehouse: Warehouse, month: str) -> dict[str, pl.DataFrame]:
    tables = content(warehouse, month)
    return tables | {"invoice_lines": tables["invoice_lines"].with_columns(description=pl.lit("a line"))}


@pytest.mark.parametrize("now", ["hal,x-8,Hal & Sons\n", ""])
def test_a_customer_renamed_or_removed_changes_no_batch(project: Path, now: str) -> None:
    edit(project / "customers.csv", "hal,crm-8,Hal\n", now)
    run_through(project)
    assert not any(found.is_new for found in export_all(project))


def test_an_invoice_names_its_customer_as_it_was_called_when_the_invoice_became_final(project: Path) -> None:
    edit(project / "customers.csv", "hal,crm-8,Hal\n", "hal,x-8,Hal & Sons\n")
    run_through(project, date(2026, 5, 31))
    export_all(project)
    named = {
        month: {(row["customer_name"], row["external_id"]) for row in rows_of(newest(project, month), "invoices")}
        for month in (FULL, "2026-05")
    }
    assert ("Hal", "crm-8") in named[FULL]
    assert ("Hal & Sons", "x-8") in named["2026-05"]
    assert not any("Hal & Sons" in row for row in named[FULL])


def test_late_events_do_not_change_what_was_exported(project: Path) -> None:
    write_file(project / "events", "late", [call("late", "ada", "2026-02-27T12:00:00Z", 50_000)])
    run_through(project)
    assert not any(found.is_new for found in export_all(project))


def test_a_month_without_final_invoices_is_refused(project: Path) -> None:
    with pytest.raises(MeterhouseError, match=r"No final invoices were issued in '2025-12'\. Months .*: 2026-01, "):
        export_all(project, FULL, "2025-12")


def test_a_folder_that_cannot_be_written_to_is_refused(project: Path) -> None:
    (project / "file").write_text("", encoding="utf-8")
    with pytest.raises(MeterhouseError, match=r"Batches cannot be written to .*file .* export again"):
        export_all(project, to="file")


# --- Damaged, or cut off ----------------------------------------------------------------------------------------------


def add_a_cent(folder: Path) -> None:
    edit(folder / "invoices.csv", ",56.97,", ",56.98,")


def cut_short(folder: Path) -> None:
    content = (folder / "invoice_lines.csv").read_bytes()
    (folder / "invoice_lines.csv").write_bytes(content[: content.rindex(b"s-")])


def remove_a_file(folder: Path) -> None:
    (folder / "usage.parquet").unlink()


def remove_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize("damage", [add_a_cent, cut_short, remove_a_file, remove_the_manifest])
def test_damage_fails_the_checksums_and_the_next_export_mends_it(project: Path, damage: Any) -> None:
    folder = newest(project)
    files = files_of(folder)
    assert sha256sum(folder).returncode == 0
    damage(folder)
    assert sha256sum(folder).returncode != 0
    assert not any(found.is_new for found in export_all(project, FULL))
    assert files_of(folder) == files


def test_checksums_changed_along_with_a_file_are_noticed_too(project: Path) -> None:
    folder = newest(project)
    files = files_of(folder)
    add_a_cent(folder)
    forged = hashlib.sha256((folder / "invoices.csv").read_bytes()).hexdigest()
    for name in ("SHA256SUMS", "manifest.json", "datapackage.json"):
        path = folder / name
        was = hashlib.sha256(files["invoices.csv"]).hexdigest()
        path.write_text(path.read_text(encoding="utf-8").replace(was, forged), encoding="utf-8")
    export_all(project, FULL)
    assert files_of(folder) == files


def test_what_others_put_into_a_batch_stays(project: Path) -> None:
    (newest(project) / "loaded.txt").write_text("by finance", encoding="utf-8")
    export_all(project, FULL)
    assert (newest(project) / "loaded.txt").exists()


class DiedError(Exception):
    """The process ends here."""


@pytest.mark.parametrize(
    ("owner", "step"),
    [
        pytest.param(batch, "manifest", id="in the middle of the files"),
        pytest.param(Warehouse, "append", id="not recorded"),
        pytest.param(batch, "_publish", id="recorded, not published"),
        pytest.param(Path, "rename", id="old one removed, not published"),
    ],
)
def test_an_export_cut_off_is_mended_by_the_next(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, step: str
) -> None:
    root = Path(shutil.copytree(exported, tmp_path / "copy"))
    shutil.rmtree(root / "exports")
    shutil.rmtree(root / "warehouse" / "exports")

    def die(*_arguments: object, **_named: object) -> None:
        raise DiedError

    with monkeypatch.context() as patched:
        patched.setattr(owner, step, die)
        with pytest.raises(DiedError):
            export_all(root)
    export_all(root)
    assert files_of(root / "exports") == files_of(exported / "exports")
    recorded = warehouse_of(root).scan("exports").sort("sequence").collect()
    assert recorded.equals(warehouse_of(exported).scan("exports").sort("sequence").collect())


def test_an_export_after_a_killed_run_first_finishes_what_the_run_began(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run dies when invoices are in their table and lines are not."""

    def append_invoices_and_die(warehouse: Warehouse, folder: Path) -> str:
        invoices = pl.read_parquet(folder / "invoices.parquet")
        warehouse.append("invoices", invoices, once=("invoices", int(folder.name)))
        raise DiedError

    root = make_project(tmp_path / "project")
    with monkeypatch.context() as patched:
        patched.setattr(journal, "_apply", append_invoices_and_die)
        with pytest.raises(DiedError):
            run_through(root)
    assert warehouse_of(root).scan("invoice_lines").collect().is_empty()
    export_all(root)
    assert files_of(root / "exports") == files_of(exported / "exports")


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        pytest.param("invoice_lines", pl.col("amount_minor") + 1, id="another amount"),
        pytest.param("invoice_lines", pl.lit("EUR").alias("currency"), id="another currency"),
        pytest.param("invoice_lines", None, id="no lines"),
        pytest.param("invoices", pl.col("total_minor") + 1, id="another total"),
        pytest.param("invoices", pl.col("lines") + 1, id="a line more"),
    ],
)
def test_an_invoice_that_is_not_the_sum_of_its_lines_is_not_exported(
    project: Path, table: str, damage: pl.Expr | None
) -> None:
    which = pl.col("invoice_id") == "s-ada/2/0"
    stored = warehouse_of(project).scan(table).collect()
    damaged = stored.filter(which).clear() if damage is None else stored.filter(which).with_columns(damage)
    for folder in (project / "exports", project / "warehouse" / "exports", project / "warehouse" / table):
        shutil.rmtree(folder)
    warehouse_of(project).append(table, pl.concat([stored.filter(~which), damaged]))
    with pytest.raises(WarehouseError, match=rf"Month {FULL} is not exported: 1 of its invoices .* first SMALL-"):
        export_all(project, FULL)
    assert not (project / "exports").exists()
    assert warehouse_of(project).scan("exports").collect().is_empty()


# --- What is in it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("month", MONTHS)
def test_control_totals_are_those_of_the_files_and_of_the_tables(exported: Path, month: str) -> None:
    folder = newest(exported, month)
    manifest, invoices, lines = manifest_of(folder), rows_of(folder, "invoices"), rows_of(folder, "invoice_lines")
    stored = warehouse_of(exported).scan("invoices").filter(month=month).collect()
    for currency, totals in manifest["totals_by_currency"].items():
        mine = [invoice for invoice in invoices if invoice["currency"] == currency]
        minor = sum(int(invoice["total_minor"]) for invoice in mine)
        assert totals["invoices"] == len(mine)
        assert totals["zero_invoices"] == sum(invoice["is_zero"] == "true" for invoice in mine)
        assert totals["total_minor"] == totals["lines_total_minor"] == minor
        assert Decimal(totals["total"]) == sum(Decimal(invoice["total"]) for invoice in mine)
        assert minor == sum(int(line["amount_minor"]) for line in lines if line["currency"] == currency)
        assert minor == stored.filter(currency=currency)["total_minor"].sum()
    assert manifest["totals_by_currency"].keys() == {invoice["currency"] for invoice in invoices}
    assert manifest["quantity_by_meter"] == sums(rows_of(folder, "usage"), "meter", "quantity")
    assert manifest["credit_units_by_kind"] == sums(rows_of(folder, "credit_ledger"), "kind", "units")
    for file in manifest["files"]:
        content = (folder / file["path"]).read_bytes()
        assert file["bytes"] == len(content)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()


def sums(rows: list[dict[str, str]], group: str, value: str) -> dict[str, str]:
    ordered = sorted(rows, key=lambda row: row[group])
    return {
        name: f"{sum((Decimal(row[value]) for row in mine if row[value]), Decimal(0)):.12f}"
        for name, mine in groupby(ordered, key=lambda row: row[group])
    }


def test_numbers_of_each_series_count_for_themselves(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    run_through(root, date(2026, 3, 10))
    edit(root / "meterhouse.yaml", "invoice_series: SMALL", "invoice_series: B-2")
    run_through(root)
    export_all(root, FULL)
    folder = newest(root)
    given = manifest_of(folder)["invoice_numbers_by_series"]
    assert [(one["first"], one["missing"]) for one in given.values()] == [("B-2-000001", 0), ("SMALL-000010", 0)]
    assert list(given) == ["B-2", "SMALL"]
    assert sum(one["count"] for one in given.values()) == len(rows_of(folder, "invoices"))


def test_amounts_have_the_digits_of_their_currency(exported: Path) -> None:
    seen = {}
    for month in MONTHS:
        for table, name in (("invoices", "total"), ("invoice_lines", "amount")):
            for row in rows_of(newest(exported, month), table):
                seen[row["currency"]] = row[name]
                digits = minor_digits(row["currency"])
                assert Decimal(row[name]) == Decimal(row[f"{name}_minor"]).scaleb(-digits)
                assert len(row[name].partition(".")[2]) == digits
    assert seen.keys() == {"EUR", "JPY", "KWD", "USD"}


def test_steps_and_lines_add_up_from_the_files_alone(exported: Path) -> None:
    for month in MONTHS:
        folder = newest(exported, month)
        lines = {(line["invoice_id"], line["line_no"]): line for line in rows_of(folder, "invoice_lines")}
        steps: dict[tuple[str, str], Decimal] = {}
        for step in rows_of(folder, "rated_lines"):
            key = (step["invoice_id"], step["line_no"])
            amount = Decimal(step["quantity"]) * Decimal(step["unit_amount_minor"]) + Decimal(step["flat_amount_minor"])
            assert amount == Decimal(step["amount_minor_unrounded"])
            steps[key] = steps.get(key, Decimal(0)) + amount
        for key, line in lines.items():
            if line["kind"] == "usage":
                assert Decimal(line["uncapped_minor_unrounded"]) == steps.get(key, 0)


@pytest.mark.parametrize("table", EXPORTED)
def test_csv_and_parquet_hold_the_same(exported: Path, table: str) -> None:
    """Read by DuckDB, which is neither of the two programs that wrote them."""
    connection = duckdb.connect()
    for month in MONTHS:
        folder = newest(exported, month)
        in_parquet = f"FROM '{folder / table}.parquet'"
        types = connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE {in_parquet})").fetchall()
        texts = dict.fromkeys((name for name, _ in types), "VARCHAR")
        typed = ", ".join(f'CAST("{name}" AS {kind})' for name, kind in types)
        in_csv = f"SELECT {typed} FROM read_csv('{folder / table}.csv', header = true, columns = {texts})"
        for one, other in ((in_csv, in_parquet), (in_parquet, in_csv)):
            assert connection.execute(f"SELECT count(*) FROM (({one}) EXCEPT ALL ({other}))").fetchall() == [(0,)]
        noted = [file["rows"] for file in manifest_of(folder)["files"] if file["path"].startswith(f"{table}.")]
        assert connection.execute(f"SELECT count(*) FROM ({in_csv})").fetchall() * 2 == [(rows,) for rows in noted]


# --- Another reader ---------------------------------------------------------------------------------------------------


def validate(folder: Path) -> dict[str, list[str]]:
    """What `frictionless validate` finds: kinds of errors by table."""
    command = [sys.executable, "-W", "ignore", "-m", "frictionless", "validate", "datapackage.json", "--json"]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    report = json.loads(found.stdout)
    assert report["valid"] == (found.returncode == 0)
    assert report["errors"] == []
    return {task["name"]: [error["type"] for error in task["errors"]] for task in report["tasks"] if task["errors"]}


@pytest.mark.parametrize("month", ["2026-01", FULL])
def test_a_batch_is_a_valid_data_package(exported: Path, month: str) -> None:
    assert validate(newest(exported, month)) == {}


def test_the_validator_finds_what_is_broken(project: Path) -> None:
    """Else its green would mean nothing."""
    folder = newest(project)
    add_a_cent(folder)
    edit(folder / "invoices.csv", "s-ada/", "s-adam/")
    found = validate(folder)
    assert "hash-count" in found["invoices"]
    assert "foreign-key" in found["invoice_lines"]
