"""The peers' cases: read from a folder, in one shape."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

OWN_VECTORS: Final = Path(__file__).parent / "vectors"

_ANSWERS = ("expect", "expected", "phases")
_ABOUT = ("id", "kind", "source", "notes", "recompute", "assertion")


class NotCovered(Exception):
    """The product has no function for this case. Says what is missing."""


@dataclass(frozen=True)
class Case:
    """One case of a peer: what is given, and what the peer's own test asserts."""

    peer: str
    kind: str
    id: str
    given: dict[str, Any]
    expect: Any


def read_cases(folder: Path) -> list[Case]:
    """Read all cases of a folder with one folder per peer, in the order of files and of cases within them."""
    files = sorted(folder.glob("*/*.json"))
    if not files:
        message = f"{folder}: expected folders of peers with .json files of cases, as in tests/conformance/vectors."
        raise FileNotFoundError(message)
    return [case for file in files for case in _cases_of(file)]


def _cases_of(file: Path) -> list[Case]:
    content = json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    return [_case(file.parent.name, vector) for vector in content["vectors"]]


def _case(peer: str, vector: dict[str, Any]) -> Case:
    """Take what is given: `given` where the peer's file has it, else (Lago) all that is not about the case."""
    expect = next(vector[name] for name in _ANSWERS if name in vector)
    rest = {name: value for name, value in vector.items() if name not in (*_ANSWERS, *_ABOUT, "given")}
    return Case(peer, vector["kind"], vector["id"], rest | vector.get("given", {}), expect)
