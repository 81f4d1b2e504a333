"""The shapes of peers: which fields they have, and what of them becomes an event (rule 1.2)."""

from __future__ import annotations

import json

import pytest

from meterhouse.landing.shapes.peers import SHAPES, marks
from tests.records import read
from tests.tables import assert_rows

NOON = "2026-03-01T12:00:00Z"

SECONDS = 1772366400
"""The same noon, since 1970."""


def cloud_event(**fields: object) -> str:
    event = {"specversion": "1.0", "id": "1", "source": "api", "type": "call", "subject": "ada", "time": NOON}
    return json.dumps({**event, **fields})


def stripe_event(**fields: object) -> str:
    payload = {"stripe_customer_id": "cus_1", "value": "25"}
    return json.dumps({"identifier": "1", "event_name": "call", "timestamp": SECONDS, "payload": payload, **fields})


def lago_event(**fields: object) -> str:
    event = {"transaction_id": "1", "code": "call", "external_subscription_id": "sub_1", "timestamp": SECONDS}
    return json.dumps({**event, "properties": {"gb": 1.5}, **fields})


def refusal(record: str) -> str:
    (refused,) = read(record).rejected.to_dicts()
    assert (refused["reason"], refused["record"]) == ("unknown_shape", record)
    return str(refused["explanation"]).removeprefix("The record has no known shape: ").partition(". Expected")[0]


# --- CloudEvents ------------------------------------------------------------------------------------------------------


def test_cloud_events() -> None:
    """The subject is the customer, by whichever of its two ids. The sender's name is part of the event's identity."""
    taken = read(
        cloud_event(datacontenttype="application/json", dataschema="https://schema", data={"tokens": 12}),
        cloud_event(id="2", source="other"),
        cloud_event(id="3", data=None, time=None),
    )
    assert_rows(
        taken.events.lazy(),
        """
        source | event_id | name | customer_id | external_customer_id | timestamp        | number_tokens
        api    | 1        | call | ada         | ada                  | 2026-03-01T12:00 | 12
        other  | 2        | call | ada         | ada                  | 2026-03-01T12:00 | -
        api    | 3        | call | ada         | ada                  | 2026-03-02       | -
        """,
    )


def test_attributes_that_senders_add_to_cloud_events_are_let_through_and_not_stored() -> None:
    taken = read(cloud_event(traceparent="00-a-b-01", partitionkey="k", sampledrate=3, data={"tokens": 1}))
    assert taken.rejected.is_empty()
    assert taken.events["metadata"].to_list() == ['{"tokens": 1}']


@pytest.mark.parametrize(
    ("fields", "explanation"),
    [
        ({"specversion": "0.3"}, "specversion is '0.3', not '1.0'"),
        ({"specversion": None}, "id is of CloudEvents, whose events need specversion"),
        ({"source": None}, "specversion is of CloudEvents, whose events need source"),
        ({"id": None}, "specversion is of CloudEvents, whose events need id"),
        ({"name": "call"}, "specversion is of CloudEvents, whose events have no name"),
        ({"code": "call"}, "specversion is of CloudEvents, whose events have no code"),
        ({"data_base64": "AA=="}, "Object contains unknown field `data_base64`"),
        ({"customerId": "ada"}, "Object contains unknown field `customerId`"),
        ({"usage": {"tokens": 5}}, "Object contains unknown field `usage`"),
    ],
)
def test_cloud_events_that_are_refused(fields: dict[str, object], explanation: str) -> None:
    assert refusal(cloud_event(**fields)) == explanation


# --- Stripe -----------------------------------------------------------------------------------------------------------


def test_stripe_meter_events() -> None:
    """As they are sent, and as they are given back; a value is text, as Stripe has it."""
    taken = read(
        stripe_event(),
        stripe_event(object="billing.meter_event", identifier="2", created=SECONDS + 1, livemode=True),
        stripe_event(object="v2.billing.meter_event", identifier="3", timestamp="2026-03-01T12:00:01Z"),
        stripe_event(identifier="4", timestamp=None),
    )
    assert_rows(
        taken.events.lazy(),
        """
        event_id | name | customer_id | external_customer_id | timestamp            | received_at         | text_value
        1        | call | cus_1       | cus_1                | 2026-03-01T12:00     | 2026-03-02          | 25
        2        | call | cus_1       | cus_1                | 2026-03-01T12:00     | 2026-03-01T12:00:01 | 25
        3        | call | cus_1       | cus_1                | 2026-03-01T12:00:01  | 2026-03-02          | 25
        4        | call | cus_1       | cus_1                | 2026-03-02           | 2026-03-02          | 25
        """,
    )


@pytest.mark.parametrize(
    ("fields", "explanation"),
    [
        ({"payload": None}, "identifier is of Stripe, whose events need payload"),
        ({"livemode": False}, "livemode is false, so it is only a test"),
        ({"metadata": {"value": 5}}, "payload is of Stripe, whose events have no metadata"),
        ({"customer_id": "ada"}, "payload is of Stripe, whose events have no customer_id"),
        ({"cancel": {"identifier": "1"}}, "Object contains unknown field `cancel`"),
    ],
)
def test_stripe_events_that_are_refused(fields: dict[str, object], explanation: str) -> None:
    assert refusal(stripe_event(**fields)) == explanation


