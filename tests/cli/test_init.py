"""`meterhouse init`: the example is complete, runs, and says what to do next."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from meterhouse.catalog import Settings, read_project
from tests.cli.conftest import ROOT, Commands

TEMPLATE = ROOT / "src" / "meterhouse" / "cli" / "template"


def test_it_makes_a_project_that_can_be_read(example: Commands) -> None:
    project = read_project(example.project)
    assert project.settings.name == "Example"
    assert (example.project / ".gitignore").read_text(encoding="utf-8").splitlines()[1:] == ["/warehouse/", "/exports/"]


def test_it_names_every_setting() -> None:
    text = (TEMPLATE / "meterhouse.yaml").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"{name}:" not in text] == []


def test_it_shows_each_kind_of_price_and_a_benefit() -> None:
    products = yaml.safe_load((TEMPLATE / "catalog" / "products.yaml").read_text(encoding="utf-8"))["products"]
    prices = [price for product in products.values() for price in product["prices"]]
    assert {price["kind"] for price in prices} == {"fixed", "unit", "graduated", "volume"}
    assert {key for price in prices for key in price} >= {"included", "cap", "per", "billed"}
    assert [product["benefits"] for product in products.values() if "benefits" in product]


def test_it_refuses_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    ended = Commands(tmp_path)("init", str(tmp_path))
    assert ended.code == 2
    assert "not an empty folder" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_it_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert Commands(tmp_path)("init", str(tmp_path / "file")).code == 2


def test_it_takes_an_empty_folder(tmp_path: Path) -> None:
    ended = Commands(tmp_path)("init", str(tmp_path), "--json")
    assert ended.code == 0
    assert "events/2026-01-05.jsonl" in ended.document["files"]


def test_commands_that_it_prints_work_as_printed(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "80"}
    meterhouse = [sys.executable, "-W", "error", "-m", "meterhouse"]

    def run(words: list[str]) -> str:
        ended = subprocess.run(
            [*meterhouse, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert "Warning" not in ended.stderr
        return ended.stdout

    shown = run(["init", "my project"])
    printed = [line for line in shown.splitlines() if line.startswith("  ")]
    assert len(printed) == 4
    for line in printed:
        command = line.strip().partition("  ")[0]
        run(shlex.split(command[command.index("--project") :]))
