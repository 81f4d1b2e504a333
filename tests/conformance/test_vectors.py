"""The product answers as its peers do, or differs where the book says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conformance.cases import OWN_VECTORS, Case, read_cases
from tests.conformance.deviations import DEVIATIONS
from tests.conformance.judging import Outcome, judge
from tests.conformance.reporting import RECORDED, Floor, record_of

if TYPE_CHECKING:
    from collections.abc import Callable


def test_kind(cases: list[Case], floor: Floor, record_property: Callable[[str, object], None]) -> None:
    verdicts = [judge(case) for case in cases]
    record_property(RECORDED, record_of(verdicts))

    failed = [f"{verdict.case.id}: {verdict.why}" for verdict in verdicts if verdict.outcome is Outcome.FAILED]
    assert not failed, "\n".join(failed)
    passed = sum(verdict.outcome is Outcome.PASSED for verdict in verdicts)
    before = floor.get(cases[0].peer, {}).get(cases[0].kind, 0)
    assert passed >= before, f"{before} cases passed before, now {passed}: the share may only rise"


def test_every_kind_of_the_floor_is_still_run(floor: Floor) -> None:
    run = {(case.peer, case.kind) for case in read_cases(OWN_VECTORS)}
    assert {(peer, kind) for peer, kinds in floor.items() for kind in kinds} <= run


def test_every_deviation_names_some_case() -> None:
    cases = read_cases(OWN_VECTORS)
    unused = [deviation for deviation in DEVIATIONS if not any(deviation.applies(case) for case in cases)]
    assert not unused
