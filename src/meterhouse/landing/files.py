"""The landing zone: which files lie there, and what identifies them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from meterhouse.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON_LINES: Final = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".jsonl.zst", ".ndjson.zst")

JSON: Final = (".json", ".json.gz", ".json.zst")

CSV: Final = (".csv", ".csv.gz", ".csv.zst")

PARQUET: Final = ".parquet"

EXTENSIONS: Final = (*JSON_LINES, *JSON, *CSV, PARQUET)

KNOWN: Final = ".jsonl, .ndjson, .json and .csv, each also with .gz or .zst after it, and .parquet"


@dataclass(frozen=True)
class FileToLand:
    """A file of the landing zone. `name` is its path from there, with `/`, as it is shown and stored."""

    path: Path
    name: str


class Look(NamedTuple):
    """What changes when a file does: whoever finds it as it was has read what it was."""

    bytes: int
    modified_ns: int
    changed_ns: int
    inode: int


class Identity(NamedTuple):
    """A file's hash, and what the file was like when it had it."""

    file_id: str
    look: Look


@dataclass(frozen=True)
class Problem:
    """Something in the landing zone that cannot be landed and is left where it is."""

    name: str
    explanation: str


@dataclass(frozen=True)
class LandingZone:
    """What lies in the landing zone: files in the order of their names, and what is no file of events."""

    files: tuple[FileToLand, ...]
    problems: tuple[Problem, ...]


def list_files(folder: Path) -> LandingZone:
    """List the files to land, in folders too. Names that begin with `.` or `_` are not yet published and left alone."""
    if not folder.is_dir():
        message = (
            f"The landing zone '{folder}' is not a folder. Create it, or name another as `events` in meterhouse.yaml."
        )
        raise ProjectError(message)
    files: list[FileToLand] = []
    problems: list[Problem] = []
    for path in _walk(folder):
        if isinstance(path, OSError):
            problems.append(_unlisted(path, folder))
            continue
        file = FileToLand(path, _shown(path.relative_to(folder)))
        problem = _problem(path, folder)
        if problem is None:
            files.append(file)
        else:
            problems.append(Problem(file.name, problem))
    return LandingZone(
        tuple(sorted(files, key=lambda file: file.name)), tuple(sorted(problems, key=lambda problem: problem.name))
    )


def hash_file(path: Path) -> str:
    """SHA-256 of the file's bytes: the file's identity, whatever its name."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def identify(path: Path) -> Identity | None:
    """Hash a file; None where it is not the same file before and after. Raises OSError where it cannot be read."""
    before = look_at(path)
    file_id = hash_file(path)
    return None if before is None or look_at(path) != before else Identity(file_id, before)


def look_at(path: Path) -> Look | None:
    """What a file is like now; None where nothing is there, or may not be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Look(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _walk(folder: Path) -> Iterator[Path | OSError]:
    """Files, and links to folders; an error for each folder that cannot be listed."""
    unlisted: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unlisted.append, followlinks=False):
        yield from unlisted
        unlisted.clear()
        folders[:] = [name for name in folders if _is_published(name)]
        linked = [name for name in folders if (Path(parent) / name).is_symlink()]
        yield from (Path(parent) / name for name in [*linked, *names] if _is_published(name))
    yield from unlisted


def _unlisted(error: OSError, folder: Path) -> Problem:
    name = _shown(Path(error.filename).relative_to(folder))
    return Problem(name, f"The folder cannot be listed: {error.strerror}. Let this program read it, and land again.")


def _is_published(name: str) -> bool:
    return not name.startswith((".", "_"))


def _problem(path: Path, folder: Path) -> str | None:
    # Not by `resolve`, which raises where links lead in a circle.
    is_link, is_file = path.is_symlink(), path.is_file()
    if is_link and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        return "It is a link that leaves the landing zone. Copy the file into the landing zone instead."
    if is_link and not is_file:
        return "It is a link to no file. Remove it, or link to a file."
    if not is_file:
        return "It is neither a file nor a folder. Remove it."
    if not path.name.lower().endswith(EXTENSIONS):
        return f"Its name does not say a known format. Known: {KNOWN}. Rename it, or move it elsewhere."
    return None


def _shown(relative: Path) -> str:
    """A path as text that is safe to show. No two paths look the same: a backslash is shown as two.

    Bytes that are no UTF-8 are shown as escapes, since tables hold text only; so are characters that would break lines
    or steer a terminal.
    """
    name = os.fsencode(relative.as_posix().replace("\\", "\\\\")).decode("utf-8", "backslashreplace")
    if name.isprintable():
        return name
    return "".join(held if held.isprintable() else held.encode("unicode_escape").decode() for held in name)
