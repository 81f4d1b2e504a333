"""Which files are landed, in which formats, and what becomes of damaged ones (rules 1.2, 1.4)."""

from __future__ import annotations

import gzip
import io
import os
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from polars.testing import assert_frame_equal

from meterhouse.catalog.settings import Settings
from meterhouse.catalog.sources import Source
from meterhouse.errors import ProjectError
from meterhouse.landing import FileToLand, Origin, land_folder, list_files, read_batches
from meterhouse.landing.formats.parquet import read_rows
from meterhouse.landing.identities import Identities
from meterhouse.landing.small import SMALL_BYTES, SmallFile, read_small
from tests.records import CLOCK, DyingStore, KilledError, event, land
from tests.tables import assert_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meterhouse.landing import Batch
    from meterhouse.landing.json_text.known import Known

LINES = "\n".join(event(f'{{"n": {number}}}', event_id=str(number)) for number in range(5)).encode()

WITHOUT_ID = '{"name": "call", "customer_id": "ada", "timestamp": "2026-03-01T12:00:00Z"}'


def test_files_are_listed_in_the_order_of_their_names_and_unpublished_ones_left_alone(tmp_path: Path) -> None:
    for name in (
        "b.jsonl",
        "a/c.jsonl.gz",
        ".hidden.jsonl",
        "_temporary/d.jsonl",
        "a/_e.jsonl",
        "f.PARQUET",
        "a.ndjson.zst",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    zone = list_files(tmp_path)
    assert [file.name for file in zone.files] == ["a.ndjson.zst", "a/c.jsonl.gz", "b.jsonl", "f.PARQUET"]
    assert zone.problems == ()


def test_what_is_no_file_of_events_is_reported(tmp_path: Path) -> None:
    zone_folder = tmp_path / "zone"
    zone_folder.mkdir()
    (tmp_path / "elsewhere.jsonl").touch()
    (zone_folder / "events.txt").touch()
    (zone_folder / "leaves.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    (zone_folder / "folder").symlink_to(tmp_path)
    (zone_folder / "nothing.jsonl").symlink_to(zone_folder / "gone.jsonl")
    os.mkfifo(zone_folder / "pipe.jsonl")
    zone = list_files(zone_folder)
    assert zone.files == ()
    assert {problem.name: problem.explanation.split(".")[0] for problem in zone.problems} == {
        "events.txt": "Its name does not say a known format",
        "folder": "It is a link that leaves the landing zone",
        "leaves.jsonl": "It is a link that leaves the landing zone",
        "nothing.jsonl": "It is a link to no file",
        "pipe.jsonl": "It is neither a file nor a folder",
    }


def test_links_that_lead_in_a_circle_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "b.jsonl")
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "a.jsonl")
    zone = list_files(tmp_path)
    assert [(problem.name, problem.explanation[:23]) for problem in zone.problems] == [
        ("a.jsonl", "It is a link to no file"),
        ("b.jsonl", "It is a link to no file"),
    ]


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "e.jsonl").touch()
    scan = os.scandir

    def refuse(folder: str) -> object:
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    zone = list_files(tmp_path)
    assert [file.name for file in zone.files] == ["open/e.jsonl"]
    (problem,) = zone.problems
    assert problem.name == "closed"
    assert problem.explanation.startswith("The folder cannot be listed: Permission denied.")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two\nlines.jsonl", "two\\nlines.jsonl"),
        ("two\\nlines.jsonl", "two\\\\nlines.jsonl"),
        ("\x1b[2J\u202e.jsonl", "\\x1b[2J\\u202e.jsonl"),
        ("größe 你好.jsonl", "größe 你好.jsonl"),
        (os.fsdecode(b"\xff.jsonl"), "\\xff.jsonl"),
    ],
)
def test_names_of_files_are_stored_so_that_they_are_safe_to_show(tmp_path: Path, name: str, shown: str) -> None:
    (tmp_path / name).write_text(f"{event()}\nno json")
    store = land(tmp_path)
    assert store.table("landed_files")["path"].to_list() == store.table("rejected_events")["path"].to_list() == [shown]


