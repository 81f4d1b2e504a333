"""What metadata holds, read once more by other code than landing's: Python's own JSON reader, with exact numbers."""

from __future__ import annotations

import json
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

from meterhouse.tables.properties import Kind  # DuckDB evaluates the types of functions that it is given.

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLACES: Final = Decimal("1e-12")
_EXACT: Final = Context(prec=60, rounding=ROUND_HALF_UP)

Scalar: TypeAlias = Decimal | str | bool


def properties_of(metadata: str) -> dict[tuple[Kind, str], Scalar]:
    """The properties of an accepted event: nested names joined by `.`, numbers with 12 places (rule 1.7)."""
    read = json.loads(metadata, parse_float=Decimal, parse_int=Decimal)
    return {(_kind(value), name): value for name, value in _scalars(read, "")}


def property_text(metadata: str, kind: Kind, name: str) -> str | None:
    """A property as text that DuckDB casts exactly; None where there is none of that kind."""
    value = properties_of(metadata).get((kind, name))
    match value:
        case Decimal():
            return f"{value:f}"
        case bool():
            return str(value).lower()
        case _:
            return value


def _scalars(held: dict[str, object], prefix: str) -> Iterator[tuple[str, Scalar]]:
    for name, value in held.items():
        match value:
            case dict():
                yield from _scalars(value, f"{prefix}{name}.")
            case Decimal():
                yield f"{prefix}{name}", value.quantize(_PLACES, context=_EXACT)
            case str() | bool():
                yield f"{prefix}{name}", value
            case _:  # Arrays and nulls are no properties.
                pass


def _kind(value: Scalar) -> Kind:
    match value:
        case bool():
            return "flag"
        case str():
            return "text"
        case Decimal():
            return "number"
