"""Projects that commands are tried on: made and run once, and copied where a test changes something."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from meterhouse.cli.app import app

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Commands:
    """The command line, on one project and a screen of one width."""

    project: Path
    columns: int = 100

    def __call__(self, *words: str) -> Ended:
        environment = {"COLUMNS": str(self.columns), "NO_COLOR": "1", "TERM": "dumb"}
        ended = CliRunner(env=environment).invoke(app, ["--project", str(self.project), *words])
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return Ended(ended.exit_code, ended.stdout, ended.stderr)


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The project of `meterhouse init`, run through the day on which its first invoices are final."""
    folder = tmp_path_factory.mktemp("made") / "example"
    commands = Commands(folder)
    assert commands("init", str(folder)).code == 0
    assert commands("run", "--through", "2026-02-02", "--landed-at", "2026-02-03").code == 0
    return commands


@pytest.fixture
def copy(example: Commands, tmp_path: Path) -> Commands:
    """A copy of the example that a test may change."""
    shutil.copytree(example.project, tmp_path / "copy")
    return Commands(tmp_path / "copy")


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """The sample of AI usage, in the middle of a month: final invoices and drafts in two currencies, capped lines."""
    folder = tmp_path_factory.mktemp("sample") / "ai-usage"
    shutil.copytree(ROOT / "data" / "ai-usage", folder, ignore=shutil.ignore_patterns("warehouse", "exports"))
    commands = Commands(folder)
    assert commands("run", "--through", "2026-02-15", "--landed-at", "2026-02-16").code == 0
    return commands
