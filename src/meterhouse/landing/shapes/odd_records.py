"""JSON records that have more around an event, or beside it, than its shape has."""

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


def _is_added(name: str, value: bytes, known: frozenset[str]) -> bool:
    return name not in known | set(CLOUD_EVENTS.fields) and bool(EXTENSION.fullmatch(name)) and value[0] in SCALARS
