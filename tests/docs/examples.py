"""Shell examples of Markdown pages, and how they are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_FENCE: Final = re.compile(r"^```console\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_ELIDED: Final = "..."


@dataclass(frozen=True)
class Example:
    """A command with the output that the page shows; no output where the page shows none."""

    page: str
    line: int
    command: str
    shown: str

    def __str__(self) -> str:
        """Name of the example in test reports."""
        return f"{self.page}:{self.line}"


def examples_of(page: Path) -> list[Example]:
    """Commands of the page's `console` blocks, in order: lines after `$ `, what follows is what they print."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in _FENCE.finditer(text):
        line = text.count("\n", 0, block.start("body")) + 1
        for part in re.split(r"^\$ ", block["body"], flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found.append(Example(page.relative_to(ROOT).as_posix(), line, command, shown.rstrip()))
            line += part.count("\n")
    return found


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a reader would who has the environment on the path, on a plain screen of 100 columns."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "LANG": "C.UTF-8",
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def agrees(shown: str, printed: str) -> bool:
    """Whether the output is what the page shows. A line `...` of the page stands for any lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == _ELIDED else re.escape(line.rstrip()) + "\n" for line in shown.splitlines()
    )
    normal = "".join(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())
    return re.fullmatch(pattern, normal) is not None
