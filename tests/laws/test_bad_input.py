"""Whatever bytes lie in the landing zone: nothing is lost, doubled or unexplained, and landing never stops (8.6)."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meterhouse.tables import WAREHOUSE
from tests.fuzz.conserved import check_refusals, records_of
from tests.fuzz.seeds import SEEDS, TOKENS
from tests.records import DyingStore, event, land

KEPT: Final = {
    "events": "events",
    "rejected": "rejected_events",
    "duplicates": "event_duplicates",
    "conflicts": "event_conflicts",
    "voids": "voids",
}
"""Where a record stands that is counted in `landed_files`."""


def _parquet() -> bytes:
    rows = pl.DataFrame({"event_id": ["a", "b"], "name": "call", "customer_id": ["ada", None], "metadata.n": [1, 2]})
    with TemporaryDirectory() as folder:
        rows.with_columns(timestamp=pl.lit("2026-03-01T12:00:00Z")).write_parquet(Path(folder) / "e.parquet")
        return (Path(folder) / "e.parquet").read_bytes()


PARQUET: Final = _parquet()

VOID: Final = b'{"void": "e", "timestamp": "2026-03-01T12:00:00Z"}'

LINES: Final = [event(event_id=name, metadata=value).encode() for name in "ab" for value in ('{"n": 1}', "{")] + [VOID]


def _plain(content: bytes) -> bytes:
    return content


PACKINGS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "": _plain,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}

texts = st.lists(st.sampled_from([*LINES, *SEEDS]) | st.binary(max_size=20), max_size=6).map(b"\n".join)


@st.composite
def _mutated(draw: st.DrawFn, contents: st.SearchStrategy[bytes]) -> bytes:
    """Valid content of which some bytes are missing, or others are there."""
    content = draw(contents)
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(content)))
        content = content[:start] + draw(st.sampled_from(TOKENS) | st.binary(max_size=3)) + content[start + 1 :]
    return content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content


@st.composite
def _files(draw: st.DrawFn) -> tuple[str, bytes]:
    if draw(st.integers(0, 4)) == 0:
        return "e.parquet", draw(_mutated(st.just(PARQUET)) | st.binary())
    packing = draw(st.sampled_from(list(PACKINGS)))
    content = _mutated(texts).map(PACKINGS[packing])
    name = f"e{draw(st.sampled_from(('.jsonl', '.json', '.csv')))}{packing}"
    return name, draw(_mutated(content) if packing else content)


def _tables(store: DyingStore) -> dict[str, pl.DataFrame]:
    return {name: store.table(name) for name in WAREHOUSE}


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_files(), min_size=1, max_size=3), st.integers(1, 4))
def test_whatever_is_sent_is_landed_once_or_refused_with_a_reason(files: list[tuple[str, bytes]], batch: int) -> None:
    with TemporaryDirectory() as folder:
        sent = {content: f"{number}{name}" for number, (name, content) in enumerate(files)}
        for content, name in sent.items():
            (Path(folder) / name).write_bytes(content)
        store = land(Path(folder), batch_rows=batch)
        before = _tables(store)
        land(Path(folder), store, batch_rows=batch)
    assert all(rows.equals(before[name]) for name, rows in _tables(store).items()), "landing again changes something"
    assert sorted(store.table("landed_files")["path"]) == sorted(sent.values())
    check_refusals(store.table("rejected_events"))
    for content, name in sent.items():
        _check_conserved(store, name, content)


def _check_conserved(store: DyingStore, name: str, content: bytes) -> None:
    """Each record stands at one place in one table, as often as it is counted."""
    (noted,) = store.table("landed_files").filter(path=name).to_dicts()
    counted = {kind: store.table(table).filter(file_id=noted["file_id"]) for kind, table in KEPT.items()}
    positions = sorted(position for rows in counted.values() for position in rows["position"])
    assert {kind: rows.height for kind, rows in counted.items()} == {kind: noted[kind] for kind in KEPT}
    assert len(set(positions)) == len(positions) == noted["records"]
    if name.endswith(".jsonl"):
        assert positions == records_of(content)
