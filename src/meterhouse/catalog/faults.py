"""What a check found wrong, in plain words: where, what was expected, what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_LONGEST_SHOWN: Final = 60

_KINDS: Final = frozenset({"fixed", "unit", "graduated", "volume", "clause", "filter"})
"""Kinds of items that stand together in a list: prices, and parts of a filter."""

_WORDS: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not known here; mind the spelling",
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


def explained(invalid: ValidationError) -> list[str]:
    """Each fault as `place: what is wrong`."""
    faults = [fault for fault in invalid.errors() if not _follows_from_another(fault, invalid)]
    return [f"{place}: {_in_words(fault)}" if (place := _place(fault)) else _in_words(fault) for fault in faults]


def _follows_from_another(fault: ErrorDetails, invalid: ValidationError) -> bool:
    """Pydantic drops faulty items, and then finds the list too short."""
    place = fault["loc"]
    return fault["type"] == "too_short" and any(
        other["loc"][: len(place)] == place and len(other["loc"]) > len(place) for other in invalid.errors()
    )


def _place(fault: ErrorDetails) -> str:
    """Where it stands in the file, without the kind that pydantic puts behind the place of an item in a list."""
    location = fault["loc"]
    before = (None, *location)
    in_file = [part for part, above in zip(location, before, strict=False) if not _is_kind(part, above)]
    return ".".join(str(part) for part in in_file)


def _is_kind(part: int | str, above: int | str | None) -> bool:
    return part == "[key]" or (isinstance(above, int) and part in _KINDS)


def _in_words(fault: ErrorDetails) -> str:
    words = _WORDS.get(fault["type"], fault["msg"]).format(**fault.get("ctx", {}))
    says_what_it_found = fault["type"] == "value_error" or not words.startswith("expected ")
    return words if says_what_it_found else f"{words}; found {_shown(fault['input'])}"


def _shown(value: Any) -> str:  # noqa: ANN401 - whatever stands in the file
    text = "nothing" if value is None else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
