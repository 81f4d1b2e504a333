"""Lines of a text file, plain or compressed, as far as it can be read."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Protocol

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PIECE_BYTES: Final = 1 << 20

COMPRESSED_BYTES: Final = 1 << 16
"""Read at once of a compressed file, which may be a thousand times as large when it is inflated."""

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

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from _inflated(self._path)
        except (Damage, OSError, zlib.error, zstandard.ZstdError) as damage:
            self.damage = str(damage)


class Lines:
    """Iterates over (line number from 1, line) of the lines that are not blank.

    Where the file is damaged the iteration ends early, with the piece of a line that was still read; `damage` says why.
    """

    def __init__(self, path: Path) -> None:
        self._pieces = Pieces(path)

    @property
    def damage(self) -> str | None:
        """Why the file cannot be read further; None where it can."""
        return self._pieces.damage

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for number, line in enumerate(_split(iter(self._pieces)), start=1):
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


def _inflated(path: Path) -> Iterator[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return _inflate(_pieces(path, COMPRESSED_BYTES), lambda: zlib.decompressobj(wbits=31))
    if suffix == ".zst":
        return _inflate(_pieces(path, COMPRESSED_BYTES), lambda: zstandard.ZstdDecompressor().decompressobj())
    return _pieces(path, PIECE_BYTES)


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as opened:
        while piece := opened.read(size):
            yield piece


def _inflate(pieces: Iterator[bytes], new: Callable[[], _Inflater]) -> Iterator[bytes]:
    """Decompress one frame after the other; a frame that does not end is damage, which stream readers do not tell."""
    frame: _Inflater | None = new()
    for piece in pieces:
        compressed = piece
        while compressed:
            frame = frame or new()
            yield frame.decompress(compressed)
            compressed = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        message = "it ends in the middle of its compressed content"
        raise Damage(message)
