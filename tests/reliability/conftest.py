"""The small project after one run, for tests of whole runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.reliability.comparing import copied
from tests.small_project import make_project, run_through, without_waiting_for_the_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    with without_waiting_for_the_disk():
        yield


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after one run through its last day. Copy it before changing it."""
    root = make_project(tmp_path_factory.mktemp("uninterrupted") / "project")
    run_through(root)
    return root


@pytest.fixture
def ran(uninterrupted: Path, tmp_path: Path) -> Path:
    """A copy of the project after one run."""
    return copied(uninterrupted, tmp_path)
