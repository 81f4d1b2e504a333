"""How the properties of events become typed columns of `events`, and columns become properties again.

A property has up to three columns, since senders change their minds: `number_*`, `text_*` and `flag_*`. The name after
the prefix is the property's, with the characters that Delta refuses percent-encoded, so that decoding gives it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args
from urllib.parse import unquote

import polars as pl

from meterhouse.tables.columns import QUANTITY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

Kind: TypeAlias = Literal["number", "text", "flag"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

TYPES: Final[dict[Kind, pl.DataType]] = {"number": QUANTITY, "text": pl.String(), "flag": pl.Boolean()}

REFUSED: Final = frozenset(' ,;{}()\n\t=%"')
"""What Delta refuses in a column name, the escape itself, and the quote that would end a name in SQL."""


LONGEST: Final = 200
"""Bytes of a property's name. A longer one has no column; what an event holds under it is read from its metadata."""

MOST_REMEMBERED: Final = 100_000
"""Properties without a column that are remembered. Beyond them no property gets a column any more."""

Held: TypeAlias = tuple[Kind, str]
"""A property, and as what it is held."""


def column_of(kind: Kind, property_name: str) -> str:
    """Name the column of a property, as long as no other property differs from it in letter case only."""
    return f"{kind}_{_encode(property_name, _is_refused)}"


def property_of(column: str) -> Held | None:
    """Say which property a column holds, and as what; None for a column that holds none."""
    for kind in KINDS:
        if column.startswith(f"{kind}_"):
            return kind, unquote(column.removeprefix(f"{kind}_"), errors="strict")
    return None


def property_columns(columns: Iterable[str]) -> dict[Held, str]:
    """Find the column of each property among a table's columns."""
    return {held: column for column in columns if (held := property_of(column)) is not None}


def is_typable(property_name: str) -> bool:
    """Whether a property may have a column at all."""
    return len(property_name.encode()) <= LONGEST


def without_column(names: Iterable[str], columns: Iterable[str], untyped: Collection[Held]) -> list[Held]:
    """Which of these properties events may hold though they have no column for them, sorted."""
    typed = property_columns(columns)
    remembers_all = len(untyped) < MOST_REMEMBERED
    return sorted(
        (kind, name)
        for name in set(names)
        for kind in KINDS
        if (kind, name) not in typed and ((kind, name) in untyped or not is_typable(name) or not remembers_all)
    )


class PropertyNames:
    """Gives each property its column, and no two columns that differ in letter case only.

    DuckDB and Delta take such columns for one. Who comes second has letters percent-encoded: first the uppercase ones,
    and where that is not enough all of them. Decoding needs to know nothing of this.
    """

    def __init__(self, existing: Iterable[str] = ()) -> None:
        """Start from the columns that a table already has: a property keeps its column for ever."""
        self._columns = property_columns(existing)
        self._taken = {column.lower() for column in self._columns.values()}

    def __contains__(self, held: Held) -> bool:
        """Whether this property has a column."""
        return held in self._columns

    def __len__(self) -> int:
        """How many columns there are."""
        return len(self._columns)

    def column(self, kind: Kind, property_name: str) -> str:
        """The column of this property, new or not."""
        known = self._columns.get((kind, property_name))
        if known is not None:
            return known
        spellings = (f"{kind}_{_encode(property_name, refused)}" for refused in (_is_refused, _is_upper, _is_cased))
        column = next(spelling for spelling in spellings if spelling.lower() not in self._taken)
        self._columns[kind, property_name] = column
        self._taken.add(column.lower())
        return column


def _is_refused(character: str) -> bool:
    return character in REFUSED or not character.isprintable()


def _is_upper(character: str) -> bool:
    return _is_refused(character) or character.lower() != character


def _is_cased(character: str) -> bool:
    return _is_upper(character) or character.upper() != character


def _encode(property_name: str, refused: Callable[[str], bool]) -> str:
    if not any(map(refused, property_name)):
        return property_name
    return "".join(_percent(character) if refused(character) else character for character in property_name)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
