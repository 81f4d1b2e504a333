"""Steps of meterhouse that no command has, each in a process of its own: `python -m benchmarks.steps STEP PROJECT`."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from meterhouse.catalog import Project, read_project
from meterhouse.planning import define, meter
from meterhouse.warehouse import Warehouse

_AFTER_ALL: Final = datetime(2026, 2, 1, tzinfo=UTC)
_OF_METERING: Final = ("usage_daily", "sent_ids", "fingerprints")


def main(step: str, root: str) -> None:
    """Run a step."""
    project = read_project(Path(root))
    warehouse = Warehouse(str(project.warehouse))
    match step:
        case "meter":
            meter(project, warehouse, _AFTER_ALL)
        case "forget":
            forget(project)
        case "define":
            define(project, warehouse, _AFTER_ALL)
        case "files":
            print(*(unquote(uri.removeprefix("file://")) for uri in warehouse.file_uris("events")), sep="\n")
        case _:
            message = f"There is no step {step}."
            raise ValueError(message)


def forget(project: Project) -> None:
    """Take away what metering wrote, so that it is to be done again."""
    for table in _OF_METERING:
        shutil.rmtree(project.warehouse / table, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
