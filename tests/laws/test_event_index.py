"""Whatever was appended and joined, looking an event up in the index is a plain join with all stored events."""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime, timedelta
from typing import Final
from unittest import mock

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meterhouse.planning.events import WarehouseEvents
from meterhouse.tables import Events, schema_of
from meterhouse.warehouse import Warehouse, runs

IDS: Final = st.integers(0, 40).map(lambda number: f"e{number}")
SOURCES: Final = st.sampled_from(["user", "system", "e1", "ü"])
KEYS: Final = st.tuples(SOURCES, IDS)
DAYS: Final = st.integers(0, 3).map(lambda days: date(2026, 1, 1) + timedelta(days=days * 400))
STEPS: Final = st.lists(st.one_of(st.dictionaries(KEYS, DAYS, min_size=1), st.just("join")), max_size=6)


def events(days: dict[tuple[str, str], date]) -> pl.DataFrame:
    instant = datetime(2026, 1, 1, tzinfo=UTC)
    given = [
        {
            "source": source,
            "event_id": event_id,
            "name": "-",
            "metadata": "{}",
            "file_id": "f",
            "position": 1,
            "timestamp": instant,
            "received_at": instant,
            "date": day,
        }
        for (source, event_id), day in days.items()
    ]
    return pl.DataFrame(given, schema=schema_of(Events))


@given(STEPS, st.lists(KEYS, unique=True))
def test_known_events_are_those_of_a_plain_join(
    steps: list[dict[tuple[str, str], date] | str], asked: list[tuple[str, str]]
) -> None:
    keys = events(dict.fromkeys(asked, date(2026, 1, 1))).select("source", "event_id", "date")
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.multiple(runs, SMALLEST_TIER=4, FILE_NUMBERS=8),
    ):
        warehouse = Warehouse(folder)
        stored: set[tuple[str, str]] = set()
        for step in steps:
            if isinstance(step, str):
                warehouse.compact("events", files=1)
                continue
            new = {key: day for key, day in step.items() if key not in stored}
            stored |= new.keys()
            warehouse.append("events", events(new))
            known = WarehouseEvents(warehouse).known_events(keys)
            expected = warehouse.scan("events").collect().join(keys, on=["source", "event_id"], how="semi")
            assert_frame_equal(known, expected, check_row_order=False)
