"""What is committed: no machine, no registry, everything described."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest
from pydantic import BaseModel

from docs.examples import ROOT
from meterhouse.catalog.project import Catalog
from meterhouse.catalog.settings import Settings
from meterhouse.tables import WAREHOUSE

FORBIDDEN = {
    "a line that names a package index": re.compile(
        r"^\s*--?(extra-)?index-url|^\s*--find-links|^\s*-[if] ", re.IGNORECASE
    ),
    "a host of a package registry": re.compile("py" + r"pi\.(org|python)|pythonhosted\.|/simp" + "le/", re.IGNORECASE),
    "a path of a machine": re.compile(r"(?<![\w.])/(ho" + r"me|ro" + r"ot|Us" + r"ers|wo" + r"rk)/\w"),
}


def _git(*arguments: str) -> str:
    # A build server may own the checkout as somebody else, which git takes for an attack.
    command = ["git", "-c", "safe.directory=*", *arguments]
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _tracked_text() -> dict[str, str]:
    texts = {}
    for name in filter(None, _git("ls-files", "-z").split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            texts[name] = content.decode("utf-8", errors="replace")
    return texts


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in _tracked_text().items()
        # Real events may hold anything.
        if not name.startswith("data/") or name.endswith((".md", ".yaml"))
        for number, line in enumerate(text.splitlines(), start=1)
        if FORBIDDEN[what].search(line)
    ]
    assert found == [], f"{what} must not be committed"


def test_what_runs_write_is_ignored() -> None:
    paths = [
        ".venv/x",
        ".dagster/x",
        "build/x",
        "data/sample/warehouse/invoices/x.parquet",
        "data/sample/exports/x.csv",
    ]
    assert _git("check-ignore", "--no-index", *paths).split() == paths


def test_every_requirement_is_locked_with_hashes() -> None:
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z0-9])", lock.partition("\n")[2].strip())
    locked = {re.split(r"[=\[ ]", entry)[0] for entry in entries}
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry or "==" not in entry] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert {re.split(r"[=<>\[ ]", name)[0].lower() for name in direct} <= locked


def test_every_dependency_says_what_it_is_for() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    start = lines.index("dependencies = [")
    listed = [line for line in lines[start : lines.index("[project.scripts]")] if line.startswith('    "')]
    assert listed
    assert [line for line in listed if not re.search(r",\s+# \S", line)] == []


@pytest.mark.parametrize("model", [Settings, Catalog])
def test_every_setting_is_described(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    definitions = {model.__name__: schema, **schema.get("$defs", {})}
    undescribed = [
        f"{name}.{field}"
        for name, definition in definitions.items()
        for field, declared in definition.get("properties", {}).items()
        if not declared.get("description") and "const" not in declared and "enum" not in declared
    ]
    assert undescribed == []
    assert [
        name
        for name, definition in definitions.items()
        if "properties" in definition and not definition.get("description")
    ] == []


@pytest.mark.parametrize("name", WAREHOUSE)
def test_every_table_and_column_is_described(name: str) -> None:
    table = WAREHOUSE[name].table
    assert (table.__doc__ or "").rstrip().endswith((".", ")"))
    assert [column for column, declared in table.columns().items() if not declared.description] == []
