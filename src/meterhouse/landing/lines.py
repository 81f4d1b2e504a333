"""Lines of a text file, plain or compressed, as far as it can be read."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Protocol

import zstandard

from meterhouse.landing.bounded import BoundedLines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from meterhouse.catalog.settings import Limits

PIECE_BYTES: Final = 1 << 20

COMPRESSED_BYTES: Final = 1 << 16
"""Read at once of a compressed file, and less where that becomes more than `PIECE_BYTES` when it is inflated."""

LEAST_COMPRESSED_BYTES: Final = 1 << 8
"""Some formats make a megabyte of thirty bytes."""

HARMLESS_BYTES: Final = 256 << 20
"""A file that becomes no larger is no bomb, however small it was."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Damage(Exception):
    """The file cannot be read further."""


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class Pieces:
    """Iterates over the bytes of a file, inflated. Where it is damaged that ends early; `damage` says why."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self.damage: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from _inflated(self._path, self._limits.max_inflation)
        except (Damage, OSError, zlib.error, zstandard.ZstdError) as damage:
            self.damage = str(damage)


class Lines:
    """Iterates over (line number from 1, line) of the lines that are not blank.

    Where the file is damaged the iteration ends early, with the piece of a line that was still read; `damage` says why.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._pieces = Pieces(path, limits)
        self._bounded = BoundedLines(iter(self._pieces), limits.max_record_bytes)

    @property
    def damage(self) -> str | None:
        """Why the file cannot be read further; None where it can."""
        return self._pieces.damage

    @property
    def cut(self) -> dict[int, int]:
        """The whole size of each line that was too long, and of which only the first bytes are given."""
        return self._bounded.cut

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for number, line in enumerate(_split(iter(self._bounded)), start=1):
            stripped = (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).strip()
            if stripped:
                yield number, stripped


def _split(pieces: Iterator[bytes]) -> Iterator[bytes]:
    unended: list[bytes] = []
    for piece in pieces:
        first, *lines = piece.split(b"\n")
        unended.append(first)
        if lines:
            yield b"".join(unended)
            yield from lines[:-1]
            unended = lines[-1:]
    yield b"".join(unended)


def refuse_bomb(path: Path, inflated: int, max_inflation: int) -> None:
    """Raise where a file of this size has become so large that it is taken for a bomb."""
    if inflated > HARMLESS_BYTES and inflated > path.stat().st_size * max_inflation:
        message = f"it becomes more than {max_inflation} times as large when it is inflated (see `max_inflation`)"
        raise Damage(message)


def _inflated(path: Path, max_inflation: int) -> Iterator[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return _harmless(path, _inflate(path, lambda: zlib.decompressobj(wbits=31)), max_inflation)
    if suffix == ".zst":
        return _harmless(path, _inflate(path, lambda: zstandard.ZstdDecompressor().decompressobj()), max_inflation)
    return _pieces(path, PIECE_BYTES)


def _harmless(path: Path, pieces: Iterator[bytes], max_inflation: int) -> Iterator[bytes]:
    inflated = 0
    for piece in pieces:
        yield piece
        inflated += len(piece)
        refuse_bomb(path, inflated, max_inflation)


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as opened:
        while piece := opened.read(size):
            yield piece


def _inflate(path: Path, new: Callable[[], _Inflater]) -> Iterator[bytes]:
    """Decompress one frame after the other; a frame that does not end is damage, which stream readers do not tell.

    How much is read at once follows from what the last piece became.
    """
    frame: _Inflater | None = new()
    size = LEAST_COMPRESSED_BYTES
    with path.open("rb") as opened:
        while compressed := opened.read(size):
            inflated = 0
            while compressed:
                frame = frame or new()
                piece = frame.decompress(compressed)
                inflated += len(piece)
                yield piece
                compressed = frame.unused_data if frame.eof else b""
                frame = None if frame.eof else frame
            factor = 2 if inflated < PIECE_BYTES else 0.5
            size = min(COMPRESSED_BYTES, max(LEAST_COMPRESSED_BYTES, int(size * factor)))
    if frame is not None:
        message = "it ends in the middle of its compressed content"
        raise Damage(message)
