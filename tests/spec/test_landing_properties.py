"""How properties become typed columns (rules 1.1, 1.7)."""

from __future__ import annotations

import polars as pl
import pytest

from meterhouse.tables import Events, schema_of
from meterhouse.tables.columns import QUANTITY
from meterhouse.tables.properties import column_of, property_columns, property_of
from tests.records import event, read
from tests.tables import assert_rows


def _properties(*metadata: str) -> pl.DataFrame:
    taken = read(*(event(text, event_id=str(place)) for place, text in enumerate(metadata)))
    assert taken.rejected.is_empty()
    return taken.events.drop([*schema_of(Events), "untimed"])


def test_a_property_has_a_column_for_each_type_that_was_sent() -> None:
    sent = _properties('{"n": 1}', '{"n": "1"}', '{"n": true}', '{"n": 1.5}', '{"n": null}', '{"n": [1]}', "{}")
    assert dict(sent.schema) == {"flag_n": pl.Boolean, "number_n": QUANTITY, "text_n": pl.String}
    assert_rows(
        sent.lazy(),
        """
        number_n | text_n | flag_n
        1        | -      | -
        -        | 1      | -
        -        | -      | yes
        1.5      | -      | -
        -        | -      | -
        -        | -      | -
        -        | -      | -
        """,
    )


def test_nested_objects_are_flattened() -> None:
    sent = _properties('{"a": {"b": {"c": 1}, "t": "x"}, "e": {}}', '{"a": 2}')
    assert_rows(
        sent.lazy(),
        """
        number_a | number_a.b.c | text_a.t
        -        | 1            | x
        2        | -            | -
        """,
    )


@pytest.mark.parametrize(
    ("spelled", "number"),
    [
        ("0", "0"),
        ("-0.0", "0"),
        ("7.057e-05", "0.00007057"),
        ("1E+5", "100000"),
        ("999999999999999.999999999999", "999999999999999.999999999999"),
        ("-999999999999999", "-999999999999999"),
        ("0.1", "0.1"),
        ("0.30000000000000004", "0.3"),
        ("0.0000000000005", "0.000000000001"),
        ("-0.0000000000005", "-0.000000000001"),
        ("0.00000000000049999999999999999999", "0"),
        ("1e-400", "0"),
    ],
)
def test_numbers_are_exact_to_twelve_places(spelled: str, number: str) -> None:
    assert_rows(_properties(f'{{"n": {spelled}}}', '{"n": 1}').head(1).lazy(), f"number_n\n{number}")


def test_rounded_numbers_of_events_are_counted() -> None:
    taken = read(
        event('{"a": 0.1234567890123, "b": 0.1234567890120}'),
        event('{"a": 0.1234567890123, "b": 1e15}'),
    )
    assert taken.events.height == 1
    assert taken.rounded.height == 1


def test_metadata_is_kept_as_it_was_sent() -> None:
    assert (
        read(event('{"n":  1.50, "l": [1, {"x": null}]}')).events["metadata"].item()
        == '{"n":  1.50, "l": [1, {"x": null}]}'
    )


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("tokens", "number_tokens"),
        ("total tokens", "number_total%20tokens"),
        ("a,b;c", "number_a%2Cb%3Bc"),
        ("100%", "number_100%25"),
        ('"x"\n', "number_%22x%22%0A"),
        ("größe", "number_größe"),
        ("", "number_"),
        ("a.b", "number_a.b"),
        ("promptTokens", "number_prompt__tokens"),
        ("Model", "number___model"),
        ("HTTP_Status", "number___h__t__t__p___status"),
        ("_meta", "number__meta"),
        ("__typename", "number__%5Ftypename"),
        ("a___B", "number_a_%5F%5F__b"),
        ("%5F", "number_%255__f"),
        ("Ärger", "number_%C3%84rger"),
    ],
)
def test_column_names(name: str, column: str) -> None:
    assert column_of("number", name) == column
    assert property_of(column) == ("number", name)


def test_columns_of_events_are_no_properties() -> None:
    assert property_columns(schema_of(Events).names()) == {}
