"""What is too large: records, and files that become too large when they are inflated (`limits`)."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.catalog.settings import Limits
from meterhouse.landing.formats import shared_texts
from meterhouse.landing.formats.bounded import KEPT_BYTES, BoundedLines
from meterhouse.landing.formats.lines import Pieces, as_block
from meterhouse.landing.formats.shared_texts import sizes_of
from tests.records import DyingStore, event, land

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@given(st.lists(st.text("ab \n", max_size=12).map(str.encode), max_size=8), st.integers(1, 9))
def test_lines_are_cut_where_they_are_too_long_and_only_there(pieces: list[bytes], most: int) -> None:
    bounded = BoundedLines(iter(pieces), most)
    lines = b"".join(bounded).split(b"\n")
    sent = b"".join(pieces).split(b"\n")
    assert len(lines) == len(sent)
    for number, (line, whole) in enumerate(zip(lines, sent, strict=True), start=1):
        assert line.strip() == whole.strip() or number in bounded.cut
        assert number not in bounded.cut or (bounded.cut[number] > most and whole.lstrip().startswith(line))
        assert len(whole) <= most or number in bounded.cut or len(whole.strip()) <= most


def test_of_a_line_that_is_too_long_the_first_bytes_are_held() -> None:
    bounded = BoundedLines(iter([b"a\n", b" " * 50_000, b"x" * 9_000, b"x" * 9_000, b"\nb\n", b"y" * 11_000]), 10_000)
    assert b"".join(bounded).split(b"\n") == [b"a", b"x" * KEPT_BYTES, b"b", b"y" * KEPT_BYTES]
    assert bounded.cut == {2: 18_000, 4: 11_000}


LIMITS = Limits(max_record_bytes=2000, max_record_depth=5, max_record_properties=3)

LARGE = event(f'{{"t": "{"x" * 3000}"}}', event_id="large")


def _refused(store: DyingStore) -> list[tuple[int, str]]:
    return store.table("rejected_events").select("position", "reason").rows()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("e.jsonl", "\n".join([event(event_id="a"), LARGE, event(event_id="b")])),
        ("e.json", f"[{event(event_id='a')}, {LARGE}, {event(event_id='b')}]"),
        ("e.json", "\n".join([event(event_id="a"), LARGE, event(event_id="b")])),
    ],
)
def test_of_a_record_that_is_too_large_the_refusal_holds_the_first_bytes(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    store = land(tmp_path, limits=LIMITS)
    assert store.table("events")["event_id"].to_list() == ["a", "b"]
    (refused,) = store.table("rejected_events").to_dicts()
    assert (refused["position"], refused["reason"]) == (2, "record_too_large")
    assert refused["record"] == LARGE[:KEPT_BYTES]
    assert f"it has {len(LARGE):,} bytes, more than the 2,000 of `max_record_bytes`" in refused["explanation"]


CSV = "event_id,name,customer_id,timestamp,metadata\na,call,ada,2026-03-01T12:00Z,\n"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("e.json", f"[{event(event_id='a')}, {event(json.dumps({'t': 'x' * 3_000_000}))}]", "unreadable_file"),
        ("e.csv", f"{CSV}{'x' * 3_000_000}", "unreadable_file"),
        ("e.csv", f"{CSV},,,,{'x' * 3_000}", "record_too_large"),
        ("e.csv", f"{CSV},,,,{'é' * 1_500}", "record_too_large"),
    ],
)
def test_what_is_too_large_to_find_its_end_ends_the_file(tmp_path: Path, name: str, content: str, reason: str) -> None:
    (tmp_path / name).write_text(content)
    store = land(tmp_path, limits=LIMITS)
    assert store.table("events")["event_id"].to_list() == ["a"]
    assert store.table("rejected_events")["reason"][-1] == reason
    assert "max_record_bytes" in store.table("rejected_events")["explanation"][-1]


def test_how_deep_and_how_many_properties_metadata_may_have_are_settings(tmp_path: Path) -> None:
    held = [
        '{"a": {"b": {"c": {"d": 1}}}}',
        '{"a": {"b": [[[[1]]]]}}',
        '{"a": 1, "b": 2, "c": 3}',
        '{"a": {"b": 1, "c": 2, "d": 3}}',
    ]
    (tmp_path / "e.jsonl").write_text("\n".join(event(text, event_id=str(place)) for place, text in enumerate(held)))
    store = land(tmp_path, limits=LIMITS)
    assert _refused(store) == [(1, "too_many_properties"), (2, "bad_metadata"), (4, "too_many_properties")]


@pytest.mark.parametrize(
    ("name", "compress"),
    [("e.jsonl.gz", gzip.compress), ("e.jsonl.zst", zstandard.compress), ("e.json.gz", gzip.compress)],
)
def test_a_file_that_becomes_far_larger_when_it_is_inflated_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, compress: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr("meterhouse.landing.formats.lines.HARMLESS_BYTES", 1 << 20)
    (tmp_path / name).write_bytes(compress(event(event_id="a").encode() + b"\n" * (20 << 20)))
    store = land(tmp_path)
    assert store.table("events")["event_id"].to_list() == ["a"]
    assert _refused(store) == [(0, "unreadable_file")]
    assert "more than 200 times as large when it is inflated (see `max_inflation`)" in (
        store.table("rejected_events")["explanation"].item()
    )


def test_a_compressed_file_is_inflated_a_little_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl.zst").write_bytes(zstandard.compress(b"\n" * (300 << 20)))
    sizes = [len(piece) for piece in Pieces(tmp_path / "e.jsonl.zst", Limits(max_inflation=1_000_000))]
    assert sum(sizes) == 300 << 20
    assert max(sizes) <= 32 << 20


def test_a_parquet_file_that_becomes_far_larger_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meterhouse.landing.formats.lines.HARMLESS_BYTES", 1 << 20)
    texts = [f'{{"t": "{number}{"x" * 1_000_000}"}}' for number in range(10)]
    pl.DataFrame({"name": "call", "customer_id": "ada", "metadata": texts}).write_parquet(tmp_path / "e.parquet")
    assert _refused(land(tmp_path)) == [(0, "unreadable_file")]


def test_of_a_parquet_row_that_is_too_large_the_refusal_holds_the_first_bytes(tmp_path: Path) -> None:
    texts = ["{}", f'{{"t": "{"x" * 9000}"}}', "{}"]
    columns = {"event_id": ["a", "large", "b"], "metadata": texts}
    rows = pl.DataFrame(columns).with_columns(name=pl.lit("call"), customer_id=pl.lit("ada"))
    rows.with_columns(timestamp=pl.lit("2026-03-01T12:00:00Z")).write_parquet(tmp_path / "e.parquet")
    store = land(tmp_path, limits=LIMITS)
    assert store.table("events")["event_id"].to_list() == ["a", "b"]
    assert _refused(store) == [(2, "record_too_large")]
    assert len(store.table("rejected_events")["record"].item()) == KEPT_BYTES


MOST_MEMORY = 1200 << 20

LAND_AND_WEIGH = """
import sys
from pathlib import Path
from tests.records import land


