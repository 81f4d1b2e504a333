"""A case's outcome: what the product answers, against what the peer asserts and what meterhouse means to differ in."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from tests.conformance.adapters import ADAPTERS
from tests.conformance.cases import Case, NotCovered
from tests.conformance.comparing import differences
from tests.conformance.deviations import Deviation, deviation_of

NO_ADAPTER: Final = "no adapter"


class Outcome(StrEnum):
    """What became of a case."""

    PASSED = "passed"
    DEVIATES = "deviates"
    NOT_COVERED = "not covered"
    FAILED = "failed"


class Verdict(NamedTuple):
    """The outcome of a case, and why."""

    case: Case
    outcome: Outcome
    why: str


def judge(case: Case) -> Verdict:
    """Ask the product and compare. A case that a deviation names must really differ, or it fails."""
    adapter = ADAPTERS.get((case.peer, case.kind))
    if adapter is None:
        return Verdict(case, Outcome.NOT_COVERED, NO_ADAPTER)
    try:
        answer = adapter(case)
    except NotCovered as missing:
        return Verdict(case, Outcome.NOT_COVERED, str(missing))
    except Exception as fault:  # noqa: BLE001 - one case must not hide the others of its kind
        return Verdict(case, Outcome.FAILED, f"{type(fault).__name__}: {fault}")
    found = differences(case.expect, answer, case.given.get("compare"))
    deviation = deviation_of(case)
    if deviation is not None:
        return _deviating(case, deviation, found)
    return Verdict(case, Outcome.FAILED if found else Outcome.PASSED, "; ".join(found))


def _deviating(case: Case, deviation: Deviation, found: list[str]) -> Verdict:
    """A case that is meant to differ does, and in nothing else."""
    if not found:
        return Verdict(case, Outcome.FAILED, f"a deviation is declared (rule {deviation.rule}), but nothing differs")
    others = [difference for difference in found if not deviation.allows(difference)]
    if others:
        return Verdict(case, Outcome.FAILED, f"beside what rule {deviation.rule} declares: {'; '.join(others)}")
    return Verdict(case, Outcome.DEVIATES, f"rule {deviation.rule}: {deviation.reason}")
