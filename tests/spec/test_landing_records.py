"""Which records become events, and why others are refused (rules 1.1, 1.2, 1.4)."""

from __future__ import annotations

from typing import get_args

import pytest

from meterhouse.landing import EXPLANATIONS, Reason
from tests.records import event, read
from tests.tables import assert_rows

AT = '"timestamp": "2026-03-01T12:00:00Z"'


def test_meterhouse_shape() -> None:
    taken = read(
        '{"event_id": "1", "name": "call", "customer_id": "ada", "external_customer_id": "a-1", "source": "system", '
        '"timestamp": "2026-03-01T12:00:00Z", "received_at": "2026-03-01T13:00:00Z", "metadata": {"n": 1}}',
        f'{{"name": "call", "external_customer_id": "a-1", {AT}}}',
    )
    assert_rows(
        taken.events.lazy().filter(position=1),
        """
        source | event_id | name | customer_id | external_customer_id | timestamp        | received_at      | number_n
        system | 1        | call | ada         | a-1                  | 2026-03-01T12:00 | 2026-03-01T13:00 | 1
        """,
    )
    assert_rows(
        taken.events.lazy().filter(position=2),
        """
        source | name | customer_id | external_customer_id | timestamp        | received_at | metadata | date
        user   | call | -           | a-1                  | 2026-03-01T12:00 | 2026-03-02  | {}       | 2026-03-01
        """,
    )


def test_polar_shape_takes_an_event_without_a_timestamp_as_of_the_landing() -> None:
    taken = read(
        f'{{"name": "call", "external_id": "1", "external_customer_id": "ada", {AT}, "metadata": {{"n": 1}}}}',
        '{"name": "call", "external_id": "2", "customer_id": "ada", "organization_id": "o", "member_id": null}',
    )
    assert_rows(
        taken.events.lazy(),
        """
        event_id | name | customer_id | external_customer_id | timestamp        | number_n
        1        | call | -           | ada                  | 2026-03-01T12:00 | 1
        2        | call | ada         | -                    | 2026-03-02       | -
        """,
    )


def test_dodo_shape() -> None:
    taken = read(f'{{"event_id": "1", "event_name": "call", "customer_id": "ada", {AT}, "metadata": {{"n": "x"}}}}')
    assert_rows(
        taken.events.lazy(),
        """
        event_id | name | customer_id | timestamp        | text_n
        1        | call | ada         | 2026-03-01T12:00 | x
        """,
    )


def test_an_event_without_an_id_gets_one_from_file_and_position() -> None:
    record = f'{{"name": "call", "customer_id": "ada", {AT}}}'
    first, again = read(record, record).events["event_id"], read(record, record).events["event_id"]
    assert first.to_list() == again.to_list()
    assert first.n_unique() == 2


@pytest.mark.parametrize(
    ("sent", "instant"),
    [
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00"),
        ("2026-03-01T12:00:00.000000999Z", "2026-03-01T12:00"),
        ("2026-03-01T12:00:00+05:30", "2026-03-01T06:30"),
        ("2026-03-01 12:00:00-01:00", "2026-03-01T13:00"),
        ("2026-03-01T12:00:00", "2026-03-01T12:00"),
        ("2026-03-01T12:00", "2026-03-01T12:00"),
        ("20260301T120000Z", "2026-03-01T12:00"),
    ],
)
def test_timestamps(sent: str, instant: str) -> None:
    assert_rows(read(event(at=sent)).events.lazy(), f"timestamp\n{instant}")


