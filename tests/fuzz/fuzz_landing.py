"""Land whatever bytes reach new code. See README.md for how to run it."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import atheris

with atheris.instrument_imports(include=["meterhouse.landing", "meterhouse.tables.properties"]):
    from meterhouse.landing.files import EXTENSIONS
    from tests.fuzz.conserved import check_landing, check_parts, check_reading
    from tests.fuzz.seeds import METADATA, SEEDS, TOKENS

FORMATS: Final = [
    extension for extension in (".jsonl", ".jsonl", ".jsonl", ".json", ".csv", ".parquet") if extension in EXTENSIONS
]
_HEAD: Final = 2
_CHUNK_ROWS: Final = (1000, 1000, 1000, 3)
_READ: Final = 16
"""One input in so many is read as a file, which takes far longer than to cut it into records."""

_LANDED: Final = 64
"""One input in so many is landed, which takes longer still."""


def one_input(given: bytes) -> None:
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


def main() -> None:
    """Begin with the seeds, in a folder of their own, and go on for as long as the arguments say."""
    with TemporaryDirectory(prefix="seeds") as folder:
        for number, seed in enumerate((*SEEDS, *METADATA)):
            for form in range(len(FORMATS)):
                (Path(folder) / f"{number}-{form}").write_bytes(bytes([form, number % 256]) + seed)
        words = Path(folder).with_suffix(".words")
        words.write_text("".join(f'"{_escaped(token)}"\n' for token in TOKENS), encoding="ascii")
        has_files = any(Path(argument).is_file() for argument in sys.argv[1:])
        extra = [] if has_files else [f"-dict={words}", folder]
        atheris.Setup([*sys.argv, *extra], one_input)
        atheris.Fuzz()


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)


if __name__ == "__main__":
    main()
