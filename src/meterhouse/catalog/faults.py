"""What a check found wrong, in plain words: where, what was expected, what was found."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

_LONGEST_SHOWN: Final = 60

_KINDS: Final = frozenset({"fixed", "unit", "graduated", "volume", "clause", "filter"})
"""Kinds of items that stand together in a list: prices, and parts of a filter."""

_WORDS: Final = {
    "missing": "is missing",
    "value_error": "{error}",
    "union_tag_not_found": "{discriminator} is missing; it says which kind this is",
    "union_tag_invalid": "{discriminator} is '{tag}'; expected one of {expected_tags}",
    "literal_error": "expected {expected}",
    "string_type": "expected a text",
    "string_unicode": "expected a text of whole characters",
    "string_too_short": "expected a text that is not empty",
    "string_pattern_mismatch": "expected a text of the pattern {pattern}",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "decimal_type": "expected a number",
    "decimal_parsing": "expected a number",
    "decimal_max_places": "expected at most {decimal_places} digits after the point",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected at most {le}",
    "dict_type": "expected `key: value` lines",
    "model_type": "expected `key: value` lines",
    "tuple_type": "expected a list",
    "too_short": "expected at least one entry",
}
"""Kinds of faults that a project can have; of others, pydantic's own words do."""


class Written(dict[Any, Any]):
    """A mapping of a file, which knows on which line each key stands."""

    lines: dict[Any, int]


def explained(invalid: ValidationError, definition: type[BaseModel], content: object) -> list[str]:
    """Each fault as `line: place: what is wrong`; without the line where the content does not know it."""
    faults = [fault for fault in invalid.errors() if not _follows_from_another(fault, invalid)]
    told = ((_line(fault, content), _place(fault, content), _in_words(fault, definition)) for fault in faults)
    return [": ".join(word for word in words if word) for words in told]


def _line(fault: ErrorDetails, content: object) -> str:
    """The line of the key that is at fault; where it is missing, of the one that it should stand under."""
    line = 0
    above: int | str | None = None
    for part in fault["loc"]:
        if not _is_kind(part, above):
            line = content.lines.get(part, line) if isinstance(content, Written) else line
            content = _below(content, part)
        above = part
    return f"line {line}" if line else ""


def refuse_synonyms(synonyms: Mapping[str, Iterable[str]]) -> Callable[[object], object]:
    """A check that refuses what a name is called elsewhere, or a misspelled one, and says the name that is known."""
    meant = {other: name for name, others in synonyms.items() for other in others}

    def check(named: object) -> object:
        if not isinstance(named, str) or named in synonyms:
            return named
        near = meant.get(named.lower()) or near_to(named.lower(), synonyms)
        if near:
            message = f"'{named}' is not known here; did you mean '{near}'?"
            raise ValueError(message)
        return named

    return check


def did_you_mean(named: str, known: Iterable[str]) -> str:
    """What to do about a name that is not known."""
    near = near_to(named, known)
    return f"did you mean '{near}'?" if near else "mind the spelling"


def near_to(named: str, known: Iterable[str]) -> str:
    """The known name that a name was probably meant to be; empty where none is near."""
    return next(iter(get_close_matches(named, list(known), n=1)), "")


def _follows_from_another(fault: ErrorDetails, invalid: ValidationError) -> bool:
    """Pydantic drops faulty items, and then finds the list too short."""
    place = fault["loc"]
    return fault["type"] == "too_short" and any(
        other["loc"][: len(place)] == place and len(other["loc"]) > len(place) for other in invalid.errors()
    )


def _place(fault: ErrorDetails, content: object) -> str:
    """Where it stands in the file, without the kind that pydantic puts behind the place of an item in a list."""
    location = fault["loc"]
    named: list[str] = []
    above: int | str | None = None
    for part in location:
        if not _is_kind(part, above):
            content = _below(content, part)
            has_name = isinstance(part, int) and location[-1] != "id"
            named.append((_id_of(content) if has_name else "") or str(part))
        above = part
    return ".".join(named)


def _below(content: object, part: int | str) -> object:
    match content:
        case dict():
            return content.get(part)
        case list() if isinstance(part, int) and part < len(content):
            return content[part]
        case _:
            return None


def _id_of(item: object) -> str:
    """A price or a benefit is found by its id; counting lines is for those that have none."""
    name = item.get("id") if isinstance(item, dict) else None
    return name if isinstance(name, str) else ""


def _is_kind(part: int | str, above: int | str | None) -> bool:
    return part == "[key]" or (isinstance(above, int) and part in _KINDS)


def _in_words(fault: ErrorDetails, definition: type[BaseModel]) -> str:
    if fault["type"] == "extra_forbidden":
        *above, named = fault["loc"]
        return f"is not known here; {did_you_mean(str(named), _keys_at(definition, above))}"
    words = _WORDS.get(fault["type"], fault["msg"]).format(**fault.get("ctx", {}))
    words = words.removesuffix(".")
    says_what_it_found = fault["type"] == "value_error" or not words.startswith("expected ")
    return words if says_what_it_found else f"{words}; found {_shown(fault['input'])}"


def _shown(value: Any) -> str:  # noqa: ANN401 - whatever stands in the file
    text = "nothing" if value is None else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


Schema = dict[str, Any]


def _keys_at(definition: type[BaseModel], location: Iterable[int | str]) -> list[str]:
    """Keys that the definition knows at a place."""
    schema = definition.model_json_schema()
    defined: Schema = schema.get("$defs", {})
    reached = _unfolded(schema, defined)
    above: int | str | None = None
    for part in location:
        if _is_kind(part, above):
            reached = [held for held in reached if _is_of_kind(held, str(part))]
        else:
            reached = [below for held in reached for below in _unfolded(_schema_below(held, part), defined)]
        above = part
    return [key for held in reached for key in held.get("properties", {})]


def _unfolded(schema: Schema, defined: Schema) -> list[Schema]:
    """The schema, or those that it refers to."""
    if "$ref" in schema:
        return _unfolded(defined[schema["$ref"].rpartition("/")[2]], defined)
    choices = [*schema.get("anyOf", []), *schema.get("oneOf", [])]
    return [found for choice in choices for found in _unfolded(choice, defined)] if choices else [schema]


def _schema_below(schema: Schema, part: int | str) -> Schema:
    if isinstance(part, int):
        return dict(schema.get("items") or {})
    named = schema.get("properties", {}).get(part) or schema.get("additionalProperties")
    return dict(named) if isinstance(named, dict) else {}


def _is_of_kind(schema: Schema, kind: str) -> bool:
    told = schema.get("properties", {}).get("kind", {})
    return kind in {told.get("const"), *told.get("enum", ()), str(schema.get("title", "")).lower()}
