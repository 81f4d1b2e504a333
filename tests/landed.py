"""Events for tests: landed into memory, written as JSON lines, and counted again without the program's help."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from meterhouse.landing import land_folder
from tests.records import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from meterhouse.catalog import Settings
    from meterhouse.landing import LandingReport

LANDED_AT: Final = datetime(2026, 2, 28, tzinfo=UTC)

_ENOUGH_DIGITS: Final = 60


def land(folder: Path, settings: Settings, store: MemoryStore | None = None) -> tuple[MemoryStore, LandingReport]:
    """Land a folder of event files."""
    kept = MemoryStore() if store is None else store
    return kept, land_folder(folder, kept, settings, LANDED_AT)


def write_lines(events: pl.DataFrame, path: Path) -> None:
    """Write events as JSON lines. The metadata stays the text that it is, so that no digit changes."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(map(_line, events.iter_rows(named=True)))


def _line(event: dict[str, Any]) -> str:
    fields = json.dumps({**event, "timestamp": event["timestamp"].isoformat(), "metadata": None})
    return f"{fields.removesuffix('null}')}{event['metadata']}}}\n"


@dataclass
class Count:
    """What some events amount to: how many there are, and the values of some of their properties."""

    events: int = 0
    values: dict[str, list[Decimal | str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, metadata: dict[str, Any], properties: Iterable[str]) -> None:
        """Count one event."""
        self.events += 1
        for name in properties:
            value = metadata.get(name)
            if value is not None:
                self.values[name].append(value)

    def skipped(self, name: str) -> int:
        """How many events have no value of a property."""
        return self.events - len(self.values[name])

    def total(self, name: str) -> Decimal:
        """The exact sum of a property."""
        with localcontext(prec=_ENOUGH_DIGITS):
            return sum(self.numbers(name), start=Decimal(0))

    def greatest(self, name: str) -> Decimal | None:
        """The largest value of a property; None without values."""
        return max(self.numbers(name), default=None)

    def distinct(self, name: str) -> Decimal:
        """How many different values a property has."""
        return Decimal(len(set(self.values[name])))

    def numbers(self, name: str) -> Iterator[Decimal]:
        """The values of a property that holds numbers."""
        return (Decimal(value) for value in self.values[name])


def read_metadata(text: str) -> dict[str, Any]:
    """A JSON object with exact numbers."""
    metadata: dict[str, Any] = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return metadata
