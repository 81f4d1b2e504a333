"""Land whatever bytes reach new code. See README.md for how to run it."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import atheris

with atheris.instrument_imports(include=["meterhouse.landing", "meterhouse.tables.properties"]):
    from meterhouse.landing.files import EXTENSIONS
    from meterhouse.landing.properties import typed
    from meterhouse.landing.shapes import envelopes
    from tests.fuzz.conserved import check_landing, check_parts, check_reading
    from tests.fuzz.seeds import LINES, METADATA, SEEDS, TOKENS
    from tests.records import event, read_in_all_ways

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS: Final = [
    extension for extension in (".jsonl", ".jsonl", ".jsonl", ".json", ".csv", ".parquet") if extension in EXTENSIONS
]
_HEAD: Final = 2
_CHUNK_ROWS: Final = (1000, 1000, 1000, 3)
_READ: Final = 16
"""One input in so many is read as a file, which takes far longer than to cut it into records."""

_LANDED: Final = 64
"""One input in so many is landed, which takes longer still."""


_ENVELOPE: Final = event("{}").encode().split(b"{}")


def one_file(given: bytes) -> None:
    """Take a file apart from its first two bytes."""
    if len(given) < _HEAD:
        return
    check_parts(given[_HEAD:])
    if given[1] % _READ:
        return
    name = f"e{FORMATS[given[0] % len(FORMATS)]}"
    rows = _CHUNK_ROWS[given[1] // _READ % len(_CHUNK_ROWS)]
    check_reading(name, given[_HEAD:], chunk_rows=rows)
    if given[1] % _LANDED == 0:
        check_landing(name, given[_HEAD:], batch_rows=rows)


def one_file_of_lines(given: bytes) -> None:
    """Read lines quickly and with care; the first of them teach what the others are read as."""
    if len(given) < _HEAD:
        return
    lines = given[_HEAD:].split(b"\n")
    if given[1] % 2:
        lines = [line.join(_ENVELOPE) for line in lines]
    taught = given[0] % len(lines)
    read_in_all_ways(lines[taught:], lines[:taught], missing_customer="unattributed")


def _files() -> Iterator[bytes]:
    for number, seed in enumerate((*SEEDS, *METADATA)):
        yield from (bytes([form, number % 256]) + seed for form in range(len(FORMATS)))


def _lines() -> Iterator[bytes]:
    for is_metadata, seeds in enumerate((LINES, METADATA)):
        for taught in range(3):
            yield from (
                bytes([taught, is_metadata]) + seed for seed in (*seeds, b"\n".join(seeds), b"\n".join(2 * seeds))
            )


def main() -> None:
    """Begin with the seeds, in a folder of their own, and go on for as long as the arguments say."""
    target, *arguments = sys.argv[1:]
    one_input, seeds = {"files": (one_file, _files), "lines": (one_file_of_lines, _lines)}[target]
    # Lines are halved down to one, so that each is read quickly if it can be.
    vars(envelopes)["LEAST_ROWS"] = vars(typed)["LEAST_ROWS"] = 1
    with TemporaryDirectory(prefix="seeds") as folder:
        for number, seed in enumerate(seeds()):
            (Path(folder) / f"{number}").write_bytes(seed)
        words = Path(folder).with_suffix(".words")
        words.write_text("".join(f'"{_escaped(token)}"\n' for token in TOKENS), encoding="ascii")
        has_files = any(Path(argument).is_file() for argument in arguments)
        extra = [] if has_files else [f"-dict={words}", folder]
        atheris.Setup([sys.argv[0], *arguments, *extra], one_input)
        atheris.Fuzz()


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)


if __name__ == "__main__":
    main()
