"""However lines are read, quickly or with care, they give the same events, refusals and counts (rules 1.2 to 1.7)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.records import event, read_in_all_ways

NUMBERS: Final = [
    "0",
    "-0",
    "1",
    "-1",
    "0.5",
    "-0.0",
    "1e5",
    "1E+5",
    "7.057e-05",
    "0.1234567890123",
    "0.1234567890120",
    "0e-99",
    "0.0000000000005",
    "-0.0000000000005",
    "0.30000000000000004",
    "1.2345678901234567e-08",
    "1e-50",
    "1e-51",
    "4E-51",
    "1e-39",
    "1e-400",
    "1e-200000000",
    "0.00000000000000000000000001",
    "999999999999999",
    "999999999999999.999999999999",
    "999999999999999.9999999999999",
    "1e15",
    "-1e15",
    "1e25",
    "1e26",
    "1e27",
    "1e37",
    "1e38",
    "1.8e38",
    "1e39",
    "1e75",
    "6e76",
    "1e77",
    "1e206",
    "1e308",
    "1e309",
    "1e200000000",
    "1e99999999999999999999",
    "9223372036854775808",
    "123456789012345678901234567890",
    "01",
    "+1",
    "1.",
    ".5",
    "-.5",
    "1e",
    "1e+",
    "-",
    "0x1",
    "NaN",
    "-NaN",
    "Infinity",
    "-Infinity",
    "Inf",
    "1_000",
]

TEXTS: Final = [
    r'""',
    r'"x"',
    r'"1.5"',
    r'"1e5"',
    r'"+1"',
    r'".5"',
    r'"1."',
    r'"true"',
    r'"null"',
    r'":null"',
    r'"NaN"',
    r'"2026-03-01"',
    r'"2026-03-01T12:00:00Z"',
    r'"{"',
    r'"}"',
    r'"{}"',
    r'"}{"',
    r'"},{"',
    r'"\""',
    r'"\\"',
    r'"\/"',
    r'"\b\f\n\r\t"',
    r'"\u0000"',
    r'"\u00e9"',
    r'"\ud83d\ude00"',
    r'"\ud800"',
    r'"\udc00"',
    r'"\ud83dx"',
    r'"\ude00\ud83d"',
    r'"\x"',
    r'"\u12"',
    r'"é😀"',
    r'"1e-200000000"',
    r'"\u0031e-200000000"',
    r'"1\u0065-200000000"',
]

ODD_TEXTS: Final = ('" 1"', '"a\tb"', '"a\x01b"', '"\x7f"', '"\u2028"', '"a\x00b"', "'x'", '"x', 'x"')

WORDS: Final = ("true", "false", "null", "True", "nul", "nulls", "", "{\t}", "{}", "[]", "[[]]", "{\t\t}", "/**/1")

NAMES: Final = [
    r'"a"',
    r'"b"',
    r'"c"',
    r'"a.b"',
    r'"a.b.c"',
    r'"A"',
    r'""',
    r'"."',
    r'"é"',
    r'"\u0061"',
    r'"\u00e9"',
    r'"a\"b"',
    r'"\\"',
    r'"{"',
    r'"}"',
    r'"a:"',
    r'"^$.*+?()[]|"',
    r'"\u0000"',
    r'"\ud800"',
    r"a",
    r'"metadata"',
]

SPACES: Final = ("", "", "", "", " ", "\t", "\r", "\x0b", "\x0c", "\u00a0", "\ufeff", "\x00")

SLIPS: Final = (b"", b"\xff", b"\x00", b'"', b"{", b"}", b",", b"\n")

FIELDS: Final = ("event_id", "name", "customer_id", "timestamp", "metadata", "source", "external_id", "data", "payload")

spaces = st.sampled_from(SPACES)
scalars = st.sampled_from(("1", "2.5", '"x"', "true", "null")) | st.sampled_from((*NUMBERS, *TEXTS, *ODD_TEXTS, *WORDS))


def _lists(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda items, space: f"[{space}{','.join(items)}]", st.lists(values, max_size=3), spaces)


def _objects(names: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.builds("{}{}:{}{}".format, names, spaces, spaces, values)
    return st.builds(lambda parts, space: f"{{{space}{','.join(parts)}{space}}}", st.lists(members, max_size=4), spaces)


names = st.sampled_from(('"a"', '"b"', '"c"')) | st.sampled_from(NAMES)
values = st.recursive(scalars, lambda inner: _lists(inner) | _objects(names, inner), max_leaves=6)
metadata = _objects(names, values) | values
fields = st.sampled_from([f'"{field}"' for field in FIELDS]) | st.sampled_from(('"unknown"', r'"n\u0061me"', '""'))


@st.composite
def _mutilated(draw: st.DrawFn, lines: st.SearchStrategy[bytes]) -> bytes:
    """A line of which a few bytes are missing, or others are there."""
    line = draw(lines)
    start, missing = draw(st.integers(0, len(line))), draw(st.integers(0, 3))
    return line[:start] + draw(st.sampled_from(SLIPS)) + line[start + missing :]


@st.composite
def _records(draw: st.DrawFn) -> str:
    """A record with the fields that it needs, in any order, and perhaps others or the same again."""
    needed = ['"event_id":"e"', '"name":"call"', '"customer_id":"ada"', '"timestamp":"2026-03-01T12:00:00Z"']
    more = draw(st.lists(st.builds("{}:{}".format, fields, values), max_size=1))
    members = draw(st.permutations([*needed, f'"metadata":{draw(metadata)}', *more]))
    return f"{draw(spaces)}{{{','.join(members)}}}{draw(spaces)}"


usual = metadata.map(lambda text: event(text).encode())
lines = st.one_of(
    usual, usual, _records().map(str.encode), _mutilated(usual), _objects(fields, values).map(str.encode), st.binary()
)


@pytest.fixture(autouse=True, scope="module")
def _smallest_parts() -> Iterator[None]:
    """Let lines be halved down to one, so that each is read quickly if it can be."""
    with pytest.MonkeyPatch.context() as patched:
        for module in ("shapes.envelopes", "properties.typed"):
            patched.setattr(f"meterhouse.landing.{module}.LEAST_ROWS", 1)
        yield


TAUGHT_APART: Final = [event('{"a": {"b": 1}}').encode(), event('{"a.b": {"c": 1}}').encode()]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([event('{"a": "1.5"}').encode()], [event('{"a": 1}').encode()])
@example([event('{"a": ":null"}').encode()], [event('{"a": "x"}').encode()])
@example([event('{"a": {"b": 2}, "a.b": null}').encode()], TAUGHT_APART)
@example([event().encode() + b"\x0b"], [event().encode()])
@example([event('{"a": "}", "b": 1}').encode(), event('{"b": 1, "a": "{"}').encode()], [event('{"a": "x"}').encode()])
@example([event('{"a": {"b": [{}, null]}}').encode()], [event('{"a": {"b": [{}]}}').encode()])
@given(st.lists(lines, min_size=1, max_size=8), st.lists(usual, max_size=8))
def test_lines_are_the_same_however_they_are_read(lines: list[bytes], taught: list[bytes]) -> None:
    read_in_all_ways(lines, taught)


properties = st.fixed_dictionaries(
    {}, optional={"a": st.integers(), "b": st.text(max_size=3), "c": st.none() | st.booleans(), "n": st.just(0.5)}
)
spelled = st.sampled_from((*NUMBERS, *TEXTS)) | st.from_regex(
    r"-?[0-9]{1,40}(\.[0-9]{1,60})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
)


@settings(max_examples=200, deadline=None)
@example([{"n": 0.5}], ["1e206", "0.1234567890123"])
@given(st.lists(properties, max_size=8), st.lists(spelled, min_size=1, max_size=8))
def test_numbers_among_other_properties_are_the_same_however_they_are_read(
    others: list[dict[str, object]], numbers: list[str]
) -> None:
    plain = [event(json.dumps(other)).encode() for other in others]
    read_in_all_ways([*plain, *(event(f'{{"n": {number}}}').encode() for number in numbers)], plain)
