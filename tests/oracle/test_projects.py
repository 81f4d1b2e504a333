"""Random projects from files to invoices: the audit passes after every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.oracle.engine import assert_passes
from tests.oracle.projects import bill_twice

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("seed", range(3))
def test_every_run_of_a_random_project_passes_the_audit(tmp_path: Path, seed: int) -> None:
    first, second = bill_twice(tmp_path / "project", seed)

    assert_passes([*first, *second])
    assert {finding.check for finding in second if finding.compared == 0} <= {"fees"}
    assert {finding.check for finding in second if finding.differing} == {"late_usage", "changed_prices"}
