"""Files of rows: CSV, JSONL or Parquet, each row as a mapping with its place in the file."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from meterhouse.catalog.faults import did_you_mean, near_to
from meterhouse.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Collection
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


class RowFile(NamedTuple):
    """A file of rows."""

    rows: list[Row]
    columns: list[str]
    """Columns that the file has: of JSONL, that any of its records has."""
    common: frozenset[str]
    """Columns that every row has."""


def find_file(root: Path, name: str) -> Path:
    """The one file of that name. Raises ProjectError where there is none, or one in each of several formats."""
    found = [root / f"{name}.{extension}" for extension in FORMATS if (root / f"{name}.{extension}").is_file()]
    if len(found) == 1:
        return found[0]
    which = "found " + " and ".join(path.name for path in found) if found else "found none"
    message = f"{root}: expected one of {name}.csv, {name}.jsonl or {name}.parquet; {which}. Keep one."
    raise ProjectError(message)


def read_rows(path: Path) -> RowFile:
    """Rows as they are. Raises ProjectError where the file as a whole cannot be read."""
    try:
        match path.suffix:
            case ".csv":
                return _read_csv(path)
            case ".jsonl":
                return _read_jsonl(path)
            case _:
                frame = pl.read_parquet(path)
                rows = list(map(Row, count(1), frame.iter_rows(named=True)))
                return RowFile(rows, frame.columns, frozenset(frame.columns))
    except (OSError, UnicodeDecodeError, csv.Error, pl.exceptions.PolarsError) as fault:
        message = f"{path.name}: cannot be read as {path.suffix.removeprefix('.')}: {fault}"
        raise ProjectError(message) from None


def refuse_columns(path: Path, file: RowFile, needed: Collection[str], known: Collection[str], *, only: bool) -> None:
    """Raise ProjectError where a column that every row needs is missing, or `only` known ones may be there.

    It is one fault of the file then, and not one of each row.
    """
    if path.suffix == ".jsonl" and not file.columns:
        return
    strange = [column for column in file.columns if column in file.common and column not in known]
    faults = [_missing(column, strange) for column in needed if column not in file.columns]
    if only:
        faults += [f"column '{column}' is not known here; {did_you_mean(column, known)}" for column in strange]
    if faults:
        rest = "." if only else "; further columns are left alone."
        message = (
            f"{path.name}: {'; '.join(faults)}\n"
            f"  found:    {', '.join(file.columns)}\n"
            f"  expected: {', '.join(known)}{rest}\n"
            f"Every row needs {', '.join(needed)}. Mend the names of the columns."
        )
        raise ProjectError(message)


def _missing(column: str, strange: list[str]) -> str:
    near = near_to(column, strange)
    return f"column '{column}' is missing" + (f"; did you mean it by '{near}'?" if near else "")


def _read_csv(path: Path) -> RowFile:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restkey=SURPLUS, strict=True)
        columns = list(reader.fieldnames or [])
        _refuse_unclear_columns(columns, path)
        return RowFile(list(map(Row, count(1), reader)), columns, frozenset(columns))


def _read_jsonl(path: Path) -> RowFile:
    with path.open(encoding="utf-8-sig") as file:
        rows = [Row(number, _json_object(line)) for number, line in enumerate(file, 1) if line.strip()]
    keys = [row.record.keys() for row in rows if UNREADABLE not in row.record]
    columns = list(dict.fromkeys(key for held in keys for key in held))
    return RowFile(rows, columns, frozenset(columns).intersection(*keys))


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
