"""Lines of a text file, plain or compressed, as far as it can be read."""

from __future__ import annotations

import zlib
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, Protocol

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import zstandard

from meterhouse.landing.formats.bounded import SPACE, BoundedLines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from meterhouse.catalog.settings import Limits

PIECE_BYTES: Final = 1 << 20

BLOCK_BYTES: Final = 12 << 20
"""Lines that are read at once; reading them takes some ten times the memory."""

BLOCK_LINES: Final = 1 << 18
"""As many lines are read at once, however short: blank ones take a hundred times their bytes."""

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
        self.bytes_read = 0
        """Of the file as it is, compressed or not."""
        self.damage: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as opened:
                for piece in _inflated(opened, self._path, self._limits.max_inflation):
                    self.bytes_read = opened.tell()
                    yield piece
        except (Damage, OSError) as damage:
            self.damage = str(damage)
        except (zlib.error, zstandard.ZstdError) as damage:
            self.damage = f"what {self._path.suffix.lower()} says is compressed is not, or is damaged ({damage})"


class Block(NamedTuple):
    """Lines as `as_lines` gives them; and their text as one, or None where that is not how they lie in the file."""

    lines: pl.DataFrame
    text: pa.Buffer | None = None

    def parts(self, rows: int) -> Iterator[Block]:
        """Blocks of as many lines."""
        start = 0
        for lines in self.lines.iter_slices(rows):
            size = _size(lines)
            yield Block(lines, None if self.text is None else self.text.slice(start, size))
            start += size


class Lines:
    """Iterates over the lines of a file that are not blank, a block at a time.

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
    def bytes_read(self) -> int:
        """How far the file has been read."""
        return self._pieces.bytes_read

    @property
    def cut(self) -> dict[int, int]:
        """The whole size of each line that was too long, and of which only the first bytes are given."""
        return self._bounded.cut

    def pieces(self) -> Iterator[bytes]:
        """All lines as they lie in the file, with their line breaks."""
        return iter(self._bounded)

    def __iter__(self) -> Iterator[Block]:
        position = 1
        for number, block in enumerate(self._blocks()):
            yield as_block(block.removeprefix(BYTE_ORDER_MARK) if number == 0 else block, position, self.cut)
            position = self._bounded.number

    def _blocks(self) -> Iterator[bytes]:
        """Whole lines, as many as fill a block; each block but the last ends with a line break."""
        held: list[bytes] = []
        size, first = 0, self._bounded.number
        for piece in self.pieces():
            held.append(piece)
            size += len(piece)
            is_full = size >= BLOCK_BYTES or self._bounded.number - first >= BLOCK_LINES
            # What has a line break ends with one.
            if is_full and piece.endswith(b"\n"):
                yield b"".join(held)
                held, size, first = [], 0, self._bounded.number
        yield b"".join(held)


def as_block(text: bytes, position: int, cut: Mapping[int, int]) -> Block:
    """Lines, the first at this position."""
    split = _split(text)
    lines = as_lines(split, range(position, position + len(split)), cut)
    lie_so = text.endswith(b"\n") and _size(lines) == len(text)
    return Block(lines, pa.py_buffer(text) if lie_so else None)


def _size(lines: pl.DataFrame) -> int:
    """Bytes of lines, each with its line break: fewer than of a block where space or a line was left out, or cut."""
    return int(lines["line"].str.len_bytes().sum()) + lines.height


def _split(block: bytes) -> pl.Series:
    lines = pc.split_pattern(pa.array([block], pa.large_binary()), b"\n").flatten()
    return pl.Series(lines, dtype=pl.Binary())


def as_lines(lines: pl.Series, positions: Sequence[int], cut: Mapping[int, int]) -> pl.DataFrame:
    """Read lines as text; null where they are no UTF-8, or too large and cut. Blank lines are left out.

    `size` is the whole size of a line that was cut.
    """
    numbered = pl.DataFrame({"bytes": lines, "line": _texts(lines)}).select(
        pl.Series("position", positions, dtype=pl.Int64()),
        pl.col("line").str.strip_chars(SPACE.decode()),
        "bytes",
        size=pl.lit(None, dtype=pl.Int64()),
    )
    if cut:
        size = pl.col("position").replace_strict(dict(cut), default=None, return_dtype=pl.Int64())
        numbered = numbered.with_columns(size=size).with_columns(line=pl.when(size.is_null()).then("line"))
    return numbered.filter(pl.col("line").ne_missing(""))


def _texts(lines: pl.Series) -> pl.Series:
    try:
        return lines.cast(pl.String())
    except pl.exceptions.ComputeError:
        return pl.Series([_text(line) for line in lines], dtype=pl.String())


def _text(line: bytes) -> str | None:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def refuse_bomb(path: Path, inflated: int, max_inflation: int) -> None:
    """Raise where a file of this size has become so large that it is taken for a bomb."""
    if inflated > HARMLESS_BYTES and inflated > path.stat().st_size * max_inflation:
        message = f"it becomes more than {max_inflation} times as large when it is inflated (see `max_inflation`)"
        raise Damage(message)


def _inflated(opened: BinaryIO, path: Path, max_inflation: int) -> Iterator[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return _harmless(path, _inflate(opened, lambda: zlib.decompressobj(wbits=31)), max_inflation)
    if suffix == ".zst":
        return _harmless(path, _inflate(opened, lambda: zstandard.ZstdDecompressor().decompressobj()), max_inflation)
    return iter(partial(opened.read, PIECE_BYTES), b"")


def _harmless(path: Path, pieces: Iterator[bytes], max_inflation: int) -> Iterator[bytes]:
    inflated = 0
    for piece in pieces:
        yield piece
        inflated += len(piece)
        refuse_bomb(path, inflated, max_inflation)


def _inflate(opened: BinaryIO, new: Callable[[], _Inflater]) -> Iterator[bytes]:
    """Decompress one frame after the other; a frame that does not end is damage, which stream readers do not tell.

    How much is read at once follows from what the last piece became.
    """
    frame: _Inflater | None = new()
    size = LEAST_COMPRESSED_BYTES
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
