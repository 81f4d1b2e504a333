"""Meters and filters in words, as messages say them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterhouse.catalog.filters import Clause, Filter, filter_json, number_text

if TYPE_CHECKING:
    from meterhouse.catalog.meters import Aggregation, Meter, MeterVersion


def meter_words(meter: Meter) -> str:
    """`sum of tokens by model where name eq "call"`, and how it changes over time."""
    by = f" by {', '.join(meter.group_by)}" if meter.group_by else ""
    first, *changed = meter.versions()
    words = _version_words(first, by)
    return "; ".join(
        [words, *(f"from {version.since:%Y-%m-%d %H:%M} UTC on {_version_words(version, by)}" for version in changed)]
    )


def _version_words(version: MeterVersion, by: str) -> str:
    rule = f"where {filter_words(version.rule)}" if version.rule.clauses else "of all events"
    return f"{aggregation_words(version.aggregation)}{by} {rule}"


def aggregation_words(aggregation: Aggregation) -> str:
    """`percentile 95 of seconds`, with the options that are not as usual."""
    percent = "" if aggregation.percent is None else f" {number_text(aggregation.percent)}"
    of = f" of {aggregation.property}" if aggregation.property else ""
    options = ["texts as numbers"] * (aggregation.numeric_text == "count") + ["carried over"] * aggregation.carry_over
    return f"{aggregation.func}{percent}{of}" + (f" ({', '.join(options)})" if options else "")


def filter_words(rule: Filter) -> str:
    """Clauses joined as the filter joins them; filters within it in brackets."""
    parts = (f"({filter_words(part)})" if isinstance(part, Filter) else clause_words(part) for part in rule.clauses)
    return f" {rule.conjunction} ".join(parts)


def clause_words(clause: Clause) -> str:
    """`tokens gt 5`, with the value as JSON has it, so that 5 and "5" are told apart."""
    _, named, value = filter_json(Filter(clauses=(clause,))).removesuffix("}]}").partition('"value":')
    return f"{clause.property} {clause.operator} {value}" if named else f"{clause.property} {clause.operator}"
