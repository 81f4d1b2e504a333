"""Which files are landed, in which formats, and what becomes of damaged ones (rules 1.2, 1.4)."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import zstandard

from meterhouse.catalog.settings import Settings
from meterhouse.errors import ProjectError
from meterhouse.landing import land_folder, list_files
from tests.records import CLOCK, DyingStore, KilledError, event, land
from tests.tables import assert_rows

LINES = "\n".join(event(f'{{"n": {number}}}', event_id=str(number)) for number in range(5)).encode()


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
    _parquet(tmp_path, name=["call"], customer_id=[1], metadata=[{"n": 1}])
    store = land(tmp_path)
    (refused,) = store.table("rejected_events").to_dicts()
    assert (refused["position"], refused["reason"]) == (0, "unknown_columns")
    assert (
        "column 'customer_id' has type Int64; column 'metadata' has type Struct({'n': Int64})" in refused["explanation"]
    )
    assert_rows(store.table("landed_files").lazy(), "path | records | events | rejected\ne.parquet | 1 | 0 | 1")


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
    assert (report.files.height, report.seen_before) == (0, 2)
    assert store.table("event_duplicates").is_empty()


@pytest.mark.parametrize("appends", range(10))
def test_a_landing_cut_short_is_finished_by_the_next(tmp_path: Path, appends: int) -> None:
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