def test_a_landing_zone_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="is not a folder"):
        list_files(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("e.jsonl", LINES),
        ("e.ndjson", b"\xef\xbb\xbf" + LINES.replace(b"\n", b"\r\n\r\n") + b"\r\n"),
        ("e.jsonl.gz", gzip.compress(LINES)),
        ("e.jsonl.gz", gzip.compress(LINES[:300]) + gzip.compress(LINES[300:])),
        ("e.jsonl.zst", zstandard.compress(LINES)),
        ("e.ndjson.zst", zstandard.compress(LINES[:300]) + zstandard.compress(LINES[300:])),
    ],
)
def test_text_formats(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    store = land(tmp_path)
    assert store.table("rejected_events").is_empty()
    assert_rows(store.table("events").lazy(), "event_id | number_n\n0|0\n1|1\n2|2\n3|3\n4|4")


def test_positions_are_line_numbers_and_blank_lines_are_no_records(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text(f"\n{event()}\n\n  \nno json\n")
    store = land(tmp_path)
    assert store.table("events")["position"].to_list() == [2]
    assert_rows(store.table("rejected_events").lazy(), "position | record | path\n5 | no json | e.jsonl")


def test_bytes_that_are_not_utf8_are_shown(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_bytes(event('{"t": "X"}').encode().replace(b"X", b"\xff") + b"\n\xfe")
    store = land(tmp_path)
    assert_rows(
        store.table("rejected_events").lazy().select("position", "reason"), "position | reason\n1|bad_utf8\n2|bad_utf8"
    )
    assert store.table("rejected_events")["record"][0] == event('{"t": "\\xff"}')


def _parquet(folder: Path, **columns: list[object] | pl.Series) -> None:
    pl.DataFrame(columns, strict=False).write_parquet(folder / "e.parquet")


def test_parquet(tmp_path: Path) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    _parquet(
        tmp_path,
        event_id=["1", "2", "3"],
        name=["call", "call", None],
        external_customer_id=["ada", "bob", "ada"],
        timestamp=[at, at, at],
        metadata=['{"n": 0.1}', None, "{}"],
    )
    store = land(tmp_path)
    assert_rows(
        store.table("events").lazy(),
        """
        event_id | name | external_customer_id | timestamp        | received_at | metadata   | number_n | position
        1        | call | ada                  | 2026-03-01T12:00 | 2026-03-02  | {"n": 0.1} | 0.1      | 1
        2        | call | bob                  | 2026-03-01T12:00 | 2026-03-02  | {}         | -        | 2
        """,
    )
    (refused,) = store.table("rejected_events").to_dicts()
    assert (refused["position"], refused["reason"]) == (3, "no_name")
    assert '"external_customer_id":"ada"' in refused["record"]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Kolkata"])
def test_parquet_timestamps(tmp_path: Path, unit: str, zone: str | None) -> None:
    at = pl.Series([datetime(2026, 3, 1, 12)]).dt.replace_time_zone(zone).cast(pl.Datetime(unit, zone))  # type: ignore[arg-type]  # noqa: DTZ001
    _parquet(tmp_path, name=["call"], customer_id=pl.Series(["ada"], dtype=pl.Categorical()), timestamp=at)
    expected = "2026-03-01T06:30" if zone == "Asia/Kolkata" else "2026-03-01T12:00"
    assert_rows(land(tmp_path).table("events").lazy(), f"customer_id | timestamp\nada | {expected}")


def test_a_parquet_file_with_other_columns_is_refused_as_a_whole(tmp_path: Path) -> None:
    _parquet(tmp_path, name=["call"], customer_id=[1], metadata=[timedelta(1)])
    store = land(tmp_path)
    (refused,) = store.table("rejected_events").to_dicts()
    assert (refused["position"], refused["reason"]) == (0, "unknown_columns")
    assert "column 'customer_id' has type int64; column 'metadata' has type duration[us]" in refused["explanation"]
    assert_rows(store.table("landed_files").lazy(), "path | records | events | rejected\ne.parquet | 1 | 0 | 1")


def _arrow(folder: Path, rows: int, **columns: pa.Array) -> None:
    fields = {"name": pa.array(["call"] * rows), "customer_id": pa.array(["ada"] * rows), **columns}
    pq.write_table(pa.table(fields), folder / "e.parquet")


def test_a_parquet_file_that_has_a_column_twice_is_refused_as_a_whole(tmp_path: Path) -> None:
    names = ["event_id", "event_id", "name"]
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 3, names=names), tmp_path / "e.parquet")
    (refused,) = land(tmp_path).table("rejected_events").to_dicts()
    assert (refused["position"], refused["reason"]) == (0, "unknown_columns")
    assert "column 'event_id' is there 2 times" in refused["explanation"]


@pytest.mark.parametrize("zone", ["Nowhere/Such", "+02:00", "EST5EDT"])
def test_parquet_timestamps_are_read_in_any_zone_since_they_count_in_utc(tmp_path: Path, zone: str) -> None:
    at = pa.array([datetime(2026, 3, 1, 12, tzinfo=UTC)], pa.timestamp("us", "UTC")).cast(pa.timestamp("us", zone))
    _arrow(tmp_path, 1, timestamp=at)
    assert_rows(land(tmp_path).table("events").lazy(), "customer_id | timestamp\nada | 2026-03-01T12:00")


@pytest.mark.parametrize("unit", ["ms", "us"])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_parquet_timestamps_that_are_no_instants_are_refused_one_by_one(
    tmp_path: Path, unit: str, zone: str | None
) -> None:
    noon = 1_772_366_400 * {"ms": 10**3, "us": 10**6}[unit]
    ticks = pa.array([2**63 - 1, noon, -(2**63)], pa.int64())
    ok = pa.array([noon] * 2 + [None], pa.int64())
    kind = pa.timestamp(unit, zone)
    _arrow(tmp_path, 3, timestamp=ticks.cast(kind), received_at=ok.cast(kind))
    store = land(tmp_path)
    assert store.table("events")["position"].to_list() == [2]
    assert_rows(
        store.table("rejected_events").lazy().select("position", "reason"),
        "position | reason\n1 | bad_timestamp\n3 | bad_timestamp",
    )
    assert '"timestamp":9223372036854775807' in store.table("rejected_events")["record"][0]


def test_a_parquet_timestamp_of_receipt_that_is_no_instant_is_refused(tmp_path: Path) -> None:
    at = pa.array(["2026-03-01T12:00:00Z"])
    _arrow(tmp_path, 1, timestamp=at, received_at=pa.array([2**63 - 1]).cast(pa.timestamp("us")))
    assert land(tmp_path).table("rejected_events")["reason"].to_list() == ["bad_received_at"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_farthest_parquet_timestamps_stop_nothing(unit: str) -> None:
    ticks = pa.array([-(2**63), -(2**63) + 1, 2**63 - 1, -62_135_596_801, -1, 253_402_300_800], pa.int64())
    columns = {"name": pa.array(["call"] * 6), "customer_id": pa.array(["ada"] * 6)}
    fields, _ = read_rows(pa.table({**columns, "timestamp": ticks.cast(pa.timestamp(unit))}))
    assert fields.height == 6


def test_text_of_a_parquet_file_that_is_not_utf8_refuses_its_record(tmp_path: Path) -> None:
    offsets = pa.array([0, 2, 4], pa.int32()).buffers()[1]
    text = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"\xff\xfe{}"))
    at = pa.array(["2026-03-01T12:00:00Z"] * 2)
    _arrow(tmp_path, 2, timestamp=at, metadata=text, event_id=pa.array(["1", "2"]))
    store = land(tmp_path)
    assert store.table("events")["event_id"].to_list() == ["2"]
    (refused,) = store.table("rejected_events").to_dicts()
    assert (refused["position"], refused["reason"]) == (1, "bad_utf8")
    assert '"metadata":"\\\\xff\\\\xfe"' in refused["record"]