def test_a_stripe_event_without_a_customer_is_refused() -> None:
    payloads: list[object] = [{"value": "1"}, {"value": "1", "stripe_customer_id": None}]
    taken = read(*(stripe_event(payload=payload) for payload in payloads))
    assert taken.rejected["reason"].to_list() == ["no_customer", "no_customer"]


# --- Lago -------------------------------------------------------------------------------------------------------------


def test_lago_events() -> None:
    """As they are sent, and as they are given back. They name a subscription, which is its customer's."""
    taken = read(
        lago_event(),
        lago_event(transaction_id="2", external_customer_id="ada", timestamp=f"{SECONDS}.123", properties=None),
        lago_event(
            transaction_id="3",
            timestamp="2026-03-01T12:00:00Z",
            lago_id="b7ab2926",
            lago_customer_id=None,
            lago_subscription_id="99a6094e",
            created_at="2026-03-01T12:00:05Z",
        ),
        '{"event": ' + lago_event(transaction_id="4", timestamp=None) + "}",
    )
    assert_rows(
        taken.events.lazy(),
        """
        event_id | external_customer_id | subscription_id | timestamp               | received_at         | number_gb
        1        | -                    | sub_1           | 2026-03-01T12:00        | 2026-03-02          | 1.5
        2        | ada                  | sub_1           | 2026-03-01T12:00:00.123 | 2026-03-02          | -
        3        | -                    | sub_1           | 2026-03-01T12:00        | 2026-03-01T12:00:05 | 1.5
        4        | -                    | sub_1           | 2026-03-02              | 2026-03-02          | 1.5
        """,
    )


def test_lagos_amount_is_a_number_among_the_properties() -> None:
    amount = '"precise_total_amount_cents"'
    records = [lago_event(precise_total_amount_cents=value, transaction_id=str(value)) for value in ("12.345", 7)]
    bare = lago_event(precise_total_amount_cents="1.10", transaction_id="bare", properties={})
    taken = read(*records, bare)
    assert_rows(
        taken.events.lazy(),
        """
        event_id | number_gb | number_precise_total_amount_cents
        12.345   | 1.5       | 12.345
        7        | 1.5       | 7
        bare     | -         | 1.1
        """,
    )
    assert taken.events["metadata"].to_list()[::2] == [f'{{{amount}:12.345,"gb": 1.5}}', f"{{{amount}:1.10}}"]
    assert refusal(lago_event(precise_total_amount_cents="a lot")) == "precise_total_amount_cents is not a number"


@pytest.mark.parametrize(
    ("fields", "explanation"),
    [
        ({"transaction_id": None}, "code is of Lago, whose events need transaction_id"),
        ({"event_id": "1"}, "transaction_id is of Lago, whose events have no event_id"),
        ({"metadata": {}}, "transaction_id is of Lago, whose events have no metadata"),
    ],
)
def test_lago_events_that_are_refused(fields: dict[str, object], explanation: str) -> None:
    assert refusal(lago_event(**fields)) == explanation


# --- All --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "instant"),
    [
        ("0", "1970-01-01"),
        ("1772366400", "2026-03-01T12:00"),
        ("1772366400.1", "2026-03-01T12:00:00.100000"),
        ("1772366400.123456789", "2026-03-01T12:00:00.123456"),
        # As a float this would be .123457.
        ("1772366400.1234569", "2026-03-01T12:00:00.123456"),
    ],
)
@pytest.mark.parametrize("quote", ["", '"'])
def test_seconds_since_1970_are_exact(seconds: str, instant: str, quote: str) -> None:
    record = lago_event().replace(str(SECONDS), f"{quote}{seconds}{quote}")
    assert_rows(read(record, past_limit_days=36500).events.lazy(), f"timestamp\n{instant}")


@pytest.mark.parametrize("timestamp", ["1772366400000", "-1", "1.7723664e9", "true"])
def test_numbers_that_are_no_seconds_since_1970_are_refused(timestamp: str) -> None:
    (refused,) = read(lago_event().replace(str(SECONDS), timestamp)).rejected.to_dicts()
    assert refused["reason"] == "bad_timestamp"


def test_seconds_are_for_those_whose_shape_has_them() -> None:
    for record in (cloud_event(time=str(SECONDS)), '{"name": "c", "customer_id": "a", "timestamp": 1772366400}'):
        assert read(record).rejected["reason"].to_list() == ["bad_timestamp"]


def test_each_shape_is_told_by_fields_that_only_it_has() -> None:
    for shape in SHAPES:
        others = {field for other in SHAPES if other is not shape for field in marks(other)[:1]}
        assert marks(shape)
        assert others.isdisjoint(marks(shape)) or shape.title in {"meterhouse", "Dodo"}


def test_an_event_in_a_wrapper_may_be_of_any_shape_and_is_kept_with_it_where_it_is_refused() -> None:
    wrapped = '{"event": ' + cloud_event() + "}"
    assert read(wrapped).events["event_id"].to_list() == ["1"]
    bad = '{"event": 5}'
    assert read(bad).rejected["record"].to_list() == [bad]
