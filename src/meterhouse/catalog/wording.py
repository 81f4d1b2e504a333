"""Meters and filters in words, as messages say them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterhouse.catalog.filters import Clause, Filter, filter_json

if TYPE_CHECKING:
    from meterhouse.catalog.meters import Meter


def meter_words(meter: Meter) -> str:
    """`sum of tokens where name eq "call" and model like "gpt"`."""
    of = f" of {meter.aggregation.property}" if meter.aggregation.property else ""
    rule = meter.matching()
    return f"{meter.aggregation.func}{of}" + (f" where {filter_words(rule)}" if rule.clauses else " of all events")


def filter_words(rule: Filter) -> str:
    """Clauses joined as the filter joins them; filters within it in brackets."""
    parts = (f"({filter_words(part)})" if isinstance(part, Filter) else clause_words(part) for part in rule.clauses)
    return f" {rule.conjunction} ".join(parts)


def clause_words(clause: Clause) -> str:
    """`tokens gt 5`, with the value as JSON has it, so that 5 and "5" are told apart."""
    _, named, value = filter_json(Filter(clauses=(clause,))).removesuffix("}]}").partition('"value":')
    return f"{clause.property} {clause.operator} {value}" if named else f"{clause.property} {clause.operator}"
