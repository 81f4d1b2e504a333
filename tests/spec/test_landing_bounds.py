"""What is too large: records, and files that become too large when they are inflated (`limits`)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meterhouse.landing.bounded import KEPT_BYTES, BoundedLines


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
