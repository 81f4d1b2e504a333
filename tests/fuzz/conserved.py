"""What must hold of any bytes that are landed, whatever they are (rules 1.4, 8.6)."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import TYPE_CHECKING, Final

from meterhouse.auditing.metadata import properties_of
from meterhouse.catalog.settings import Limits, Settings
from meterhouse.catalog.sources import Csv
from meterhouse.landing import EXPLANATIONS, FileToLand, Origin, land_folder, read_batches
from meterhouse.landing.formats.delimited import Rows
from meterhouse.landing.formats.elements import Elements
from meterhouse.landing.formats.lines import BYTE_ORDER_MARK, Lines
from meterhouse.landing.properties.metadata import type_with_care
from meterhouse.tables.properties import property_columns
from tests.records import CLOCK, DyingStore, read_in_all_ways

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

    from meterhouse.landing import Batch

LIMITS: Final = Limits(max_record_bytes=2048, max_record_depth=10, max_record_properties=20)
"""Small ones, so that inputs of some hundred bytes pass them."""

TINY: Final = Settings(name="test", missing_customer="unattributed", limits=LIMITS)


def check_reading(name: str, content: bytes, chunk_rows: int) -> list[Batch]:
    """Read a file and check that each record became an event or a refusal, and that properties are what was sent."""
    with TemporaryDirectory(prefix="fuzz") as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        origin = Origin("file", name, TINY, CLOCK)
        batches = list(read_batches(FileToLand(path, name), origin, chunk_rows=chunk_rows))
    for batch in batches:
        check_refusals(batch.rejected)
        check_properties(batch.events)
    positions = [
        row for batch in batches for part in (batch.events, batch.voids, batch.rejected) for row in part["position"]
    ]
    assert len(positions) == len(set(positions)), "a record is there twice"
    if name.endswith((".jsonl", ".ndjson")):
        assert sorted(positions) == records_of(content), "a record is lost or made up"
        # Lines are read many at once, and with care: both must agree.
        read_in_all_ways(content.split(b"\n"), missing_customer="unattributed")
    return batches


def check_landing(name: str, content: bytes, batch_rows: int) -> DyingStore:
    """Land a file twice, and check that all adds up and the second time changes nothing."""
    with TemporaryDirectory(prefix="fuzz") as folder:
        (Path(folder) / name).write_bytes(content)
        store = DyingStore()
        land_folder(Path(folder), store, TINY, CLOCK, batch_rows=batch_rows)
        again = land_folder(Path(folder), store, TINY, CLOCK, batch_rows=batch_rows)
    assert again.files.is_empty()
    assert again.seen_before == 1
    (noted,) = store.table("landed_files").to_dicts()
    kept = {"events": "events", "rejected": "rejected_events", "duplicates": "event_duplicates"}
    kept |= {"conflicts": "event_conflicts", "voids": "voids"}
    assert noted["records"] == sum(noted[kind] for kind in kept)
    assert all(store.table(table).height == noted[count] for count, table in kept.items())
    return store


def check_parts(content: bytes) -> None:
    """Cut some bytes into records in each way, and type them as metadata; far quicker than landing them."""
    with NamedTemporaryFile(prefix="fuzz") as file:
        file.write(content)
        file.flush()
        path = Path(file.name)
        numbers = [number for block in Lines(path, LIMITS) for number in block.lines["position"]]
        assert numbers == records_of(content), "a line is lost or made up"
        elements = Elements(path, LIMITS)
        for number, element in elements:
            assert element.strip(b" \t\r\n"), "a record without content"
            assert number in elements.cut or len(element) <= LIMITS.max_record_bytes
        lines = [row.line for row in Rows(path, Csv(), LIMITS)]
        assert lines == sorted(set(lines)), "a row is there twice"
    check_typing(content)


def check_typing(content: bytes) -> None:
    """Type some bytes as metadata, or refuse them."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return
    typed = type_with_care([text], LIMITS)
    for fault in typed.faults.values():
        assert fault.explanation().endswith(".")
    if not typed.faults:
        values = {held: column[0] for held, column in typed.columns.items() if column[0] is not None}
        assert values == properties_of(text)


def records_of(content: bytes) -> list[int]:
    """Numbers of the lines that are not blank."""
    lines = content.removeprefix(BYTE_ORDER_MARK).split(b"\n")
    return [number for number, line in enumerate(lines, start=1) if line.strip()]


def check_refusals(rejected: pl.DataFrame) -> None:
    """Each refusal names a known reason and says what to do."""
    for row in rejected.iter_rows(named=True):
        assert row["reason"] in EXPLANATIONS, row
        assert row["explanation"].endswith("."), row
        assert row["position"] == 0 or row["record"], row


def check_properties(events: pl.DataFrame) -> None:
    """Typed columns hold what the metadata says, read again by other code."""
    columns = property_columns(events.columns)
    for event in events.iter_rows(named=True):
        typed = {held: event[column] for held, column in columns.items() if event[column] is not None}
        assert typed == properties_of(event["metadata"]), event["metadata"]


def check_all(name: str, contents: Iterable[bytes]) -> None:
    """Both checks of some inputs."""
    for content in contents:
        check_reading(name, content, chunk_rows=3)
        check_landing(name, content, batch_rows=3)
