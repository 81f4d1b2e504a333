"""JSON records that have more around an event, or beside it, than its shape has, or a field twice."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from meterhouse.landing.shapes.peers import CLOUD_EVENTS

EXTENSION: Final = re.compile(r"[a-z0-9]+")
"""Names that CloudEvents lets senders add. What is to be billed stands in `data`; what is added is not stored."""

SCALARS: Final = b'"-0123456789tfn'
"""How the values begin that an added attribute may have."""

_decode: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def plain_event(line: bytes, known: frozenset[str]) -> bytes | None:
    """The event in a wrapper `{"event": ...}`, or a CloudEvent without what was added; None where it is neither.

    `known` are the fields of all shapes: a name that means something elsewhere is not one that a sender adds.
    """
    members = _decode(line)
    if members.keys() == {"event"}:
        return bytes(members["event"])
    if "specversion" not in members:
        return None
    kept = {name: value for name, value in members.items() if not _is_added(name, bytes(value), known)}
    return msgspec.json.encode(kept) if len(kept) < len(members) else None


class RepeatedField(Exception):
    """A record has a field of this name twice."""


def refuse_repeated(line: bytes, known: frozenset[str]) -> None:
    """Raise where a record has a field twice: decoding keeps the last value only, and nothing says which one counts."""
    members = _decode(line)
    values = b" ".join(members.values())
    # A name that holds a colon itself is of no shape, and refused for that.
    if line.count(b":") == values.count(b":") + len(members) or any(":" in name for name in members):
        return
    spelled = {name: b'"%b"' % name.encode() for name in known.intersection(members)}
    twice = [name for name, quoted in spelled.items() if line.count(quoted) > values.count(quoted) + 1]
    raise RepeatedField(f"the field '{min(twice)}'" if twice else "a field")


def _is_added(name: str, value: bytes, known: frozenset[str]) -> bool:
    return name not in known | set(CLOUD_EVENTS.fields) and bool(EXTENSION.fullmatch(name)) and value[0] in SCALARS
