"""JSON files that are no lines: arrays, wrapped arrays, values after each other (rule 1.2)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.catalog.settings import Limits
from meterhouse.landing.formats.elements import Elements
from tests.records import event, land

ONE, TWO, THREE = (event(event_id=event_id) for event_id in "123")
NESTED = event('{"t": "]}\\"{[", "deep": {"list": [[1], {"a": "}"}]}}', event_id="n")


def elements(folder: Path, text: str | bytes, name: str = "e.json") -> tuple[list[str], str | None]:
    content = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(content)
    read = Elements(folder / name, Limits())
    return [element.decode("utf-8", "surrogateescape") for _, element in read], read.damage


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"[{ONE}, {TWO}]", [ONE, TWO]),
        (f"\ufeff [\n  {ONE}\n ,\r\n{TWO}\t]\n", [ONE, TWO]),
        (f"[{NESTED},{ONE}]", [NESTED, ONE]),
        ("[]", []),
        ("", []),
        (" \n", []),
        # One event, perhaps over several lines; lines that are named .json; batches one after the other.
        (json.dumps(json.loads(ONE), indent=2), [json.dumps(json.loads(ONE), indent=2)]),
        (f"{ONE}\n{TWO}\n", [ONE, TWO]),
        (f"[{ONE}]\n[{TWO}, {THREE}]", [ONE, TWO, THREE]),
        # Lago and Stripe wrap an array; Lago's lists come in pages.
        (f'{{"events": [{ONE}, {TWO}]}}', [ONE, TWO]),
        (f'{{ "events" : [{ONE}], "meta": {{"current_page": 1, "next_page": null}} }}', [ONE]),
        # What is no object is an element too, to be refused as a record.
        ('[1, "a,]", null, [2], -1.5e3]', ["1", '"a,]"', "null", "[2]", "-1.5e3"]),
        ("[{oops: 1}, nope]", ["{oops: 1}", "nope"]),
        (f"[{ONE},]", [ONE]),
    ],
)
def test_elements(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert elements(tmp_path, text) == (expected, None)


@pytest.mark.parametrize(
    ("text", "expected", "damage"),
    [
        (f"[{ONE}, {TWO}", [ONE, TWO], "it ends in the middle of its array"),
        (f"[{ONE},", [ONE], "it ends in the middle of its array"),
        ("[", [], "it ends in the middle of its array"),
        (f"[{ONE}, {TWO[:30]}", [ONE, TWO[:30]], "it ends in the middle of its array"),
        (f'[{ONE}, "cut', [ONE, '"cut'], "it ends in the middle of its array"),
        (f"[{ONE} {TWO}]", [ONE], "there is no comma between two elements of its array"),
        (f"[{ONE},, {TWO}]", [ONE], "there is ',' where an element is expected"),
        (f"{ONE}, {TWO}", [ONE], "there is ',' where an element is expected"),
        (f"[{ONE}]]", [ONE], "there is ']' where an element is expected"),
        (f'{{"events": [{ONE}], "more": [{TWO}]}}', [ONE], "after its array of `events` there is something else"),
    ],
)
def test_a_damaged_array_is_read_up_to_there(tmp_path: Path, text: str, expected: list[str], damage: str) -> None:
    read, told = elements(tmp_path, text)
    assert read == expected
    assert told is not None
    assert told.startswith(damage)


def test_compressed_arrays_and_what_is_damaged_of_them(tmp_path: Path) -> None:
    text = f"[{ONE}, {TWO}]".encode()
    assert elements(tmp_path, gzip.compress(text), "e.json.gz") == ([ONE, TWO], None)
    assert elements(tmp_path, zstandard.compress(text), "e.json.zst") == ([ONE, TWO], None)
    _, damage = elements(tmp_path, gzip.compress(text)[:-9], "e.json.gz")
    assert damage == "it ends in the middle of its compressed content"


def test_elements_of_the_wrong_type_are_refused_with_their_number(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(f"[{ONE}, 5, {{bad}}, {TWO}")
    store = land(tmp_path)
    assert store.table("events").select("event_id", "position").rows() == [("1", 1), ("2", 4)]
    rejected = store.table("rejected_events").sort("position").select("position", "reason", "record")
    assert rejected.rows() == [(0, "unreadable_file", ""), (2, "unknown_shape", "5"), (3, "bad_json", "{bad}")]


@given(
    st.lists(
        st.recursive(st.text(max_size=4) | st.integers(), lambda inner: st.lists(inner, max_size=3), max_leaves=5)
    ),
    st.integers(1, 40),
    st.booleans(),
)
def test_wherever_a_file_is_cut_into_pieces_its_elements_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, values: list[object], size: int, indented: bool
) -> None:
    path = tmp_path_factory.mktemp("pieces") / "e.json"
    path.write_text(json.dumps(values, ensure_ascii=False, indent=1 if indented else None), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("meterhouse.landing.formats.lines.PIECE_BYTES", size)
        patch.setattr("meterhouse.landing.formats.elements.AHEAD_BYTES", 20)
        assert [json.loads(element) for _, element in Elements(path, Limits())] == values
