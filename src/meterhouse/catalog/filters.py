"""What makes an event count: Polar's filters, nested `and`/`or` of clauses (rule 2.1)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    model_validator,
)

from meterhouse.catalog.faults import refuse_synonyms

Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "like", "not_like", "in", "not_in", "exists"]

Value: TypeAlias = str | bool | Decimal

_SYNONYMS: Final = {
    "eq": ("=", "==", "===", "is", "equal", "equals"),
    "ne": ("!=", "<>", "neq", "not", "not_eq", "not_equal", "not_equals", "is_not"),
    "gt": (">", "greater", "greater_than", "above", "after"),
    "gte": (">=", "ge", "at_least", "greater_than_or_equal"),
    "lt": ("<", "less", "less_than", "below", "before"),
    "lte": ("<=", "le", "at_most", "less_than_or_equal"),
    "like": ("contains", "includes", "ilike", "matches", "regex"),
    "not_like": ("not_contains", "does_not_contain", "excludes"),
    "in": ("any_of", "one_of", "is_in"),
    "not_in": ("nin", "none_of", "is_not_in", "not in"),
    "exists": ("has", "present", "is_set", "not_null", "is_not_null"),
}
"""What operators are called elsewhere."""


FIXED_PROPERTIES: Final = ("name", "source", "timestamp")
"""Properties that are fields of the event itself and not of its metadata; `timestamp` is unix seconds."""

_LONGEST_TEXT: Final = 1000
_LONGEST_LIST: Final = 1000
_NUMBER_LIMIT: Final = Decimal(10) ** 15
_PLACES: Final = 12


def _exact_values(value: object) -> Value | tuple[Value, ...] | None:
    """A filter's value, or a list of them for `in` and `not_in`."""
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        return _exact_value(value)
    if not 0 < len(value) <= _LONGEST_LIST:
        message = f"a list of values has 1 to {_LONGEST_LIST:,} of them; this has {len(value):,}"
        raise ValueError(message)
    return tuple(map(_exact_value, value))


def _exact_value(value: object) -> Value:
    """A filter's value as one of three types; a number as Decimal, so that 1 and 1.0 are the same filter."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) > _LONGEST_TEXT:
            message = f"text of a filter may have {_LONGEST_TEXT} characters; this has {len(value)}"
            raise ValueError(message)
        return value
    if isinstance(value, int | Decimal):
        return _exact_number(Decimal(value))
    message = f"expected a text, a number, true or false; found {value!r}"
    raise ValueError(message)


def _exact_number(number: Decimal) -> Decimal:
    if not number.is_finite() or abs(number) >= _NUMBER_LIMIT:
        message = f"a number of a filter must be below 10^15 in size (rule 1.7); found {number}"
        raise ValueError(message)
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > _PLACES:
        message = f"a number of a filter may have {_PLACES} places (rule 1.7); found {number}"
        raise ValueError(message)
    return number


def _without_prefix(path: str) -> str:
    property_name = path.removeprefix("metadata.")
    if not property_name:
        message = "expected the name of a property"
        raise ValueError(message)
    return property_name


FilterValue = Annotated[Value | tuple[Value, ...] | None, PlainValidator(_exact_values)]

Property = Annotated[str, AfterValidator(_without_prefix)]
"""`name`, `source`, `timestamp`, or a path into the metadata, whose prefix `metadata.` is dropped (rule 2.1)."""


class Clause(BaseModel):
    """One comparison of one property, e.g. `model eq gpt-4`. A missing property matches nothing, and null is missing.

    The type that the property has in the event decides how it is compared (rule 2.1): a number with a number as
    numbers; a text always as text, also with a number, so that `"9"` is greater than 150000. Have senders write a
    number without quotes, or the filter compares its digits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    property: Property = Field(description="`name`, `source`, `timestamp`, or a path into the metadata.")
    operator: Annotated[Operator, BeforeValidator(refuse_synonyms(_SYNONYMS))] = Field(
        description="How to compare; `like` is 'contains', without wildcards; `exists` takes any text, number or flag."
    )
    value: FilterValue = Field(
        None,
        description="A text, a number, true or false; a list of them for `in` and `not_in`; none for `exists`. Put no "
        "quotes around what should compare as a number.",
    )

    @model_validator(mode="after")
    def _value_fits_operator(self) -> Clause:
        expected = _expected_value(self.operator, self.value)
        if expected:
            message = f"`{self.operator}` takes {expected}"
            raise ValueError(message)
        return self

    def values(self) -> tuple[Value, ...]:
        """The values to compare with: those of the list, the single one, or none."""
        match self.value:
            case None:
                return ()
            case tuple():
                return self.value
            case _:
                return (self.value,)


def _expected_value(operator: Operator, value: Value | tuple[Value, ...] | None) -> str:
    """What a value should have been; empty where it is that."""
    match operator:
        case "exists":
            return "" if value is None else "no `value`; leave it out"
        case "in" | "not_in":
            return "" if isinstance(value, tuple) else "a list as `value`, e.g. [gpt-4, gpt-5]"
        case _:
            if isinstance(value, tuple):
                near = " To compare with several, use `in` or `not_in`." if operator in ("eq", "ne") else ""
                return f"one `value`, not a list.{near}"
            return "a `value`: a text, a number, true or false" if value is None else ""


def _clause_or_filter(part: Any) -> str:  # noqa: ANN401 - whatever stands in the file
    nested = isinstance(part, Filter) or (isinstance(part, dict) and bool(part.keys() & Filter.model_fields.keys()))
    return "filter" if nested else "clause"


Part = Annotated[
    Annotated[Clause, Tag("clause")] | Annotated["Filter", Tag("filter")], Discriminator(_clause_or_filter)
]
"""Told apart by their keys first, so that a fault is named once and not for both."""


class Filter(BaseModel):
    """`and` or `or` of clauses and of further filters. Without clauses it matches every event."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    conjunction: Literal["and", "or"] = Field("and", description="Whether all must match, or any.")
    clauses: tuple[Part, ...] = Field((), description="Comparisons, or filters again.")


def filter_json(rule: Filter) -> str:
    """A filter as JSON, the same for the same filter: numbers stay numbers, exact and without trailing zeros."""
    clauses = ",".join(filter_json(part) if isinstance(part, Filter) else _clause_json(part) for part in rule.clauses)
    return f'{{"conjunction":"{rule.conjunction}","clauses":[{clauses}]}}'


def read_filter(text: str) -> Filter:
    """The filter that `filter_json` wrote."""
    return Filter.model_validate(json.loads(text, parse_float=Decimal, parse_int=Decimal))


def _clause_json(clause: Clause) -> str:
    written = ",".join(map(_value_json, clause.values()))
    match clause.value:
        case None:
            value = ""
        case tuple():
            value = f',"value":[{written}]'
        case _:
            value = f',"value":{written}'
    return f'{{"property":{_json(clause.property)},"operator":"{clause.operator}"{value}}}'


def _value_json(value: Value) -> str:
    # Pydantic would write a number as text, so that `eq 5` and `eq "5"` could not be told apart any more.
    return number_text(value) if isinstance(value, Decimal) else _json(value)


def number_text(number: Decimal) -> str:
    """A number without exponent and without trailing zeros: 5 for 5.00."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _json(value: str | bool) -> str:  # noqa: FBT001 - a value of JSON
    return json.dumps(value, ensure_ascii=False)
