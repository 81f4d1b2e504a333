"""Small files are read together, and each gives what it gives alone (rules 1.2 to 1.6)."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meterhouse.catalog.settings import Settings
from meterhouse.landing import land_folder
from tests.records import CLOCK, LANDED, DyingStore, event

LINES: Final = [
    event('{"n": 1}', event_id="a").encode(),
    event('{"n": 2, "t": "x"}', event_id="a").encode(),
    event('{"t": "y"}', event_id="b").encode(),
    event('{"n": "text", "N": true}', event_id="c").encode(),
    event('{"n": 0.1234567890123, "m": 0.00000000000001}', event_id="d").encode(),
    event('{"n": 1e15}', event_id="e").encode(),
    b'{"name": "call", "customer_id": "ada", "timestamp": "2026-03-01T12:00:00Z"}',
    b'{"name": "call", "customer_id": "ada", "timestamp": "2026-03-01T12:00:00Z", "metadata": {"n": 0.1234567890123}}',
    b'{"name": "call", "customer_id": "ada", "timestamp": "2026-03-01T12:00:00"}\r',
    b'{"void": "a", "timestamp": "2026-03-01T13:00:00Z"}',
    b'{"void": "", "timestamp": "2026-03-01T13:00:00Z"}',
    b"no json",
    b"\xff",
    b"",
    b" \t",
    b"x" * 1500,
    event(f'{{"t": "{"x" * 1500}"}}', event_id="long").encode(),
]

TOLD: Final = Settings.model_validate(
    {
        "name": "test",
        "limits": {"max_record_bytes": 1024},
        "sources": {
            "ours": {"files": "ours*", "source": "ours", "timezone": "Europe/Berlin"},
            "theirs": {"files": "theirs*", "shape": "meterhouse"},
        },
    }
)

BEGINNINGS: Final = ("", "", "ours-", "theirs-")


def _jsonl(lines: list[bytes]) -> bytes:
    return b"\n".join(lines)


def _json(lines: list[bytes]) -> bytes:
    return b"[" + b",".join(lines) + b"]"


FORMS: Final[dict[str, Callable[[list[bytes]], bytes]]] = {
    "jsonl": _jsonl,
    "ndjson": lambda lines: b"\xef\xbb\xbf" + _jsonl(lines) + b"\n",
    "jsonl.gz": lambda lines: gzip.compress(_jsonl(lines), mtime=0),
    "ndjson.gz": lambda lines: gzip.compress(_jsonl(lines), mtime=0)[:-5],
    "jsonl.zst": lambda lines: zstandard.compress(_jsonl(lines) * 2),
    "ndjson.zst": lambda lines: zstandard.compress(_jsonl(lines))[:-3],
    "json": _json,
    "json.gz": lambda lines: gzip.compress(_json(lines)[:-1], mtime=0),
}

File: TypeAlias = tuple[str, str, list[bytes]]
"""How its name begins, its form and its lines."""

files = st.tuples(
    st.sampled_from(BEGINNINGS), st.sampled_from(list(FORMS)), st.lists(st.sampled_from(LINES), max_size=5)
)


def _written(folder: Path, files: list[File]) -> None:
    for number, (beginning, form, lines) in enumerate(files):
        (folder / f"{beginning}{number}.{form}").write_bytes(FORMS[form](lines))


def _landed(files: list[File], changed: int, batch_rows: int, small_bytes: int) -> DyingStore:
    """Land files, of which some have the names of others that were landed before."""
    store = DyingStore()
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patched:
        folder = Path(name)
        patched.setattr("meterhouse.landing.small.SMALL_BYTES", small_bytes)
        before = [(*file[:2], [event(event_id=f"before {number}").encode()]) for number, file in enumerate(files)]
        _written(folder, before[:changed])
        land_folder(folder, store, TOLD, CLOCK)
        _written(folder, files)
        land_folder(folder, store, TOLD, CLOCK, batch_rows=batch_rows)
    return store


@settings(max_examples=25, deadline=None)
@example([("", "jsonl", LINES), ("ours-", "jsonl", LINES), ("", "json", LINES[:8])], 2, 1000, 2000)
@given(
    st.lists(files, max_size=8), st.integers(0, 8), st.sampled_from([1, 3, 1000]), st.sampled_from([100, 2000, 9999])
)
def test_files_give_the_same_whether_they_are_read_together_or_alone(
    files: list[File], changed: int, batch_rows: int, small_bytes: int
) -> None:
    alone = _landed(files, changed, batch_rows, small_bytes=-1)
    together = _landed(files, changed, batch_rows, small_bytes)
    for table in LANDED:
        assert_frame_equal(together.table(table), alone.table(table), check_row_order=False, check_column_order=False)
