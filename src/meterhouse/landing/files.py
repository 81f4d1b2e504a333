"""The landing zone: which files lie there, and what identifies them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meterhouse.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTENSIONS: Final = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".jsonl.zst", ".ndjson.zst", ".parquet")


@dataclass(frozen=True)
class FileToLand:
    """A file of the landing zone. `name` is its path from there, with `/`, as it is shown and stored."""

    path: Path
    name: str


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


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = [name for name in folders if _is_published(name)]
        linked = [name for name in folders if (Path(parent) / name).is_symlink()]
        yield from (Path(parent) / name for name in [*linked, *names] if _is_published(name))


def _is_published(name: str) -> bool:
    return not name.startswith((".", "_"))


def _problem(path: Path, folder: Path) -> str | None:
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        return "It is a link that leaves the landing zone. Copy the file into the landing zone instead."
    if path.is_symlink() and not path.is_file():
        return "It is a link to no file. Remove it, or link to a file."
    if not path.is_file():
        return "It is neither a file nor a folder. Remove it."
    if not path.name.lower().endswith(EXTENSIONS):
        return f"Its name does not say a known format. Known: {', '.join(EXTENSIONS)}. Rename it, or move it elsewhere."
    return None


def _shown(relative: Path) -> str:
    """A path as text; bytes that are no UTF-8 are shown as escapes, since tables hold text only."""
    return os.fsencode(relative.as_posix()).decode("utf-8", "backslashreplace")
