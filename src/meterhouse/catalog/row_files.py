"""Files of rows: CSV, JSONL or Parquet, each row as a mapping with its place in the file."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from meterhouse.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMATS: Final = ("csv", "jsonl", "parquet")

SURPLUS: Final = "surplus values"
"""Where a row of CSV keeps values that no column is for."""

UNREADABLE: Final = "unreadable line"
"""Where a row of JSONL keeps a line that is no object."""


class Row(NamedTuple):
    """A row as its file has it."""

    number: int
    """From 1."""
    record: dict[str, Any]


def find_file(root: Path, name: str) -> Path:
    """The one file of that name. Raises ProjectError where there is none, or one in each of several formats."""
    found = [root / f"{name}.{extension}" for extension in FORMATS if (root / f"{name}.{extension}").is_file()]
    if len(found) == 1:
        return found[0]
    which = "found " + " and ".join(path.name for path in found) if found else "found none"
    message = f"{root}: expected one of {name}.csv, {name}.jsonl or {name}.parquet; {which}. Keep one."
    raise ProjectError(message)


def rows_of(path: Path) -> Iterator[Row]:
    """Rows as they are. Raises ProjectError where the file as a whole cannot be read."""
    try:
        match path.suffix:
            case ".csv":
                with path.open(encoding="utf-8-sig", newline="") as file:
                    reader = csv.DictReader(file, restkey=SURPLUS, strict=True)
                    _refuse_unclear_columns(list(reader.fieldnames or []), path)
                    yield from map(Row, count(1), reader)
            case ".jsonl":
                with path.open(encoding="utf-8-sig") as file:
                    yield from (Row(number, _json_object(line)) for number, line in enumerate(file, 1) if line.strip())
            case _:
                yield from map(Row, count(1), pl.read_parquet(path).iter_rows(named=True))
    except (OSError, UnicodeDecodeError, csv.Error, pl.exceptions.PolarsError) as fault:
        message = f"{path.name}: cannot be read as {path.suffix.removeprefix('.')}: {fault}"
        raise ProjectError(message) from None


def _refuse_unclear_columns(names: list[str], path: Path) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if names and not repeated:
        return
    found = f"found {', '.join(repeated)} more than once" if repeated else "found nothing"
    message = f"{path.name}: expected a first line that names each column once; {found}. Mend the first line."
    raise ProjectError(message)


def _json_object(line: str) -> dict[str, Any]:
    try:
        content = json.loads(line, parse_float=Decimal)
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {UNREADABLE: line.rstrip()}
