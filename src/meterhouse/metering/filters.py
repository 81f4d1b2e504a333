"""A filter as one expression on events (rule 2.1)."""

from __future__ import annotations

import operator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple, assert_never

import polars as pl

from meterhouse.catalog.filters import Clause, Filter, Value, number_text
from meterhouse.tables.columns import QUANTITY

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterhouse.metering.operands import EventProperties, Operands

_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def matches(rule: Filter, properties: EventProperties) -> pl.Expr:
    """Whether an event counts: true or false, never null."""
    parts = [
        matches(part, properties) if isinstance(part, Filter) else clause_matches(part, properties)
        for part in rule.clauses
    ]
    if not parts:
        return pl.lit(value=True)
    return pl.all_horizontal(parts) if rule.conjunction == "and" else pl.any_horizontal(parts)


def clause_matches(clause: Clause, properties: EventProperties) -> pl.Expr:
    """Whether one comparison holds; a missing property matches nothing, not even `ne`, `not_like` and `not_in`."""
    operands = properties.operands(clause.property)
    match clause.operator:
        case "like" | "not_like":
            contains = operands.as_text().str.contains(value_text(clause.values()[0]), literal=True)
            return (contains if clause.operator == "like" else contains.not_()).fill_null(value=False)
        case "in" | "not_in":
            return _listed(operands, clause.values(), wanted=clause.operator == "in")
        case "exists":
            return pl.any_horizontal(kind.is_not_null() for kind in (operands.number, operands.text, operands.flag))
        case _:
            return _compared(operands, clause.values()[0], _COMPARE[clause.operator])


def _compared(operands: Operands, value: Value, compare: Callable[[Any, Any], Any]) -> pl.Expr:
    """Texts compare with the value as text; numbers with numbers, true and false being 1 and 0; flags with flags."""
    same = _comparable((value,))
    kinds = [compare(operands.text, same.texts[0])]
    kinds += [compare(operands.number, _number(number)) for number in same.numbers]
    kinds += [compare(operands.flag.cast(pl.Int8), int(flag)) for flag in same.flags]
    return pl.any_horizontal(kind.fill_null(value=False) for kind in kinds)


def _listed(operands: Operands, values: tuple[Value, ...], *, wanted: bool) -> pl.Expr:
    """Whether the property equals some value, or none of those that it can be compared with, if there are such."""
    same = _comparable(values)
    kinds = [
        operands.text.is_in(same.texts),
        operands.number.is_in(pl.lit(pl.Series(same.numbers, dtype=QUANTITY)).implode()),
        operands.flag.is_in(same.flags),
    ]
    held = [kind for kind, listed in zip(kinds, same, strict=True) if listed]
    return pl.any_horizontal((kind if wanted else kind.not_()).fill_null(value=False) for kind in held)


class Comparable(NamedTuple):
    """Values by the kind of property that they compare with."""

    texts: list[str]
    numbers: list[Decimal]
    flags: list[bool]


def _comparable(values: tuple[Value, ...]) -> Comparable:
    """Every value compares with texts; numbers, and true and false as 1 and 0, with numbers; flags with flags."""
    flags = [value for value in values if isinstance(value, bool)]
    numbers = [Decimal(value) for value in values if not isinstance(value, str)]
    return Comparable([value_text(value) for value in values], numbers, flags)


def value_text(value: Value) -> str:
    """A filter's value as text, written as a property's value is: see `operands`."""
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            return number_text(value)
        case str():
            return value
        case _:
            assert_never(value)


def _number(value: Decimal) -> pl.Expr:
    return pl.lit(f"{value:f}").cast(QUANTITY)
