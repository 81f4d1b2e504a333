"""Small projects for tests: a folder with settings, a catalog and people."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import TYPE_CHECKING, Final

import pytest

from meterhouse.catalog import read_project
from meterhouse.errors import ProjectError

if TYPE_CHECKING:
    from pathlib import Path

    from meterhouse.catalog import Project

SETTINGS: Final = "name: Test"


def write_project(root: Path, catalog: str, settings: str = SETTINGS, **files: str) -> Path:
    """A project whose catalog is one file; further files go by name, `__` for the point: `customers__csv`."""
    contents = {"meterhouse.yaml": settings, "catalog/catalog.yaml": catalog}
    contents |= {name.replace("__", "."): content for name, content in files.items()}
    for name, content in contents.items():
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_text(dedent(content), encoding="utf-8")
    return root


def project(root: Path, catalog: str, settings: str = SETTINGS) -> Project:
    """A project as it is read."""
    return read_project(write_project(root, catalog, settings))


def refusal(root: Path, catalog: str, settings: str = SETTINGS) -> str:
    """What is said where a project cannot be used; the folder reads `.`, and lines of the file are left out."""
    return re.sub(r"(?m)^  line \d+: ", "  ", refusal_with_lines(root, catalog, settings))


def refusal_with_lines(root: Path, catalog: str, settings: str = SETTINGS) -> str:
    """The same, with the lines of the file."""
    write_project(root, catalog, settings)
    with pytest.raises(ProjectError) as refused:
        read_project(root)
    return str(refused.value).replace(str(root), ".")
