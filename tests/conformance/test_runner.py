"""The runner itself: that it cannot pass what is wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance import judging
from tests.conformance.cases import Case, NotCovered
from tests.conformance.comparing import differences
from tests.conformance.deviations import Deviation
from tests.conformance.judging import Outcome, judge

if TYPE_CHECKING:
    from collections.abc import Callable

CASE = Case("polar", "price.amount_minor", "polar/price/one", {"quantity": "1"}, {"amount_minor": 100})


@pytest.mark.parametrize(
    ("expect", "answer"),
    [
        ("10.50", Decimal("10.5")),
        (3, Decimal(3)),
        ("2024-01-31", datetime(2024, 1, 31, tzinfo=UTC)),
        ("2024-01-31T05:30:00+05:30", datetime(2024, 1, 31, tzinfo=UTC)),
        (None, None),
        ({"total": "1"}, {"total": Decimal(1), "unasserted": 2}),
        ({"error": "in the peer's words"}, {"error": "in ours"}),
        ([{"a": "1"}, {"a": "2"}], [{"a": 1}, {"a": 2}]),
    ],
)
def test_what_says_the_same_is_the_same(expect: object, answer: object) -> None:
    assert differences(expect, answer) == []


@pytest.mark.parametrize(
    ("expect", "answer"),
    [
        ("10.50", Decimal("10.51")),
        (0, None),
        (None, 0),
        (True, 1),
        (1, True),
        ("2024-01-31", datetime(2024, 1, 31, 1, tzinfo=UTC)),
        ({"total": "1"}, {}),
        ({"total": "1"}, {"error": "refused"}),
        ({"error": "refused"}, {"total": "1"}),
        ([{"a": "1"}], [{"a": 1}, {"a": 2}]),
        ([], None),
    ],
)
def test_what_differs_is_found(expect: object, answer: object) -> None:
    assert differences(expect, answer)


def test_a_field_is_rounded_only_where_the_peer_rounds_it() -> None:
    expect, answer = {"a": "0.67", "b": "0.67"}, {"a": Decimal("0.666"), "b": Decimal("0.666")}
    assert differences(expect, answer, {"a": {"round": 2}}) == ["b: expected 0.67, found 0.666"]


@pytest.mark.parametrize(
    ("amount_minor", "is_meant_to_differ", "outcome"),
    [
        (100, False, Outcome.PASSED),
        (101, False, Outcome.FAILED),
        (101, True, Outcome.DEVIATES),
        (100, True, Outcome.FAILED),
    ],
)
def test_a_case_passes_or_is_meant_to_differ_and_does(
    monkeypatch: pytest.MonkeyPatch, amount_minor: int, is_meant_to_differ: bool, outcome: Outcome
) -> None:
    answer_with(monkeypatch, lambda _: {"amount_minor": amount_minor})
    meant = Deviation(CASE.peer, CASE.kind, "4.3", "for a reason", lambda _: True)
    monkeypatch.setattr(judging, "deviation_of", lambda _: meant if is_meant_to_differ else None)
    assert judge(CASE).outcome is outcome


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({"amount_minor": 101, "steps": 1}, Outcome.DEVIATES),
        ({"amount_minor": 101, "steps": 2}, Outcome.FAILED),
        ({"amount_minor": 100, "steps": 2}, Outcome.FAILED),
        ({"amount_minor": 100, "steps": 1}, Outcome.FAILED),
        ({"error": "refused"}, Outcome.FAILED),
    ],
)
def test_a_case_that_is_meant_to_differ_in_one_field_differs_in_that_alone(
    monkeypatch: pytest.MonkeyPatch, answer: object, outcome: Outcome
) -> None:
    answer_with(monkeypatch, lambda _: answer)
    meant = Deviation(CASE.peer, CASE.kind, "4.3", "for a reason", lambda _: True, fields=("amount_minor",))
    monkeypatch.setattr(judging, "deviation_of", lambda _: meant)
    assert judge(replace(CASE, expect={"amount_minor": 100, "steps": 1})).outcome is outcome


def test_what_the_product_cannot_do_is_not_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks_it(_: Case) -> object:
        missing = "package prices"
        raise NotCovered(missing)

    answer_with(monkeypatch, lacks_it)
    assert judge(CASE) == (CASE, Outcome.NOT_COVERED, "package prices")


def test_an_adapter_that_breaks_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, lambda case: case.given["no such field"])
    assert judge(CASE).outcome is Outcome.FAILED


def answer_with(monkeypatch: pytest.MonkeyPatch, adapter: Callable[[Case], Any]) -> None:
    monkeypatch.setattr(judging, "ADAPTERS", {(CASE.peer, CASE.kind): adapter})
