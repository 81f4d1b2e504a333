"""A filter is kept in the table `meters` as JSON, and read back as the same filter (rule 2.1)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from meterhouse.catalog import Clause, Filter, filter_json, read_filter


@pytest.mark.parametrize(
    "value", ["5", Decimal(5), True, "true", Decimal("-0.000000000001"), Decimal(10) ** 14, 'a"\\é']
)
def test_a_value_keeps_its_type_and_every_digit(value: str | bool | Decimal) -> None:
    rule = Filter(
        conjunction="or",
        clauses=(Clause(property="x", operator="ne", value=value), Filter(clauses=())),
    )

    kept = read_filter(filter_json(rule))

    assert kept == rule
    assert [type(part.value) for part in kept.clauses if isinstance(part, Clause)] == [type(value)]


def test_a_number_and_the_same_number_as_text_are_two_filters() -> None:
    number, text = (Filter(clauses=(Clause(property="x", operator="eq", value=value),)) for value in (Decimal(5), "5"))

    assert filter_json(number) != filter_json(text)


def test_equal_numbers_are_the_same_filter() -> None:
    spelled = {
        filter_json(Filter(clauses=(Clause(property="x", operator="eq", value=Decimal(number)),)))
        for number in ("1.50", "1.5", "15E-1")
    }

    assert spelled == {'{"conjunction":"and","clauses":[{"property":"x","operator":"eq","value":1.5}]}'}