@pytest.mark.parametrize("panic", [pl.exceptions.ComputeError("no"), pl.exceptions.PanicException("no")])
def test_a_file_that_the_engine_cannot_take_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, panic: BaseException
) -> None:
    def fail(_rows: pa.Table, _source: Source, **_options: Any) -> None:
        raise panic

    monkeypatch.setattr("meterhouse.landing.read.read_rows", fail)
    _arrow(tmp_path, 1)
    (tmp_path / "z.jsonl").write_text(event())
    store = land(tmp_path)
    assert_rows(store.table("landed_files").lazy(), "path | events | rejected\ne.parquet | 0 | 1\nz.jsonl | 1 | 0")
    assert store.table("rejected_events")["reason"].to_list() == ["unreadable_file"]


def test_an_interrupt_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_rows: pa.Table, _source: Source, **_options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("meterhouse.landing.read.read_rows", interrupt)
    _arrow(tmp_path, 1)
    with pytest.raises(KeyboardInterrupt):
        land(tmp_path)


def test_a_file_that_cannot_be_opened_is_a_problem_and_the_others_are_landed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(event(event_id="a"))
    (tmp_path / "b.jsonl").write_text(event(event_id="b"))
    gone = tmp_path / "a.jsonl"
    store = DyingStore()
    report = land_folder(tmp_path, store, Settings(name="test"), CLOCK, on_file=lambda _: gone.unlink(missing_ok=True))
    assert [problem.name for problem in report.problems] == ["a.jsonl"]
    assert store.table("events")["event_id"].to_list() == ["b"]


