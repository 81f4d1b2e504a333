"""The project that runs work on: the one way in which steps reach files and tables."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import dagster as dg
from pydantic import Field

from meterhouse.catalog import Project, read_project
from meterhouse.errors import MeterhouseError, WarehouseBusy
from meterhouse.warehouse import Warehouse, recover

PROJECT_VARIABLE: Final = "METERHOUSE_PROJECT"
SAMPLE: Final = Path(__file__).parents[2] / "data" / "ai-usage"

_TRIES_WHERE_BUSY: Final = 5
_SECONDS_WHERE_BUSY: Final = 60


class ProjectFolder(dg.ConfigurableResource["ProjectFolder"]):
    """A project folder and its warehouse."""

    folder: str = Field(description=f"The project's folder. Default: ${PROJECT_VARIABLE}, else the sample `ai-usage`.")
    landed_at: str | None = Field(
        default=None, description="Clock of landings as ISO text, for runs that must repeat exactly. Default: now."
    )

    def clock(self) -> datetime:
        """The instant at which files are landed."""
        return datetime.now(UTC) if self.landed_at is None else datetime.fromisoformat(self.landed_at)

    def read(self) -> Project:
        """The project, read and checked."""
        with told_to_dagster():
            return read_project(Path(self.folder))

    def warehouse(self) -> Warehouse:
        """The project's warehouse, to read from."""
        with told_to_dagster():
            return Warehouse(str(self.read().warehouse))

    @contextmanager
    def writing(self) -> Iterator[tuple[Project, Warehouse]]:
        """Hold the warehouse for one step; what a dead run left unfinished is finished first."""
        with told_to_dagster():
            project = self.read()
            warehouse = Warehouse(str(project.warehouse))
            with warehouse.lock():
                recover(warehouse)
                yield project, warehouse


def project_folder() -> str:
    """The folder that runs work on: from the environment, else the sample of the checkout."""
    return os.environ.get(PROJECT_VARIABLE) or str(SAMPLE)


@contextmanager
def told_to_dagster() -> Iterator[None]:
    """A busy warehouse is tried again later; what else a user can mend ends the run with the message that says how."""
    try:
        yield
    except WarehouseBusy as busy:
        raise dg.RetryRequested(_TRIES_WHERE_BUSY, _SECONDS_WHERE_BUSY) from busy
    except MeterhouseError as fault:
        raise dg.Failure(str(fault), allow_retries=False) from fault