def peak() -> int:
    # Of this program alone: `ru_maxrss` begins with what the test's process held when it forked.
    told = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(told.split()[1]) << 10


before = peak()
events = land(Path(sys.argv[1])).table("landed_files")["events"].sum()
print(events, peak() - before)
"""


def _write_shared(path: Path, text: str, rows: int) -> None:
    """A text that all rows share, which is written once."""
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))
    columns = {name: pa.array(["e"] * rows) for name in ("name", "customer_id")}
    columns |= {
        "event_id": pa.array([str(row) for row in range(rows)]),
        "timestamp": pa.array(["2026-03-01T12:00:00Z"] * rows),
        "metadata": pa.StructArray.from_arrays([shared], ["t"]),
    }
    pq.write_table(pa.table(columns), path, compression="zstd")


def test_rows_that_share_a_text_take_no_more_memory_than_others(tmp_path: Path) -> None:
    """Each is 20 MiB, and refused; all at once they would take several GB."""
    _write_shared(tmp_path / "e.parquet", "x" * (20 << 20), 30)
    assert (tmp_path / "e.parquet").stat().st_size < 20_000
    arguments = [sys.executable, "-c", LAND_AND_WEIGH, str(tmp_path)]
    found = subprocess.run(
        arguments, check=True, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    events, memory = map(int, found.stdout.split())
    assert events == 0
    assert memory < MOST_MEMORY


@pytest.mark.parametrize("list_of", [pa.list_, pa.large_list])
def test_lists_that_share_a_text_make_a_bomb(tmp_path: Path, list_of: Callable[[pa.DataType], pa.DataType]) -> None:
    _write_shared(tmp_path / "e.parquet", "x", 1)
    texts = pa.array([["x" * 100_000] * 5_000], list_of(pa.string()))
    held = pq.read_table(tmp_path / "e.parquet").append_column("metadata.l", texts)
    pq.write_table(held, tmp_path / "e.parquet", compression="zstd")
    assert _refused(land(tmp_path)) == [(0, "unreadable_file")]


def test_dictionaries_are_found_behind_nulls(tmp_path: Path) -> None:
    held = pa.table({"t": pa.array([None] * 500 + ["x" * 1000] * 2000), "s": pa.array([["y" * 10]] * 2500)})
    pq.write_table(held, tmp_path / "t.parquet")
    with pq.ParquetFile(tmp_path / "t.parquet") as opened, pytest.MonkeyPatch.context() as patched:
        patched.setattr(shared_texts, "SMALL_BYTES", 0)
        assert sizes_of(tmp_path / "t.parquet", opened).row == 1010


def test_lines_as_they_lie_in_a_file_are_parsed_from_there() -> None:
    parts = list(as_block(b"a\nbcd\ne\n", 1, {}).parts(2))
    assert [None if part.text is None else part.text.to_pybytes() for part in parts] == [b"a\nbcd\n", b"e\n"]


@pytest.mark.parametrize("text", [b"a\n\nb", b"a\n\nb\n", b"a \nb\n", b"a\r\nb\r\n", b"a\nb", b"a\n\xff\n"])
def test_lines_of_which_something_is_left_out_are_parsed_apart_from_their_file(text: bytes) -> None:
    assert as_block(text, 1, {}).text is None
