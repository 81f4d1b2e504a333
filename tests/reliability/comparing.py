"""What tests of whole runs share: the constants of the small project, and how two warehouses are compared."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from meterhouse.auditing import audit
from tests.small_project import contents, rows, warehouse_of

FEBRUARY = date(2026, 2, 28)
MIDDLE = date(2026, 3, 20)

FINAL = ("invoices", "invoice_lines", "rated_lines", "credit_ledger")
BILLED = (*FINAL, "usage", "usage_daily", "billing_periods", "estimates")
"""What a run is for; beside it stands what it remembers of files and runs."""


def copied(root: Path, folder: Path) -> Path:
    return Path(shutil.copytree(root, folder / "copy"))


def assert_same(found: dict[str, pl.DataFrame], expected: dict[str, pl.DataFrame]) -> None:
    assert found.keys() == expected.keys()
    different = [table for table, frame in expected.items() if not frame.equals(found[table])]
    for table in different:
        assert_frame_equal(found[table], expected[table])
    assert different == []


def numbers(root: Path) -> list[int]:
    return [sequence for (sequence,) in rows(root, "invoices", "sequence")]


def final(root: Path) -> dict[str, pl.DataFrame]:
    return contents(root, FINAL)


def all_pass(root: Path) -> bool:
    """Whether the audit agrees with all that is stored."""
    return all(finding.passed for finding in audit(warehouse_of(root)))
