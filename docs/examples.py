"""Shell examples of the pages: found, run, compared. Run as a script, it writes what they print into the pages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = [ROOT / "README.md", ROOT / "data" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE: Final = re.compile(r"(?<=^```console\n)(?P<body>.*?)(?=^```$)", re.MULTILINE | re.DOTALL)
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
        line = text.count("\n", 0, block.start()) + 1
        for part in _parts(block["body"]):
            command, _, shown = part.partition("\n")
            found.append(Example(page.relative_to(ROOT).as_posix(), line, command, shown.rstrip()))
            line += part.count("\n")
    return found


def copy_samples(folder: Path) -> Path:
    """A place where a reader's commands find the sample projects, and may write."""
    shutil.copytree(ROOT / "data", folder / "data", ignore=shutil.ignore_patterns("warehouse", "exports"))
    return folder


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
    return re.fullmatch(pattern, _normal(printed)) is not None


def rewritten(page: Path, folder: Path) -> str:
    """The page with what its commands print now. Output that is cut with `...` stays where it still agrees."""

    def rerun(block: re.Match[str]) -> str:
        return "".join(_rerun(part, folder) for part in _parts(block["body"]))

    return _FENCE.sub(rerun, page.read_text(encoding="utf-8"))


def _rerun(part: str, folder: Path) -> str:
    command, _, shown = part.partition("\n")
    ended = run(command, folder)
    if ended.returncode:
        sys.exit(f"$ {command}\n{ended.stdout}{ended.stderr}")
    if not shown.strip() or agrees(shown.rstrip(), ended.stdout):
        return f"$ {part}"
    blank = "\n" if shown.endswith("\n\n") else ""
    return f"$ {command}\n{_normal(ended.stdout)}{blank}"


def _parts(body: str) -> list[str]:
    return re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]


def _normal(printed: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())


def main() -> None:
    """Write the pages whose commands print something else now."""
    for page in PAGES:
        if not examples_of(page):
            continue
        with tempfile.TemporaryDirectory() as folder:
            text = rewritten(page, copy_samples(Path(folder)))
        if text != page.read_text(encoding="utf-8"):
            page.write_text(text, encoding="utf-8")
            print(f"Written: {page.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
