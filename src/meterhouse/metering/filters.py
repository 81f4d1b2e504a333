"""A filter as one expression on events (rule 2.1)."""

from __future__ import annotations

import operator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, assert_never

import polars as pl

from meterhouse.catalog.filters import Clause, Filter, number_text
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
    """Whether one comparison holds; a missing property matches nothing, not even `ne` and `not_like`."""
    operands = properties.operands(clause.property)
    if clause.operator in ("like", "not_like"):
        contains = operands.as_text().str.contains(value_text(clause.value), literal=True)
        return (contains if clause.operator == "like" else contains.not_()).fill_null(value=False)
    return pl.any_horizontal(_comparisons(operands, clause)).fill_null(value=False)


def _comparisons(operands: Operands, clause: Clause) -> list[pl.Expr]:
    """Texts compare with the value as text; numbers with numbers, true and false being 1 and 0; flags with flags."""
    compare = _COMPARE[clause.operator]
    texts = compare(operands.text, value_text(clause.value)).fill_null(value=False)
    match clause.value:
        case bool(value):
            numbers = compare(operands.number, _number(Decimal(int(value)))).fill_null(value=False)
            flags = compare(operands.flag.cast(pl.Int8), int(value)).fill_null(value=False)
            return [texts, numbers, flags]
        case Decimal() as value:
            return [texts, compare(operands.number, _number(value)).fill_null(value=False)]
        case str():
            return [texts]
        case _:
            assert_never(clause.value)


def value_text(value: str | bool | Decimal) -> str:  # noqa: FBT001 - a filter's value is one of three types
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
