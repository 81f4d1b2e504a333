"""Tables as files that come out byte for byte the same: CSV for anything that reads text, Parquet for the rest."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_INSTANT: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"
_MAJOR_UNITS: Final = pl.Decimal(38, 4)
"""No currency of ISO 4217 has more than four digits after the point."""


class Written(NamedTuple):
    """A file of a batch; `rows` is null where it is no table."""

    path: str
    rows: int | None
    bytes: int
    sha256: str


def write_csv(table: pl.DataFrame, path: Path) -> Written:
    """RFC 4180 with UTF-8, no byte order mark, CRLF; decimals with a point and all their places, instants in UTC."""
    table.write_csv(path, line_terminator="\r\n", datetime_format=_INSTANT, date_format="%Y-%m-%d")
    return describe(path, table.height)


def write_parquet(table: pl.DataFrame, path: Path, major_units: Iterable[str] = ()) -> Written:
    """Parquet with exact decimals, also for amounts in major units, which are text so far."""
    numbers = table.with_columns(pl.col(list(major_units)).cast(_MAJOR_UNITS))
    numbers.rechunk().write_parquet(path, compression="zstd")
    return describe(path, table.height)


def write_json(content: Mapping[str, Any], path: Path) -> Written:
    """JSON that people can read too, keys in the order given."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    return describe(path)


def describe(path: Path, rows: int | None = None) -> Written:
    """A file as it lies on the disk."""
    return Written(path.name, rows, path.stat().st_size, sha256_of(path))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
