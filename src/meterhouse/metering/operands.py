"""An event's property as what it can be compared as: a number, a text, a flag.

Each kind stands in a column of its own, so an event holds a property in at most one of them (rule 2.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.tables.columns import QUANTITY
from meterhouse.tables.properties import property_columns

if TYPE_CHECKING:
    from collections.abc import Iterable

_MICROSECOND: Final = pl.lit("0.000001").cast(QUANTITY)


@dataclass(frozen=True)
class Operands:
    """One property's columns; those that no event ever had are null."""

    number: pl.Expr
    text: pl.Expr
    flag: pl.Expr

    def as_text(self) -> pl.Expr:
        """The value as text, whatever its kind: `5` for 5.00, `true` for true."""
        return pl.coalesce(self.text, number_text(self.number), flag_text(self.flag))


class EventProperties:
    """Finds the columns of a property among those of the table `events`."""

    def __init__(self, columns: Iterable[str]) -> None:
        self._columns = property_columns(columns)

    def operands(self, name: str) -> Operands:
        """The operands of a property; `name`, `source` and `timestamp` are the event's own (rule 2.1)."""
        match name:
            case "name" | "source":
                return Operands(_no_number(), pl.col(name), _no_flag())
            case "timestamp":
                return Operands(_unix_seconds(), _no_text(), _no_flag())
            case _:
                return Operands(
                    pl.col(self._columns["number", name]) if ("number", name) in self._columns else _no_number(),
                    pl.col(self._columns["text", name]) if ("text", name) in self._columns else _no_text(),
                    pl.col(self._columns["flag", name]) if ("flag", name) in self._columns else _no_flag(),
                )

    def columns_of(self, names: Iterable[str]) -> list[str]:
        """The stored columns that properties need, so that a reader can leave the others."""
        wanted = set(names)
        return sorted(column for (_, name), column in self._columns.items() if name in wanted)


def number_text(number: pl.Expr) -> pl.Expr:
    """A decimal as text without trailing zeros."""
    return number.cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")


def flag_text(flag: pl.Expr) -> pl.Expr:
    """`true` or `false`."""
    return pl.when(flag).then(pl.lit("true")).when(flag.not_()).then(pl.lit("false"))


def _unix_seconds() -> pl.Expr:
    return pl.col("timestamp").dt.epoch("us").cast(QUANTITY) * _MICROSECOND


def _no_number() -> pl.Expr:
    return pl.lit(None, dtype=QUANTITY)


def _no_text() -> pl.Expr:
    return pl.lit(None, dtype=pl.String)


def _no_flag() -> pl.Expr:
    return pl.lit(None, dtype=pl.Boolean)
