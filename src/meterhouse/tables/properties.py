"""How the properties of events become typed columns of `events`, and columns become properties again.

A property has up to three columns, since senders change their minds: `number_*`, `text_*` and `flag_*`. The name after
the prefix is the property's, with the characters that Delta refuses percent-encoded. A capital is two underscores and
the small letter (`promptTokens` is `number_prompt__tokens`), since DuckDB and Delta take columns that differ in letter
case only for one. So a column's name follows from the property's alone, whatever came before, and can be read back.
"""

from __future__ import annotations

import re
from string import ascii_uppercase
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args
from urllib.parse import unquote

import polars as pl

from meterhouse.tables.columns import QUANTITY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Kind: TypeAlias = Literal["number", "text", "flag"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

TYPES: Final[dict[Kind, pl.DataType]] = {"number": QUANTITY, "text": pl.String(), "flag": pl.Boolean()}

REFUSED: Final = frozenset(' ,;{}()\n\t=%"')
"""What Delta refuses in a column name, the escape itself, and the quote that would end a name in SQL."""

_CAPITAL: Final = re.compile("__([a-z])")

LONGEST: Final = 200
"""Bytes of a property's name. A longer one has no column; what an event holds under it is read from its metadata."""

MOST_REMEMBERED: Final = 100_000
"""Properties without a column that are remembered. Beyond them no property gets a column any more."""

Held: TypeAlias = tuple[Kind, str]
"""A property, and as what it is held."""


def column_of(kind: Kind, property_name: str) -> str:
    """Name the column of a property; no two properties have columns that differ in letter case only."""
    return f"{kind}_{_encode(property_name)}"


def property_of(column: str) -> Held | None:
    """Say which property a column holds, and as what; None for a column that holds none."""
    for kind in KINDS:
        if column.startswith(f"{kind}_"):
            return kind, _decode(column.removeprefix(f"{kind}_"))
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


def _encode(property_name: str) -> str:
    before = ["", *property_name]
    return "".join(map(_spelled, property_name, before))


def _spelled(character: str, before: str) -> str:
    if character in ascii_uppercase:
        return f"__{character.lower()}"
    # Two underscores mark a capital, but only of A to Z; of other letters' cases one is percent-encoded.
    is_odd = character == before == "_" or character != character.lower()
    return _percent(character) if is_odd or character in REFUSED or not character.isprintable() else character


def _decode(spelled: str) -> str:
    return unquote(_CAPITAL.sub(lambda marked: marked[1].upper(), spelled), errors="strict")


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