REFUSED: list[tuple[Reason, str]] = [
    ("bad_json", '{"event_id": "1"'),
    ("bad_json", event('{"n": NaN}')),
    ("bad_json", event('{"n": Infinity}')),
    ("bad_json", event('{"t": "\\ud800"}')),
    ("bad_metadata", event('{"n": ' + "[" * 5000 + "]" * 5000 + "}")),
    ("bad_json", event() + event()),
    ("unknown_shape", "[1]"),
    ("unknown_shape", '"text"'),
    ("unknown_shape", f'{{"id": "1", "type": "call", "subject": "ada", "time": "2026-03-01T12:00:00Z", {AT}}}'),
    ("unknown_shape", f'{{"name": "call", "event_name": "call", "customer_id": "ada", {AT}}}'),
    ("unknown_shape", f'{{"name": "call", "event_id": "1", "external_id": "1", "customer_id": "ada", {AT}}}'),
    ("unknown_shape", f'{{"event_name": "call", "external_id": "1", "customer_id": "ada", {AT}}}'),
    ("repeated_field", f'{{"name": "call", "customer_id": "ada", "customer_id": "bob", {AT}}}'),
    ("repeated_field", f'{{"name": "call", "customer_id": "ada", "customer\\u005fid": "bob", {AT}}}'),
    ("repeated_field", f'{{"name": "call", "customer_id": "ada", "source": null, "source": "crm", {AT}}}'),
    ("repeated_field", f'{{"name": "call", "customer_id": "ada", "metadata": {{}}, "metadata": {{"n": 1}}, {AT}}}'),
    ("repeated_field", f'{{"event": {{"name": "call", "customer_id": "ada", "customer_id": "bob", {AT}}}}}'),
    ("repeated_field", '{"event": {}, "event": {}}'),
    ("repeated_field", '{"void": "1", "void": "2"}'),
    ("wrong_type", f'{{"name": "call", "customer_id": 42, {AT}}}'),
    ("unknown_shape", f'{{"void": "1", "name": "call", "customer_id": "ada", {AT}}}'),
    ("no_voided_event", '{"void": ""}'),
    ("wrong_type", '{"void": 1}'),
    ("bad_timestamp", '{"void": "1", "timestamp": "yesterday"}'),
    ("bad_metadata", '{"void": "1", "metadata": "by mistake"}'),
    ("no_name", f'{{"customer_id": "ada", {AT}}}'),
    ("no_name", f'{{"name": " ", "customer_id": "ada", {AT}}}'),
    ("name_too_long", f'{{"name": "{"é" * 129}", "customer_id": "ada", {AT}}}'),
    ("id_too_long", event(event_id="é" * 501)),
    ("id_too_long", event(customer="a" * 1001)),
    ("id_too_long", f'{{"name": "call", "external_customer_id": "{"a" * 1001}", {AT}}}'),
    ("id_too_long", f'{{"name": "call", "customer_id": "ada", "source": "{"a" * 1001}", {AT}}}'),
    ("id_too_long", '{"void": "' + "a" * 1001 + '"}'),
    ("no_event_id", f'{{"event_id": "", "name": "call", "customer_id": "ada", {AT}}}'),
    ("no_customer", f'{{"name": "call", {AT}}}'),
    ("no_customer", f'{{"name": "call", "customer_id": "", "external_customer_id": null, {AT}}}'),
    ("no_timestamp", '{"name": "call", "customer_id": "ada"}'),
    ("bad_timestamp", '{"name": "call", "customer_id": "ada", "timestamp": 1772366400}'),
    ("wrong_type", '{"name": "call", "customer_id": "ada", "timestamp": ["2026-03-01T12:00:00Z"]}'),
    ("bad_json", '{"name": "call", "customer_id": "ada", "timestamp": "\\ud800"}'),
    ("bad_timestamp", event(at="yesterday")),
    ("bad_timestamp", event(at="2026-03-01")),
    ("bad_timestamp", event(at="2026-02-30T12:00:00Z")),
    ("bad_timestamp", event(at="2026-03-01T12:00:60Z")),
    ("bad_timestamp", event(at="2026-03-01T24:00:01Z")),
    ("bad_timestamp", event(at="2026-03-01T24:00:00Z")),
    ("bad_timestamp", event(at="0000-03-01T12:00:00Z")),
    ("bad_timestamp", event(at="0001-01-01T00:00:00+05:00")),
    ("timestamp_in_future", event(at="2026-03-03T00:00:00.000001Z")),
    ("timestamp_too_old", event(at="2006-03-06T23:59:59.999999Z")),
    ("bad_received_at", f'{{"name": "call", "customer_id": "ada", "received_at": "later", {AT}}}'),
    ("bad_timestamp", event(at="2026-03-01T12:00:00+05:60")),
    ("bad_metadata", event("[]")),
    ("bad_metadata", event('{"n": ' * 101 + "1" + "}" * 101)),
    ("bad_metadata", event('{"n": ' + "[" * 100 + "]" * 100 + "}")),
    ("bad_metadata", event('"text"')),
    ("bad_metadata", event('{"": 5}')),
    ("bad_metadata", event('{"a": {"b": 2}, "a.b": 1000}')),
    ("bad_metadata", event('{"a.b": {"c": 2}, "a": {"b.c": null}}')),
    ("bad_metadata", event('{"n": 2, "n": 7}')),
    ("bad_metadata", event('{"n": 2, "\\u006e" : 7, "t": "\\":"}')),
    ("bad_metadata", event('{"a": [{"n": 2, "n": 7}]}')),
    ("number_out_of_range", event('{"n": 1000000000000000}')),
    ("number_out_of_range", event('{"n": -1e15}')),
    ("number_out_of_range", event('{"n": 999999999999999.9999999999999}')),
    ("number_out_of_range", event('{"n": 1e400}')),
    ("number_out_of_range", event('{"n": -1e200000000}')),
    ("number_out_of_range", event('{"n": 1e99999999999999999999}')),
    ("number_out_of_range", event('{"n": 123456789012345678901234567890}')),
    ("number_out_of_range", event('{"n": ' + "9" * 5000 + "}")),
    ("number_out_of_range", event('{"a": {"n": 1e15}}')),
]


