"""What each step of a run was last made from: where that is the same, it need not be done again (rule 8.1).

A cache beside the tables. Where it is lost, the step is done again and finds that it changes nothing.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from meterhouse import __version__
from meterhouse.planning.fingerprints import digest
from meterhouse.tables import WAREHOUSE
from meterhouse.warehouse.commit import write_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meterhouse.warehouse import Warehouse

FILE: Final = "_index/steps.json"


class Done(msgspec.Struct, frozen=True):
    """A step that is over, and what it found."""

    inputs: str
    found: Any


def inputs_of(warehouse: Warehouse, tables: Iterable[str], *others: str) -> str:
    """The digest of what a step is made from: tables as they are stored now, and whatever else."""
    stamps = (part for table in tables for part in (table, warehouse.stamp(table)))
    return digest(__version__, *stamps, *others)


def is_done(warehouse: Warehouse, step: str, inputs: str) -> bool:
    """Whether the step was last done from these inputs."""
    done = _read(warehouse).get(step)
    return done is not None and done.inputs == inputs


def note_done(warehouse: Warehouse, step: str, inputs: str, found: object = None) -> None:
    """Keep that the step is over."""
    write_cache(warehouse.root / FILE, msgspec.json.encode({**_read(warehouse), step: Done(inputs, found)}))


def remembered(warehouse: Warehouse, step: str, find: Callable[[], Any]) -> Any:  # noqa: ANN401 - any JSON
    """What was found in the tables, looked for again only where one of them has changed."""
    inputs = inputs_of(warehouse, WAREHOUSE)
    done = _read(warehouse).get(step)
    if done is not None and done.inputs == inputs:
        return done.found
    found = find()
    # Who only looks makes no folder where none is, and may not be allowed to write.
    if (warehouse.root / FILE).exists():
        with suppress(OSError):
            note_done(warehouse, step, inputs, found)
    return found


def _read(warehouse: Warehouse) -> dict[str, Done]:
    try:
        return msgspec.json.decode((warehouse.root / FILE).read_bytes(), type=dict[str, Done])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
