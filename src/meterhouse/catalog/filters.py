"""What makes an event count: Polar's filters, nested `and`/`or` of clauses (rule 2.1)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag

Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "like", "not_like"]

FIXED_PROPERTIES: Final = ("name", "source", "timestamp")
"""Properties that are fields of the event itself and not of its metadata; `timestamp` is unix seconds."""

_LONGEST_TEXT: Final = 1000
_NUMBER_LIMIT: Final = Decimal(10) ** 15
_PLACES: Final = 12


def _exact_value(value: object) -> str | bool | Decimal:
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


FilterValue = Annotated[str | bool | Decimal, PlainValidator(_exact_value)]

Property = Annotated[str, AfterValidator(_without_prefix)]
"""`name`, `source`, `timestamp`, or a path into the metadata, whose prefix `metadata.` is dropped (rule 2.1)."""


class Clause(BaseModel):
    """One comparison of one property, e.g. `model eq gpt-4`. A missing property matches nothing.

    The type that the property has in the event decides how it is compared (rule 2.1): a number with a number as
    numbers; a text always as text, also with a number, so that `"9"` is greater than 150000. Have senders write a
    number without quotes, or the filter compares its digits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    property: Property = Field(description="`name`, `source`, `timestamp`, or a path into the metadata.")
    operator: Operator = Field(description="How to compare; `like` is 'contains', without wildcards.")
    value: FilterValue = Field(
        description="A text, a number, true or false. Put no quotes around what should compare as a number."
    )


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
    # Pydantic would write a number as text, so that `eq 5` and `eq "5"` could not be told apart any more.
    value = number_text(clause.value) if isinstance(clause.value, Decimal) else _json(clause.value)
    return f'{{"property":{_json(clause.property)},"operator":"{clause.operator}","value":{value}}}'


def number_text(number: Decimal) -> str:
    """A number without exponent and without trailing zeros: 5 for 5.00."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _json(value: str | bool) -> str:  # noqa: FBT001 - a value of JSON
    return json.dumps(value, ensure_ascii=False)