@pytest.mark.parametrize(("reason", "record"), REFUSED)
def test_a_record_that_cannot_be_used_is_kept_with_its_reason(reason: Reason, record: str) -> None:
    taken = read(event(), record)
    assert taken.events["position"].to_list() == [1]
    (refused,) = taken.rejected.to_dicts()
    assert (refused["reason"], refused["record"], refused["position"]) == (reason, record, 2)
    assert "{" not in EXPLANATIONS[reason].format(detail="")
    assert refused["explanation"]


def test_every_reason_has_a_record_that_shows_it() -> None:
    of_files = {"unreadable_file", "file_changed", "unknown_columns", "no_id_in_changed_file"}
    of_lines = {"bad_utf8", "bad_csv", "record_too_large", "too_many_properties"}
    assert {reason for reason, _ in REFUSED} | of_files | of_lines == set(get_args(Reason)) == EXPLANATIONS.keys()


def test_ids_may_have_a_thousand_bytes() -> None:
    longest = "é" * 500
    assert read(event(event_id=longest, customer=longest)).events["event_id"].to_list() == [longest]
    (explanation,) = read(event(customer=f"{longest}.")).rejected["explanation"]
    assert explanation.startswith("An id is too long: customer_id has 1001 bytes. Expected 1,000 at most.")


def test_the_explanation_says_what_was_found() -> None:
    (refused,) = read(event('{"tokens": 1e15}')).rejected.to_dicts()
    assert refused["explanation"] == (
        "A number is out of range: property 'tokens' is 1e15. Expected less than 1000000000000000 (10^15) in size "
        "(rule 1.7). Send it in a larger unit, or as text if it is an id."
    )


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ('{"a": {"b": 2}, "a.b": 1000}', """property 'a.b' is there twice, as "a": "b" and "a.b"."""),
        ('{"n": 2, "n": 7}', "the name 'n' is there twice in one object."),
        ('{"": 5}', "a property has an empty name."),
    ],
)
def test_metadata_in_which_two_values_would_be_one_is_refused(metadata: str, found: str) -> None:
    (refused,) = read(event(metadata)).rejected.to_dicts()
    assert refused["explanation"].startswith(f"The metadata cannot be used: {found}")


def test_of_a_record_with_a_field_twice_it_is_said_which() -> None:
    (refused,) = read(event('{"customer_id": 1}').replace("{", '{"customer_id": "bob", ', 1)).rejected.to_dicts()
    assert refused["explanation"].startswith("The record has the field 'customer_id' twice, and nothing says")


def test_of_a_list_on_a_line_it_is_said_where_lists_belong() -> None:
    (refused,) = read(f"[{event()}]").rejected.to_dicts()
    assert "it is a list; a list of records belongs into a file named .json" in refused["explanation"]


def test_a_field_may_stand_in_an_object_of_the_record_too() -> None:
    taken = read(event('{"name": "x", "event_id": {"name": ": \\"name\\":"}}', event_id="a:b"))
    assert taken.rejected.is_empty()
    assert taken.events["event_id"].to_list() == ["a:b"]


def test_names_of_metadata_may_repeat_where_they_are_not_the_same() -> None:
    taken = read(event('{"a": {"b": 1}, "c": {"b": "x:y"}, "t": "\\"b\\": 1, \\"b\\": 2", "a.": {"b": 3}}'))
    assert taken.rejected.is_empty()
    assert_rows(taken.events.lazy(), 'number_a.b | text_c.b | number_a..b | text_t\n1 | x:y | 3 | "b": 1, "b": 2')


def test_a_record_is_refused_for_its_first_fault_only() -> None:
    assert read('{"name": "", "timestamp": "never"}').rejected["reason"].to_list() == ["no_name"]


def test_events_without_a_customer_are_taken_where_the_settings_say_so() -> None:
    taken = read(f'{{"event_id": "1", "name": "call", {AT}}}', missing_customer="unattributed")
    assert_rows(taken.events.lazy(), "event_id | customer_id | external_customer_id\n1 | - | -")


def test_metadata_may_be_nested_a_hundred_deep() -> None:
    taken = read(event('{"n": ' * 100 + "1" + "}" * 100), event('{"t": "' + "[" * 200 + '"}'))
    assert taken.events.height == 2


def test_how_far_ahead_of_the_clock_events_may_be_is_a_setting() -> None:
    late = event(at="2026-03-09T00:00:00Z")
    assert read(late, future_limit_days=7).events.height == 1
    assert read(late, future_limit_days=6).rejected.height == 1


def test_how_far_behind_the_clock_events_may_be_is_a_setting() -> None:
    early = event(at="2026-02-28T00:00:00Z")
    assert read(early, past_limit_days=2).events.height == 1
    assert read(early, past_limit_days=1).rejected.height == 1
