"""Several append-only tables change together, whatever instant the process dies."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from meterhouse.errors import WarehouseError
from meterhouse.warehouse import Warehouse, commit_together, journal, recover
from tests.reliability.writer import file_of, run_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl


class Died(BaseException):
    """The process ends here."""


def batch(sequence: int) -> dict[str, pl.DataFrame]:
    return {"runs": run_of(sequence), "landed_files": file_of(sequence)}


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """A warehouse with batch 1."""
    opened = Warehouse(str(tmp_path))
    assert commit_together(opened, "batch 1", 1, batch(1))
    return opened


class Death(NamedTuple):
    """The process ends where this would be called for the n-th time."""

    owner: object
    step: str
    call: int

    def stand_in(self) -> Callable[..., object]:
        real = getattr(self.owner, self.step)
        calls = iter(range(1, self.call))

        def real_until_then(*arguments: object, **named: object) -> object:
            if next(calls, None) is None:
                raise Died
            return real(*arguments, **named)

        return real_until_then


def die_in_batch_2(warehouse: Warehouse, death: Death) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(death.owner, death.step, death.stand_in())
        with pytest.raises(Died):
            commit_together(warehouse, "batch 2", 2, batch(2))


@pytest.mark.parametrize(
    ("death", "batches_after"),
    [
        pytest.param(Death(Path, "mkdir", 1), 1, id="before the journal"),
        pytest.param(Death(Path, "write_text", 1), 1, id="in the middle of the journal"),
        pytest.param(Death(journal, "sync_files", 1), 1, id="journal not on the disk"),
        pytest.param(Death(Path, "rename", 1), 1, id="journal not renamed"),
        pytest.param(Death(journal, "_apply", 1), 2, id="nothing appended"),
        pytest.param(Death(Warehouse, "append", 2), 2, id="one of two tables appended"),
        pytest.param(Death(journal, "_remove", 1), 2, id="all appended"),
        pytest.param(Death(Path, "rename", 2), 2, id="journal not marked as done"),
        pytest.param(Death(shutil, "rmtree", 1), 2, id="journal not deleted"),
    ],
)
def test_after_a_death_at_any_step_the_batch_is_in_all_tables_or_in_none(
    warehouse: Warehouse, death: Death, batches_after: int
) -> None:
    die_in_batch_2(warehouse, death)
    recover(warehouse)
    for table in ("runs", "landed_files"):
        assert warehouse.scan(table).collect().height == batches_after
    assert commit_together(warehouse, "batch 2", 2, batch(2)) == (batches_after == 1)
    assert commit_together(warehouse, "batch 3", 3, batch(3))
    for table in ("runs", "landed_files"):
        assert warehouse.scan(table).collect().height == 3
    assert list((warehouse.root / "_journal").iterdir()) == []


def test_recovery_names_the_batches_that_it_finished(warehouse: Warehouse) -> None:
    die_in_batch_2(warehouse, Death(Warehouse, "append", 1))
    assert recover(warehouse) == ["batch 2"]
    assert recover(warehouse) == []


def test_a_batch_of_a_sequence_already_written_changes_nothing(warehouse: Warehouse) -> None:
    versions = warehouse.versions()
    assert not commit_together(warehouse, "batch 1", 1, batch(1))
    assert warehouse.versions() == versions


def test_a_table_without_rows_keeps_count_of_the_batch(warehouse: Warehouse) -> None:
    assert commit_together(warehouse, "batch 2", 2, batch(2) | {"landed_files": file_of(2).clear()})
    assert warehouse.sequence("landed_files", "landed_files") == 2
    assert warehouse.scan("landed_files").collect().height == 1


def test_a_sequence_that_only_some_of_the_tables_have_is_refused(warehouse: Warehouse) -> None:
    told = r"tables \['runs'\] are at batch 1 already, tables \['exports'\] are not"
    with pytest.raises(WarehouseError, match=told):
        commit_together(warehouse, "-", 1, {"runs": run_of(9), "exports": warehouse.scan("exports").collect()})


def test_a_batch_that_breaks_a_rule_leaves_no_journal_behind(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="'run 1'"):
        commit_together(warehouse, "batch 2", 2, {"landed_files": file_of(2), "runs": run_of(1)})
    assert recover(warehouse) == []
    assert warehouse.scan("landed_files").collect().height == 1
