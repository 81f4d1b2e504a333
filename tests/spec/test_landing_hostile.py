"""Whatever bytes lie in the landing zone: each record is an event, or refused with a reason, and the run goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meterhouse.catalog.settings import Limits
from tests.fuzz.conserved import check_landing, check_reading
from tests.fuzz.seeds import SEEDS
from tests.records import event, land

if TYPE_CHECKING:
    from pathlib import Path

    from meterhouse.landing import Reason

FORMATS = ("e.jsonl", "e.json", "e.csv", "e.parquet")


@pytest.mark.parametrize("name", FORMATS)
def test_what_fuzzing_begins_with_is_conserved(name: str) -> None:
    for seed in SEEDS:
        check_reading(name, seed, chunk_rows=3)
        check_landing(name, seed, batch_rows=3)


HOSTILE: list[tuple[str, str, Reason | None]] = [
    ("a number of 400 digits", event(f'{{"n": {"9" * 400}}}'), "number_out_of_range"),
    ("a number with 400 places", event(f'{{"n": 0.{"1" * 400}}}'), None),
    ("an exponent of 400", event('{"n": 1e400}'), "number_out_of_range"),
    ("an exponent of -400", event('{"n": 1e-400}'), None),
    ("an exponent of 20 digits", event(f'{{"n": 1e{"9" * 20}}}'), "number_out_of_range"),
    ("a negative exponent of 20 digits", event(f'{{"n": 1e-{"9" * 20}}}'), "number_out_of_range"),
    ("NaN", event('{"n": NaN}'), "bad_json"),
    ("-Infinity", event('{"n": -Infinity}'), "bad_json"),
    ("a name that is there twice", event('{"n": 1, "n": 1}'), "bad_metadata"),
    ("a field that is there twice", event(event_id="a").replace("{", '{"event_id": "b", ', 1), "repeated_field"),
    ("a lone surrogate", event('{"t": "\\\\ud800"}'), "bad_json"),
    ("a pair of surrogates", event('{"t": "\\\\ud83e\\\\udd89"}'), None),
    ("an escaped NUL", event('{"t": "\\\\u0000"}'), None),
    ("a NUL", event('{"t": "\0"}'), "bad_json"),
    ("a NUL as an id", event(event_id="\\\\u0000"), None),
    ("depth 10,000 of lists", event('{"n": ' + "[" * 10_000 + "]" * 10_000 + "}"), "bad_metadata"),
    ("depth 10,000 of objects", event('{"n": ' * 10_000 + "1" + "}" * 10_000), "bad_metadata"),
    ("depth 10,000 without an end", '{"metadata": ' * 10_000, "bad_metadata"),
    ("100,000 keys", event(json.dumps({f"p{n}": n for n in range(100_000)})), "too_many_properties"),
    ("100,000 keys in lists", event(json.dumps({"l": [{f"p{n}": n} for n in range(100_000)]})), "too_many_properties"),
    ("17 MB", event(json.dumps({"t": "x" * (17 << 20)})), "record_too_large"),
    ("a name of 10,000 characters", event(json.dumps({"n" * 10_000: 1})), None),
    ("a name of owls", event(json.dumps({"🦉" * 50: 1}, ensure_ascii=False)), None),
    ("__proto__", event('{"__proto__": {"toString": 1}}'), None),
    ("names that fold alike", event('{"straße": 1, "STRASSE": 2, "s": 4, "S": 5, "\u212a": 6, "k": 7, "İ": 8}'), None),
]


@pytest.mark.parametrize(("what", "record", "reason"), HOSTILE, ids=[what for what, _, _ in HOSTILE])
@pytest.mark.parametrize("name", ["e.jsonl", "e.json"])
def test_hostile_records(tmp_path: Path, name: str, what: str, record: str, reason: Reason | None) -> None:
    sent = record.replace("\\\\", "\\")
    (tmp_path / name).write_text("\n".join([event(event_id="before"), sent, event(event_id="after")]))
    store = land(tmp_path)
    ids = store.table("events")["event_id"].to_list()
    rejected = store.table("rejected_events")
    broken = "without an end" in what and name == "e.json"
    assert ids == (["before"] if broken else ["before", *([] if reason else [_id(sent)]), "after"])
    assert rejected.filter(position=2)["reason"].to_list() == ([reason] if reason else [])
    assert all(kept.startswith(sent[: len(kept)]) for kept in rejected.filter(position=2)["record"])


def _id(record: str) -> str:
    event_id: str = json.loads(record)["event_id"]
    return event_id


def test_hostile_lines_of_bytes(tmp_path: Path) -> None:
    good = event(event_id="a").encode()
    lines = [
        b"\xef\xbb\xbf" + good,
        b"\xff\xfe",
        b"\x00",
        b"\xed\xa0\x80",
        b" \x0b\x0c\r",
        b"\xc2\x85",
        b"{",
        b"\xef\xbb\xbf",
    ]
    (tmp_path / "e.jsonl").write_bytes(b"\r\n".join(lines) + b"\n" + good.replace(b'"a"', b'"b"'))
    store = land(tmp_path)
    assert store.table("events")["event_id"].to_list() == ["a", "b"]
    assert store.table("rejected_events").select("position", "reason").rows() == [
        (2, "bad_utf8"),
        (3, "bad_json"),
        (4, "bad_utf8"),
        (6, "bad_json"),
        (7, "bad_json"),
        (8, "bad_json"),
    ]


def test_the_folder_holds_many_files(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}.jsonl").write_text(event(event_id=str(number)))
    assert land(tmp_path, limits=Limits()).table("events").height == 300


def test_names_of_any_length_may_have_values_of_mixed_kinds(tmp_path: Path) -> None:
    name = "n" * 600_000
    records = [event(f'{{"{name}": {value}}}', event_id=f"{value}") for value in ("1", "true")]
    (tmp_path / "e.jsonl").write_text("\n".join([*records, event('{"b": 1}', event_id="after")]))
    assert land(tmp_path, batch_rows=1).table("events")["event_id"].to_list() == ["1", "true", "after"]
