"""Runs a folder of the peers' cases: `pytest tests/conformance --vectors FOLDER`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from tests.conformance.cases import OWN_VECTORS, Case, read_cases
from tests.conformance.reporting import RECORDED, Floor, lines_of, raise_floor, read_floor


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--vectors", type=Path, default=OWN_VECTORS, help="Folder of the peers' cases, one folder a peer.")
    group.addoption("--raise-floor", action="store_true", help="Keep how many cases pass now as the new floor.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cases" in metafunc.fixturenames:
        kinds: dict[tuple[str, str], list[Case]] = defaultdict(list)
        for case in read_cases(_folder(metafunc.config)):
            kinds[case.peer, case.kind].append(case)
        metafunc.parametrize("cases", kinds.values(), ids=["/".join(kind) for kind in kinds])


@pytest.fixture(scope="session")
def floor(pytestconfig: pytest.Config) -> Floor:
    """How many cases passed before; another folder than the own has no floor."""
    return read_floor() if _is_own(pytestconfig) else {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    records = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == RECORDED
    ]
    if not records:
        return
    terminalreporter.section("the peers' cases")
    for line in lines_of(records):
        terminalreporter.write_line(line)
    if config.getoption("--raise-floor", default=False) and _is_own(config):
        raise_floor(records)


def _folder(config: pytest.Config) -> Path:
    # Where pytest is started elsewhere than here, it reads this file too late for its options.
    folder: Path = config.getoption("--vectors", OWN_VECTORS)
    return folder


def _is_own(config: pytest.Config) -> bool:
    return _folder(config).resolve() == OWN_VECTORS
