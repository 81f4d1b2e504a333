"""A filter as one condition in SQL, written apart from the one that meters (rule 2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final, assert_never

from meterhouse.catalog.filters import Clause, Filter, Value
from meterhouse.tables.properties import Kind, property_columns, without_column

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_COMPARE: Final = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


_TYPES: Final[dict[Kind, str]] = {"number": "DECIMAL(38, 12)", "text": "VARCHAR", "flag": "BOOLEAN"}


@dataclass(frozen=True)
class Held:
    """SQL for what an event holds under a property's name; at most one of the three is not null."""

    number: str = "CAST(NULL AS DECIMAL(38, 12))"
    text: str = "CAST(NULL AS VARCHAR)"
    flag: str = "CAST(NULL AS BOOLEAN)"

    def as_text(self) -> str:
        """SQL for the value as text: numbers without trailing zeros, `true` and `false`."""
        return f"coalesce({self.text}, number_text({self.number}), CAST({self.flag} AS VARCHAR))"

    def as_json(self) -> str:
        """SQL for the value as JSON, so that a number and a text of its digits differ; `null` where there is none."""
        text = f"json_text({self.text})"
        return f"coalesce({text}, number_text({self.number}), CAST({self.flag} AS VARCHAR), 'null')"


class Properties:
    """Finds what an event holds under a property's name, among the columns of the table `events`."""

    def __init__(self, columns: Iterable[str], untyped: Collection[tuple[Kind, str]] = ()) -> None:
        names = list(columns)
        self._columns: Mapping[tuple[Kind, str], str] = property_columns(names)
        self._untyped = partial(without_column, columns=names, untyped=untyped)

    def held(self, name: str) -> Held:
        """SQL for a property; `name`, `source` and `timestamp` are the event's own."""
        match name:
            case "name" | "source":
                return Held(text=identifier(name))
            case "timestamp":
                return Held(number='unix_seconds("timestamp")')
            case _:
                columns: dict[str, str] = {
                    kind: identifier(column) for (kind, held), column in self._columns.items() if held == name
                }
                read = {kind: _in_metadata(kind, name) for kind, _ in self._untyped([name])}
                return Held(**columns, **read)


def _in_metadata(kind: Kind, name: str) -> str:
    r"""SQL for a property without a column. It is looked for only where its name, or a `\` that may spell it, is."""
    part = text_literal(max(name.split("."), key=len))
    value = f"untyped_property(metadata, {text_literal(kind)}, {text_literal(name)})"
    may_hold = f"contains(metadata, {part}) OR contains(metadata, '\\')"
    return f"CAST(CASE WHEN {may_hold} THEN {value} END AS {_TYPES[kind]})"


def condition(rule: Filter, properties: Properties) -> str:
    """SQL that is true where an event counts and false where it does not; never null."""
    if not rule.clauses:
        return "true"
    parts = [
        condition(part, properties) if isinstance(part, Filter) else _clause(part, properties.held(part.property))
        for part in rule.clauses
    ]
    return "(" + f" {rule.conjunction.upper()} ".join(parts) + ")"


def _clause(clause: Clause, held: Held) -> str:
    """One comparison; what is missing matches nothing, not even `ne` and `not_like`."""
    match clause.operator:
        case "like":
            return f"coalesce(contains({held.as_text()}, {text_literal(_as_text(clause.values()[0]))}), false)"
        case "not_like":
            return f"coalesce(NOT contains({held.as_text()}, {text_literal(_as_text(clause.values()[0]))}), false)"
        case "exists":
            return f"(({held.as_text()}) IS NOT NULL)"
        case "in":
            return "(" + " OR ".join(_compared(value, held, "=") for value in clause.values()) + ")"
        case "not_in":
            some_differs = " OR ".join(_compared(value, held, "<>") for value in clause.values())
            none_equals = " AND ".join(f"NOT {_compared(value, held, '=')}" for value in clause.values())
            return f"(({some_differs}) AND {none_equals})"
        case _:
            return _compared(clause.values()[0], held, _COMPARE[clause.operator])


def _compared(value: Value, held: Held, compare: str) -> str:
    kinds = [f"{column} {compare} {literal}" for column, literal in _comparable(value, held)]
    return f"coalesce({', '.join(kinds)}, false)"


def _comparable(value: Value, held: Held) -> list[tuple[str, str]]:
    """Which column compares with what. The first that is not null decides: an event holds a property in one of them."""
    text = (held.text, text_literal(_as_text(value)))
    match value:
        case bool():
            return [text, (held.number, str(int(value))), (f"CAST({held.flag} AS TINYINT)", str(int(value)))]
        case Decimal():
            return [text, (held.number, f"CAST('{value:f}' AS DECIMAL(38, 12))")]
        case str():
            return [text]
        case _:
            assert_never(value)


def _as_text(value: Value) -> str:
    match value:
        case bool():
            return str(value).lower()
        case Decimal():
            whole, _, places = f"{value:f}".partition(".")
            places = places.rstrip("0")
            return f"{whole}.{places}" if places else whole
        case str():
            return value
        case _:
            assert_never(value)


def identifier(name: str) -> str:
    """A name, quoted for SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def text_literal(value: str) -> str:
    """A text, quoted for SQL. A zero character would end the statement, so it is put together."""
    return " || chr(0) || ".join("'" + part.replace("'", "''") + "'" for part in value.split("\0"))
