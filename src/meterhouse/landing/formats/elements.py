"""Elements of a JSON file, plain or compressed: an array, an object that wraps one, or values after each other.

Where they are not sure to be JSON, only strings and brackets are looked at, to find where an element ends. So one that
is no JSON is a record to be refused like a bad line. No more is held than what is read at once, or one element.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from meterhouse.landing.formats.bounded import KEPT_BYTES
from meterhouse.landing.formats.lines import BYTE_ORDER_MARK, Damage, Pieces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meterhouse.catalog.settings import Limits

BLANK: Final = re.compile(rb"[ \t\r\n]*")

WRAPPER: Final = re.compile(rb'\{[ \t\r\n]*"events"[ \t\r\n]*:[ \t\r\n]*\[')
"""How Lago and Stripe take several events at once, and how Lago gives them back."""

WRAPPED: Final = re.compile(rb'\][ \t\r\n]*(,[ \t\r\n]*"meta"[ \t\r\n]*:[ \t\r\n]*\{[^{}]*\}[ \t\r\n]*)?\}')
"""How that ends. Lago says in `meta` which page of its list it is."""

BRACKET: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|"', re.DOTALL)
"""What opens, what closes, and texts, as they hide brackets. A quote alone is a text of which the end is not read."""

PLAIN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[^",\[\]{}: \t\r\n]+', re.DOTALL)
"""A text, a number or a word."""

AHEAD_BYTES: Final = 4096
"""Looked at to tell whether a wrapper begins or ends."""

CUTS: Final = 4
"""Tried of what was read, before its elements are looked for one by one."""

_decode: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode

Place: TypeAlias = Literal["between", "array", "wrapper"]


class Elements:
    """Iterates over (number from 1, text) of the elements; `damage` says why the file cannot be read further.

    Where the file ends within an element, or is damaged there, the last one is the piece that was still read.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._pieces = Pieces(path, limits)
        self._most = limits.max_record_bytes
        self._wrong: str | None = None
        self.cut: dict[int, int] = {}
        """The whole size of each element that is too large, and of which only the first bytes are given."""

    @property
    def damage(self) -> str | None:
        """Why the file cannot be read further; None where it can."""
        return self._pieces.damage or self._wrong

    @property
    def bytes_read(self) -> int:
        """How far the file has been read."""
        return self._pieces.bytes_read

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        text = _Text(iter(self._pieces), self._most)
        try:
            for number, element in enumerate(_elements(text), start=1):
                if len(element) > self._most:
                    self.cut[number] = len(element)
                yield number, element[:KEPT_BYTES] if number in self.cut else element
        except Damage as wrong:
            self._wrong = str(wrong)


def _elements(text: _Text) -> Iterator[bytes]:
    place: Place = "between"
    while not text.is_at_end():
        if place == "between" and (place := text.enter()) == "between":
            yield text.take()
        elif text.is_at_end():
            break
        elif text.leave(place):
            place = "between"
        elif several := text.take_several():
            yield from several
        else:
            yield text.take()
            text.take_comma()
    if place != "between":
        message = "it ends in the middle of its array"
        raise Damage(message)


class _Text:
    """What is read of a file and was not yet taken."""

    def __init__(self, pieces: Iterator[bytes], most: int) -> None:
        self._pieces = pieces
        self._most = most
        self._held = b""
        self._at = 0
        self._cuts_left = CUTS
        self._read_more(len(BYTE_ORDER_MARK))
        self._held = self._held.removeprefix(BYTE_ORDER_MARK)

    def is_at_end(self) -> bool:
        """Skip what is blank, and tell whether anything is left."""
        while True:
            self._at = _end(BLANK.match(self._held, self._at))
            if self._at < len(self._held):
                return False
            if not self._read_more():
                return True

    def enter(self) -> Place:
        """Take the beginning of an array, or of an object that wraps one, where there is one."""
        if self._held.startswith(b"[", self._at):
            self._at += 1
            return "array"
        self._read_ahead()
        if wrapper := WRAPPER.match(self._held, self._at):
            self._at = wrapper.end()
            return "wrapper"
        return "between"

    def leave(self, place: Place) -> bool:
        """Take the end of the array that was entered, where it ends here."""
        if not self._held.startswith(b"]", self._at):
            return False
        self._read_ahead()
        wrapped = WRAPPED.match(self._held, self._at) if place == "wrapper" else None
        if place == "wrapper" and wrapped is None:
            message = "after its array of `events` there is something else than the end"
            raise Damage(message)
        self._at = self._at + 1 if wrapped is None else wrapped.end()
        return True

    def take(self) -> bytes:
        """Take an element. Where the file ends within it, that is the last."""
        end = self._end_of_nested() if self._held[self._at : self._at + 1] in {b"{", b"["} else self._end_of_plain()
        element = self._held[self._at : end]
        self._at = end
        return element

    def take_several(self) -> list[bytes]:
        """Take many elements and the comma after them, where that is quick: they make a whole array if cut here.

        A cut within an element would leave a bracket or a quote open, and no array.
        """
        end = len(self._held)
        for _ in range(self._cuts_left):
            end = self._held.rfind(b"},", self._at, end)
            if end < 0:
                break
            try:
                elements = _decode(b"[%b]" % self._held[self._at : end + 1])
            except (msgspec.DecodeError, RecursionError):
                continue
            self._at = end + len(b"},")
            return [bytes(element) for element in elements]
        self._cuts_left = 0
        return []

    def take_comma(self) -> None:
        """Take the comma after an element, unless the array ends there."""
        if self.is_at_end() or self._held.startswith(b"]", self._at):
            return
        if not self._held.startswith(b",", self._at):
            message = "there is no comma between two elements of its array"
            raise Damage(message)
        self._at += 1

    def _end_of_nested(self) -> int:
        depth, scanned = 0, 0
        while True:
            for found in BRACKET.finditer(self._held, self._at + scanned):
                token = found.group()
                if token in {b"{", b"["}:
                    depth += 1
                elif token in {b"}", b"]"}:
                    depth -= 1
                elif token == b'"':
                    break
                scanned = found.end() - self._at
                if depth == 0:
                    return found.end()
            if not self._read_on():
                return len(self._held)

    def _end_of_plain(self) -> int:
        while True:
            end = _end(PLAIN.match(self._held, self._at))
            # What reaches the end of what was read may go on after it.
            if self._at < end < len(self._held) or not self._read_on():
                break
        if end > self._at:
            return end
        if self._held.startswith(b'"', self._at):
            return len(self._held)
        character = self._held[self._at : self._at + 1].decode("ascii", "backslashreplace")
        message = f"there is '{character}' where an element is expected"
        raise Damage(message)

    def _read_ahead(self) -> None:
        if len(self._held) - self._at < AHEAD_BYTES:
            self._read_more(AHEAD_BYTES)

    def _read_on(self) -> bool:
        """Read more of an element that goes on. Where it is too large already, nobody knows where it ends."""
        if len(self._held) - self._at > self._most:
            message = f"an element has more than {self._most:,} bytes (see `max_record_bytes`)"
            raise Damage(message)
        return self._read_more(len(self._held) - self._at)

    def _read_more(self, size: int = 1) -> bool:
        """Read at least as many bytes more: with what is held already, so that long elements are not copied often."""
        pieces = [self._held[self._at :]]
        while size > 0 and (piece := next(self._pieces, b"")):
            pieces.append(piece)
            size -= len(piece)
        self._held = b"".join(pieces)
        self._at = 0
        self._cuts_left = CUTS
        return len(pieces) > 1


def _end(found: re.Match[bytes] | None) -> int:
    return -1 if found is None else found.end()
