"""What records were seen to be, so that the next can be read at once as the same. It changes no result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from threading import Lock
from typing import Final, Literal, TypeAlias

import msgspec
import polars as pl
import pyarrow as pa

from meterhouse.tables.properties import is_typable

NUMBER: Final = pa.decimal128(26, 12)
"""With more digits PyArrow multiplies numbers without seeing that they overflow."""

LONG_NUMBER: Final = pa.decimal256(26, 50)
"""For properties of which a number had more than 12 places; the rounding is done after."""

MOST: Final = 500
"""Names that are learnt. Each costs a little for every event, so the rare ones of very many are read with care."""

MOST_MIXED: Final = 4
"""Properties of mixed kinds for which events are read apart; their groups multiply."""

Sort: TypeAlias = Literal["number", "text", "flag", "list", "object"]

Path: TypeAlias = tuple[str, ...]

_BEGINS: Final[dict[str, Sort]] = {
    '"': "text",
    "t": "flag",
    "f": "flag",
    "[": "list",
    "{": "object",
    **dict[str, Sort].fromkeys("-0123456789", "number"),
}
"""What a value is, by its first character."""


_PLAIN_TYPES: Final[dict[Sort | None, pa.DataType]] = {"number": NUMBER, "text": pa.string(), "flag": pa.bool_()}


class _Number(str):
    __slots__ = ()


_decode: Final = msgspec.json.Decoder(dict[str, object], float_hook=_Number).decode


@dataclass
class _Seen:
    """What a value was seen to be; nulls are seen as nothing."""

    sorts: set[Sort] = field(default_factory=set)
    has_long_numbers: bool = False
    members: dict[str, _Seen] = field(default_factory=dict)
    items: _Seen | None = None


class Known:
    """The fields that records have, and what properties were seen to be. May be used by several threads.

    `misses` counts how often, since it last was not, records were not like those before.
    """

    def __init__(self, most: int = MOST) -> None:
        self.fields: frozenset[str] = frozenset()
        self.misses = 0
        self._most = most
        self._lock = Lock()
        self._root = _Seen({"object"})
        self._paths: dict[str, Path] = {}
        self._names = 0

    def learn(self, texts: Sequence[str]) -> None:
        """Learn from metadata that was accepted."""
        with self._lock:
            for text in texts:
                if self._names < self._most:
                    self._note(self._root, (), _decode(text))

    def groups(self, rows: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pa.Schema | None]]:
        """Rows with the column `text`, apart where a property has mixed kinds, and what each group may be read as.

        How a value begins tells its kind. A name that stands elsewhere too may mislead; then the group is refused.
        """
        with self._lock:
            mixed = list(_mixed(self._root, ()))
        if not mixed:
            yield rows, self._schema({})
        elif len(mixed) > MOST_MIXED:
            yield rows, None
        else:
            begins = {f"begins_{place}": _begin(path[-1]) for place, path in enumerate(mixed)}
            apart = rows.with_columns(**begins).partition_by(*begins, as_dict=True, maintain_order=True)
            for characters, group in apart.items():
                chosen = {path: _BEGINS.get(str(character)) for path, character in zip(mixed, characters, strict=True)}
                yield group.drop(*begins), self._schema(chosen)

    def properties(self) -> pa.Schema | None:
        """What all metadata may be read as; None where a property has mixed kinds."""
        return self._schema({})

    def _schema(self, chosen: dict[Path, Sort | None]) -> pa.Schema | None:
        with self._lock:
            root = _type(self._root, (), chosen)
        return None if root is None else pa.schema(list(root))

    def _note(self, seen: _Seen, path: Path | None, value: object) -> None:
        match value:
            case bool():
                seen.sorts.add("flag")
            case int() | _Number():
                seen.sorts.add("number")
                seen.has_long_numbers = seen.has_long_numbers or _places(value) > NUMBER.scale
            case str():
                seen.sorts.add("text")
            case list():
                seen.sorts.add("list")
                seen.items = seen.items or _Seen()
                for item in value:
                    self._note(seen.items, None, item)
            case dict():
                seen.sorts.add("object")
                self._note_members(seen, path, value)
            case _:
                pass

    def _note_members(self, seen: _Seen, path: Path | None, members: dict[str, object]) -> None:
        for name, value in members.items():
            if name not in seen.members and (self._names >= self._most or not is_typable(name)):
                # Names are searched for by patterns, which may not be long.
                continue
            inner = None if path is None else (*path, name)
            # Never learnt, so always read with care: what has no name, or the flat name of another property.
            if inner == ("",) or (inner and self._paths.setdefault(".".join(inner), inner) != inner):
                continue
            if name not in seen.members:
                seen.members[name] = _Seen()
                self._names += 1
            self._note(seen.members[name], inner, value)


def _places(number: object) -> int:
    try:
        exponent = Decimal(str(number)).as_tuple().exponent
    except InvalidOperation:
        return 0
    return -exponent if isinstance(exponent, int) else 0


def _mixed(seen: _Seen, path: Path) -> Iterator[Path]:
    for name, member in seen.members.items():
        if len(member.sorts) > 1 or (member.items and _type(member.items, (), {}) is None):
            yield (*path, name)
        yield from _mixed(member, (*path, name))


def _begin(name: str) -> pl.Expr:
    """The first character of the value that a name has, wherever it stands."""
    spelled = pl.escape_regex(msgspec.json.encode(name).decode())
    return pl.col("text").str.extract(rf"{spelled}\s*:\s*(.)")


def _type(seen: _Seen, path: Path, chosen: dict[Path, Sort | None]) -> pa.DataType | None:
    """None where no one type is."""
    if path not in chosen and len(seen.sorts) > 1:
        return None
    sort = chosen[path] if path in chosen else next(iter(seen.sorts), None)
    if sort == "list":
        items = _type(seen.items, (*path, "[]"), {}) if seen.items else pa.null()
        return None if items is None else pa.list_(items)
    if sort == "object":
        members = [(name, _type(member, (*path, name), chosen)) for name, member in seen.members.items()]
        return None if any(kind is None for _, kind in members) else pa.struct(members)
    if sort == "number" and seen.has_long_numbers:
        return LONG_NUMBER
    return _PLAIN_TYPES.get(sort, pa.null())