@pytest.fixture
def _no_file_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each file be read alone, as large ones are."""
    monkeypatch.setattr("meterhouse.landing.small.SMALL_BYTES", -1)


def _changing(path: Path, at_batch: int) -> Callable[..., Iterator[Batch]]:
    """Reads as landing does, and has someone write to the file before the batch of that number is given."""

    def read(file: FileToLand, origin: Origin, **options: Any) -> Iterator[Batch]:
        for number, batch in enumerate(read_batches(file, origin, **options)):
            if (file.path, number) == (path, at_batch):
                path.write_bytes(path.read_bytes() + b"\n" + event(event_id="new").encode())
            yield batch

    return read


def _changing_when_small(path: Path) -> Callable[..., SmallFile | None]:
    """Reads as landing does, and has someone write to the file right after."""

    def read(file: FileToLand, size: int, origin: Origin) -> SmallFile | None:
        small = read_small(file, size, origin)
        if file.path == path:
            path.write_bytes(path.read_bytes() + b"\n" + event(event_id="new").encode())
        return small

    return read


@pytest.mark.parametrize("small_bytes", [-1, 1000])
def test_a_file_that_is_still_being_written_is_left_for_the_next_landing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_bytes: int
) -> None:
    monkeypatch.setattr("meterhouse.landing.small.SMALL_BYTES", small_bytes)
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "b.jsonl").write_text(event(event_id="b"))
    store = DyingStore()
    with monkeypatch.context() as patched:
        if small_bytes > 0:
            patched.setattr("meterhouse.landing.land.read_small", _changing_when_small(tmp_path / "a.jsonl"))
        else:
            patched.setattr("meterhouse.landing.land.read_batches", _changing(tmp_path / "a.jsonl", at_batch=0))
        report = land_folder(tmp_path, store, Settings(name="test"), CLOCK)
    (problem,) = report.problems
    assert problem.name == "a.jsonl"
    assert problem.explanation.startswith("It changed while it was read, so it is still being written. It is left for")
    assert store.table("events")["event_id"].to_list() == ["b"]
    assert report.files["path"].to_list() == ["b.jsonl"]
    land(tmp_path, store)
    assert sorted(store.table("events")["event_id"]) == ["0", "1", "2", "3", "4", "b", "new"]


@pytest.mark.usefixtures("_no_file_is_small")
def test_a_file_that_changes_when_some_of_it_is_stored_is_noted_as_one_that_broke_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "b.jsonl").write_text(event(event_id="b"))
    store = DyingStore()
    with monkeypatch.context() as patched:
        patched.setattr("meterhouse.landing.land.read_batches", _changing(tmp_path / "a.jsonl", at_batch=1))
        land(tmp_path, store, batch_rows=2)
    assert_rows(
        store.table("landed_files").lazy(),
        "path | records | events | rejected\na.jsonl | 3 | 2 | 1\nb.jsonl | 1 | 1 | 0",
    )
    assert_rows(
        store.table("rejected_events").lazy().select("path", "position", "reason"),
        "path | position | reason\na.jsonl | 0 | file_changed",
    )
    land(tmp_path, store)
    assert sorted(store.table("events")["event_id"]) == ["0", "1", "2", "3", "4", "b", "new"]
    assert store.table("event_duplicates").height == 2


@pytest.mark.usefixtures("_no_file_is_small")
@pytest.mark.parametrize("read_before", [0, 2])
def test_a_file_that_is_cut_shorter_while_it_is_read_is_not_noted_as_landed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_before: int
) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)

    def read(file: FileToLand, origin: Origin, **options: Any) -> Iterator[Batch]:
        """Gives some batches, then has someone begin to write the same content again."""
        yield from islice(read_batches(file, origin, **options), read_before)
        file.path.write_bytes(b"")

    store = DyingStore()
    with monkeypatch.context() as patched:
        patched.setattr("meterhouse.landing.land.read_batches", read)
        land(tmp_path, store, batch_rows=1)
    (tmp_path / "a.jsonl").write_bytes(LINES)
    land(tmp_path, store)
    refused = store.table("rejected_events")["reason"].to_list()
    assert store.table("events")["event_id"].to_list() == (["0", "1"] if read_before else ["0", "1", "2", "3", "4"])
    # What is noted as broken off is read again by a retry.
    assert refused == (["file_changed"] if read_before else [])


@pytest.mark.usefixtures("_no_file_is_small")
def test_a_file_that_vanishes_while_it_is_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)

    def read(file: FileToLand, origin: Origin, **options: Any) -> Iterator[Batch]:
        file.path.unlink()
        yield from read_batches(file, origin, **options)

    monkeypatch.setattr("meterhouse.landing.land.read_batches", read)
    store = DyingStore()
    report = land_folder(tmp_path, store, Settings(name="test"), CLOCK)
    assert [problem.name for problem in report.problems] == ["a.jsonl"]
    assert store.table("landed_files").is_empty()
    assert store.table("rejected_events").is_empty()


@pytest.mark.parametrize("name", ["e.jsonl", "e.parquet"])
def test_large_records_are_read_fewer_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("meterhouse.landing.read.CHUNK_BYTES", 1000)
    monkeypatch.setattr("meterhouse.landing.formats.lines.PIECE_BYTES", 100)
    monkeypatch.setattr("meterhouse.landing.formats.lines.BLOCK_BYTES", 1000)
    metadata = [f'{{"t": "{"x" * 300}{number}"}}' for number in range(10)]
    if name == "e.jsonl":
        (tmp_path / name).write_text("\n".join(event(text, event_id=str(at)) for at, text in enumerate(metadata)))
    else:
        at = pa.array(["2026-03-01T12:00:00Z"] * 10)
        _arrow(tmp_path, 10, timestamp=at, metadata=pa.array(metadata), event_id=pa.array(list("0123456789")))
    origin = Origin("file", name, Settings(name="test"), CLOCK)
    batches = list(read_batches(FileToLand(tmp_path / name, name), origin))
    assert max(batch.records for batch in batches) <= 4
    assert [event_id for batch in batches for event_id in batch.events["event_id"]] == list("0123456789")


@pytest.mark.usefixtures("_no_file_is_small")
def test_rows_are_appended_whenever_they_take_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meterhouse.landing.waiting.BATCH_BYTES", 1)
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_text(event(event_id=name))
    store = DyingStore(appends_left=3)
    with pytest.raises(KilledError):
        land(tmp_path, store)
    assert store.table("events")["event_id"].to_list() == ["a", "b"]


def test_a_line_may_be_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    long = event(f'{{"t": "{"x" * 3_000_000}"}}', event_id="1")
    (tmp_path / "e.jsonl").write_text("\ufeff" + "\n".join([long, event(event_id="2")]))
    assert land(tmp_path).table("events").select("event_id", "position").rows() == [("1", 1), ("2", 2)]


def test_small_files_are_read_together_and_alone_where_one_of_them_cannot_be_read_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_lines: pl.DataFrame, _origin: Origin, _known: Known) -> Batch:
        raise pl.exceptions.PanicException

    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_text(event(event_id=name))
    together = land(tmp_path)
    monkeypatch.setattr("meterhouse.landing.small.take_lines", fail)
    alone = land(tmp_path)
    assert together.table("events")["event_id"].to_list() == ["a", "b", "c"]
    for table in ("events", "landed_files"):
        assert_frame_equal(alone.table(table), together.table(table))


@pytest.mark.parametrize(
    ("name", "content", "events"),
    [
        ("e.jsonl.gz", gzip.compress(LINES * 2000)[:-9], 5),
        ("e.jsonl.gz", b"", 0),
        ("e.jsonl.gz", LINES, 0),
        ("e.jsonl.zst", zstandard.compress(LINES)[:-3], 0),
        ("e.jsonl.zst", zstandard.compress(LINES) + b"damage", 5),
        ("e.parquet", b"not Parquet", 0),
        ("e.parquet", b"", 0),
    ],
)
def test_a_damaged_file_is_reported_and_what_could_be_read_is_landed(
    tmp_path: Path, name: str, content: bytes, events: int
) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "z.jsonl").write_text(event(event_id="after"))
    store = land(tmp_path)
    whole = store.table("rejected_events").filter(position=0)
    assert whole["reason"].to_list() == ["unreadable_file"]
    assert store.table("events").filter(event_id="after").height == 1
    assert store.table("events").height == events + 1


def test_a_parquet_file_damaged_in_the_middle_is_landed_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    pl.DataFrame(
        {
            "event_id": [str(n) for n in range(100)],
            "name": "call",
            "customer_id": "ada",
            "timestamp": "2026-03-01T12:00:00Z",
        }
    ).write_parquet(path, row_group_size=10)
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 200] = b"\xff" * 200
    path.write_bytes(content)
    store = land(tmp_path, batch_rows=10)
    assert 0 < store.table("events").height < 100
    assert store.table("rejected_events")["position"].to_list() == [0]


def test_a_file_is_landed_once_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    store = land(tmp_path)
    (tmp_path / "b.jsonl").write_bytes(LINES)
    report = land_folder(tmp_path, store, Settings(name="test"), CLOCK)
    assert (report.files.height, report.seen_before, report.repeated) == (0, 2, 0)
    assert store.table("event_duplicates").is_empty()


def test_a_file_that_lies_there_twice_is_landed_under_its_first_name(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(LINES)
    report = land_folder(tmp_path, DyingStore(), Settings(name="test"), CLOCK)
    assert (report.files["path"].to_list(), report.seen_before, report.repeated) == (["a.jsonl"], 0, 1)


def test_records_without_ids_of_a_file_that_changed_are_refused_since_they_may_count_already(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("\n".join([WITHOUT_ID, event(event_id="1")]))
    store = land(tmp_path)
    (tmp_path / "log.jsonl").write_text("\n".join([WITHOUT_ID, event(event_id="1"), WITHOUT_ID, event(event_id="2")]))
    land(tmp_path, store)
    assert store.table("events").height == 3
    assert store.table("event_duplicates")["position"].to_list() == [2]
    assert_rows(
        store.table("rejected_events").lazy().select("position", "reason"),
        "position | reason\n1 | no_id_in_changed_file\n3 | no_id_in_changed_file",
    )
    (tmp_path / "more.jsonl").write_text(f"\n{WITHOUT_ID}")
    land(tmp_path, store)
    assert store.table("events").height == 4


def test_a_file_of_which_no_event_was_landed_may_be_mended_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("no json")
    store = land(tmp_path)
    (tmp_path / "log.jsonl").write_text(WITHOUT_ID)
    assert land(tmp_path, store).table("events").height == 1


@pytest.mark.parametrize(
    ("appends", "small_bytes"), [*((appends, -1) for appends in range(10)), *((appends, 1000) for appends in range(9))]
)
def test_a_landing_cut_short_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, appends: int, small_bytes: int
) -> None:
    monkeypatch.setattr("meterhouse.landing.small.SMALL_BYTES", small_bytes)
    (tmp_path / "a.jsonl").write_text(
        "\n".join([event(event_id="1"), "no json", event(event_id="1"), event('{"ID": 1}', event_id="1")])
    )
    (tmp_path / "b.jsonl").write_text(
        "\n".join([event('{"id": 1}'), event(event_id="1"), event('{"Id": 1}', event_id="2"), "[]"])
    )
    whole = land(tmp_path, batch_rows=2)
    cut = DyingStore(appends_left=appends)
    with pytest.raises(KilledError):
        land(tmp_path, cut, batch_rows=2)
    cut.appends_left = None
    land(tmp_path, cut, batch_rows=2)
    for table in ("events", "rejected_events", "event_duplicates", "event_conflicts", "landed_files"):
        assert cut.table(table).sort(pl.all()).equals(whole.table(table).sort(pl.all()))


def _told(folder: Path, name: str, content: bytes) -> list[float]:
    """How much of a file that is read two records at a time is told to have been read, as shares of its bytes."""
    (folder / name).write_bytes(content)
    told: list[float] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("meterhouse.landing.small.SMALL_BYTES", -1)
        patched.setattr("meterhouse.landing.formats.lines.PIECE_BYTES", 100)
        patched.setattr("meterhouse.landing.formats.lines.BLOCK_BYTES", 200)
        land_folder(
            folder,
            DyingStore(),
            Settings(name="test"),
            CLOCK,
            batch_rows=2,
            on_bytes=lambda _, read, size: told.append(read / size),
        )
    return told


def _csv(rows: int) -> bytes:
    lines = [f"{row},call,ada,2026-03-01T12:00:00Z" for row in range(rows)]
    return "\n".join(["event_id,name,customer_id,timestamp", *lines]).encode()


def _parquet_bytes(rows: int) -> bytes:
    columns = {"event_id": pl.int_range(rows, eager=True).cast(pl.String)}
    more = {"name": "call", "customer_id": "ada", "timestamp": "2026-03-01T12:00:00Z"}
    written = io.BytesIO()
    pl.DataFrame(columns).with_columns(pl.lit(value).alias(name) for name, value in more.items()).write_parquet(written)
    return written.getvalue()


MANY_LINES = "\n".join(event(event_id=str(number)) for number in range(100)).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("e.jsonl", MANY_LINES),
        ("e.jsonl.gz", gzip.compress(MANY_LINES)),
        ("e.json", b"[" + MANY_LINES.replace(b"\n", b",") + b"]"),
        ("e.csv", _csv(100)),
        ("e.parquet", _parquet_bytes(100)),
    ],
)
def test_how_much_of_a_file_has_been_read_is_told_with_each_batch(tmp_path: Path, name: str, content: bytes) -> None:
    told = _told(tmp_path, name, content)
    assert len(told) >= 50
    assert told == sorted(told)
    assert told[-1] == 1
    assert name.endswith(".gz") or told[0] < 0.5


def test_files_that_are_hashed_ahead_are_what_each_is_alone(tmp_path: Path) -> None:
    for number, size in enumerate((1, SMALL_BYTES + 1, SMALL_BYTES + 2, 2, SMALL_BYTES + 3)):
        (tmp_path / f"{number}.jsonl").write_bytes(b"x" * size)
    gone = FileToLand(tmp_path / "gone.jsonl", "gone.jsonl")
    files = list_files(tmp_path).files
    files = (*files[:2], gone, *files[2:])
    alone = Identities(DyingStore())
    assert list(Identities(DyingStore()).each(files)) == [(file, alone.find(file)) for file in files]


@pytest.mark.usefixtures("_no_file_is_small")
def test_a_file_that_was_begun_and_is_gone_is_told_of_until_it_is_back(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join([WITHOUT_ID, event(event_id="1")]))
    store = DyingStore(appends_left=1)
    with pytest.raises(KilledError):
        land(tmp_path, store, batch_rows=1)
    store.appends_left = None
    begun = tmp_path / "a.jsonl"
    begun.rename(tmp_path / ".a.jsonl")
    for _ in range(2):
        (problem,) = land_folder(tmp_path, store, Settings(name="test"), CLOCK).problems
        assert problem.name == "a.jsonl"
        assert problem.explanation.startswith("A landing that was cut off stored a part of it")
    begun.write_text("\n".join([WITHOUT_ID, event(event_id="1"), WITHOUT_ID]))
    land(tmp_path, store)
    assert_rows(
        store.table("rejected_events").lazy().select("position", "reason"),
        "position | reason\n1 | no_id_in_changed_file\n3 | no_id_in_changed_file",
    )
    (tmp_path / ".a.jsonl").rename(tmp_path / "b.jsonl")
    report = land_folder(tmp_path, store, Settings(name="test"), CLOCK)
    assert (report.problems, report.resumed) == ((), 1)
    assert store.table("events").height == 2
