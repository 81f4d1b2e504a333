"""A unit changes how quantities and prices are shown, and no amount (rule 2.4)."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import polars as pl
import yaml
from polars.testing import assert_frame_equal

from meterhouse.catalog import read_project
from meterhouse.planning import run
from meterhouse.tables import WAREHOUSE
from meterhouse.warehouse import Warehouse
from tests.oracle.projects import LANDED_AT, SECOND, write_events, write_project

if TYPE_CHECKING:
    from pathlib import Path

BILLED = ("usage", "invoices", "invoice_lines", "rated_lines", "credit_ledger", "estimates")


def billed(root: Path, units: dict[str, object]) -> dict[str, pl.DataFrame]:
    """The tables of a random project, whose meters have these units."""
    draw = Random(7)
    write_project(root, draw)
    write_events(root, draw, "first", events=80, days=30)
    file = root / "catalog" / "meters.yaml"
    meters = yaml.safe_load(file.read_text())["meters"]
    file.write_text(yaml.safe_dump({"meters": {name: {**meter, **units} for name, meter in meters.items()}}))
    project = read_project(root)
    run(project, SECOND, LANDED_AT)
    warehouse = Warehouse(str(project.warehouse))
    return {name: warehouse.scan(name).collect() for name in WAREHOUSE}


def test_another_label_and_multiplier_change_no_quantity_and_no_amount(tmp_path: Path) -> None:
    plain = billed(tmp_path / "plain", {})
    shown = billed(tmp_path / "shown", {"unit": {"label": "token", "multiplier": 1000000}})
    assert set(shown["meters"]["unit"]) == {"token"}
    for name in BILLED:
        assert not plain[name].is_empty()
        assert_frame_equal(shown[name], plain[name], check_row_order=False)
