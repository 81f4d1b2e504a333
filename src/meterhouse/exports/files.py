"""Tables as files that come out byte for byte the same: CSV for anything that reads text, Parquet for the rest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from pathlib import Path

_INSTANT: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"


class Written(NamedTuple):
    """A file of a batch."""

    path: str
    rows: int
    bytes: int
    sha256: str


def write_csv(table: pl.DataFrame, path: Path) -> Written:
    """RFC 4180 with UTF-8, no byte order mark, CRLF; decimals with a point and all their places, instants in UTC."""
    table.write_csv(path, line_terminator="\r\n", datetime_format=_INSTANT, date_format="%Y-%m-%d")
    return _written(path, table.height)


def write_parquet(table: pl.DataFrame, path: Path) -> Written:
    """Parquet with exact decimals."""
    table.rechunk().write_parquet(path, compression="zstd")
    return _written(path, table.height)


def _written(path: Path, rows: int) -> Written:
    content = path.read_bytes()
    return Written(path.name, rows, len(content), hashlib.sha256(content).hexdigest())
