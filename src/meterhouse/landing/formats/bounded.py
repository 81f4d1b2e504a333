"""Bytes of a file in which no line is longer than a record may be, so that memory stays bounded whatever lies there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT_BYTES: Final = 4096
"""Of a record that is too large: as much stands in its refusal. The whole record stands in its file."""

SPACE: Final = b" \t\r\v\f"
"""What may stand around a record."""


class BoundedLines:
    """Iterates over the pieces again, with lines of at most `most` bytes: of a longer one the first bytes are left.

    `cut` has the whole size of each such line by its number from 1, and has it before the line is given. Space before a
    line is left out where the line is not in one piece: it says nothing, and may be all that there is. `number` is that
    of the line after what was given. What was given and has a line break ends with one.
    """

    def __init__(self, pieces: Iterator[bytes], most: int) -> None:
        self._pieces = pieces
        self._most = most
        self.cut: dict[int, int] = {}
        self.number = 1
        self._size = 0
        self._held: list[bytes] = []

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            for start in range(0, len(piece), self._most):
                # No line within a part is longer than the part.
                yield from self._take(piece[start : start + self._most])
        yield from self._held

    def _take(self, part: bytes) -> Iterator[bytes]:
        end = part.find(b"\n")
        if end < 0:
            self._hold(part)
            return
        self._hold(part[:end])
        last = part.rindex(b"\n") + 1
        self.number += part.count(b"\n", end)
        yield from self._held
        yield part[end:last]
        self._held, self._size = [], 0
        self._hold(part[last:])

    def _hold(self, part: bytes) -> None:
        """Keep a part of the line that has not ended."""
        begun = part if self._size else part.lstrip(SPACE)
        self._size += len(begun)
        if self.number in self.cut:
            self.cut[self.number] = self._size
        elif self._size > self._most:
            self.cut[self.number] = self._size
            self._held = [b"".join([*self._held, begun])[:KEPT_BYTES]]
        elif begun:
            self._held.append(begun)
