"""What a meter would measure, and what is odd about meters, on the events of the example."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from meterhouse.warehouse import Warehouse
from tests.cli.conftest import Commands

if TYPE_CHECKING:
    from pathlib import Path

FASTER = """
meters:
  minutes:
    unit: minute
    event: transcription
    filter: { clauses: [{ property: model, operator: eq, value: fast }] }
    aggregation: { func: sum, property: minutes }
  speakers:
    aggregation: { func: sum, property: model }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "new.yaml"
    written.write_text(FASTER, encoding="utf-8")
    return written


def previews(commands: Commands, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = commands("meter", "preview", *words, "--json").document["previews"]
    return found


def test_a_meter_of_the_catalog_measures_what_usage_shows(example: Commands) -> None:
    (shown,) = previews(example, "minutes")
    assert (shown["events"], shown["matched"], shown["skipped"]) == (28, 12, [])
    assert [(row["quantity"], row["events"]) for row in shown["total"]] == [("494", 12)]
    assert [(row["date"], row["quantity"]) for row in shown["by_day"]][:2] == [
        ("2026-01-05", "137.5"),
        ("2026-01-06", "163.5"),
    ]
    assert [(row["customer_id"], row["quantity"]) for row in shown["by_customer"]] == [
        ("bob", "342.25"),
        ("ada", "151.75"),
    ]
    assert shown["change"] is None
    assert len(shown["examples"]) == 5


def test_customers_that_nobody_knows_have_a_line_of_their_own(example: Commands) -> None:
    (shown,) = previews(example, "requests")
    assert [(row["attributed"], row["quantity"]) for row in shown["total"]] == [(True, "11"), (False, "1")]
    printed = example("meter", "preview", "requests").out
    assert re.search(r"^Unattributed +1 request from 1 event$", printed, re.MULTILINE)
    assert "user-9 (unattributed)" in printed


def test_another_definition_shows_the_difference_to_what_was_measured(example: Commands, file: Path) -> None:
    (shown,) = previews(example, str(file), "--meter", "minutes")
    (total,) = shown["change"]["total"]
    assert (total["before"], total["after"], total["difference"]) == ("494", "353.25", "-140.75")
    assert sum(float(row["difference"]) for row in shown["change"]["by_day"]) == -140.75
    assert sum(float(row["difference"]) for row in shown["change"]["by_customer"]) == -140.75
    assert "494 -> 353.25 (-140.75)" in example("meter", "preview", str(file)).out


def test_a_changed_meter_of_the_catalog_is_compared_with_the_last_run(copy: Commands) -> None:
    meters = copy.project / "catalog" / "meters.yaml"
    text = meters.read_text(encoding="utf-8").replace(
        "func: max, property: gigabytes", "func: min, property: gigabytes"
    )
    meters.write_text(text, encoding="utf-8")
    (shown,) = previews(copy, "storage")
    assert shown["change"]["total"][0]["before"] == "19.5"


def test_nothing_is_written(copy: Commands, file: Path) -> None:
    before = Warehouse(str(copy.project / "warehouse")).versions()
    copy("meter", "preview", str(file))
    copy("meter", "check")
    assert Warehouse(str(copy.project / "warehouse")).versions() == before


def test_skipped_values_are_told_with_reason_and_example(example: Commands, file: Path) -> None:
    (shown,) = previews(example, str(file), "--meter", "speakers")
    assert {row["reason"]: row["events"] for row in shown["skipped"]} == {"missing": 16, "text": 12}
    assert {row["events"] for row in shown["total"]} == {0}
    printed = example("meter", "preview", str(file), "--meter", "speakers").out
    assert re.search(r"12 events have a text as 'model', e\.g\. e004:", printed)
    assert "'model' is always a text, and `sum` counts only numbers" in printed


def test_days_and_a_customer_are_chosen(example: Commands) -> None:
    days = ("--from", "2026-01-06", "--through", "2026-01-07")
    (shown,) = previews(example, "minutes", "--customer", "user-1", *days)
    assert [(row["date"], row["quantity"]) for row in shown["by_day"]] == [
        ("2026-01-06", "61"),
        ("2026-01-07", "18.25"),
    ]
    assert [row["customer_id"] for row in shown["by_customer"]] == ["ada"]
    assert {row["customer_id"] for row in shown["examples"]} == {"ada"}


GROUPED = """
event: transcription
group_by: [model]
aggregation: { func: sum, property: minutes }
changes:
  - { from: 2026-01-08T00:00:00Z, event: none }
"""


def test_groups_and_changes_from_an_instant_on(example: Commands, file: Path) -> None:
    file.write_text(GROUPED, encoding="utf-8")
    (shown,) = previews(example, str(file))
    assert (shown["matched"], shown["total"][0]["quantity"]) == (9, "400")
    groups = {row["group_json"]: row["quantity"] for row in shown["by_group"]}
    assert groups.keys() == {'{"model":"fast"}', '{"model":"accurate"}'}
    assert [finding["kind"] for finding in shown["odd"]] == ["unknown_event"]
    assert re.search(r"^model fast +[\d.]+ +\d+$", example("meter", "preview", str(file)).out, re.MULTILINE)
    file.write_text(GROUPED.replace("[model]", "[absent]"), encoding="utf-8")
    assert re.search(r"^absent \(none\) +400 +9$", example("meter", "preview", str(file)).out, re.MULTILINE)


def test_versions_say_what_a_meter_measured(copy: Commands) -> None:
    meters = copy.project / "catalog" / "meters.yaml"
    text = meters.read_text(encoding="utf-8")
    meters.write_text(text.replace("model, operator: eq, value: fast", "model, operator: ne, value: slow"))
    copy("run", "--through", "2026-02-02", "--landed-at", "2026-02-04")
    shown = Commands(copy.project, 160)("meter", "versions", "fast_minutes").out.splitlines()
    event = 'name eq "transcription"'
    assert [line.split("minutes", 1)[1].split() for line in shown if "sum" in line] == [
        [*f'{event} and (model ne "slow")'.split(), "holds"],
        [*f'{event} and (model eq "fast")'.split(), "replaced"],
    ]
    grouped = text.replace("    event: request ", "    group_by: [path]\n    event: request ")
    assert grouped != text
    meters.write_text(grouped, encoding="utf-8")
    copy("run", "--through", "2026-02-02", "--landed-at", "2026-02-04")
    assert [line.split()[2:] for line in copy("meter", "versions", "requests").out.splitlines() if "count" in line] == [
        ["count", "path", "name", "eq", '"request"', "holds"],
        ["count", "name", "eq", '"request"', "replaced"],
    ]
    ended = copy("meter", "versions", "fast")
    assert (ended.code, "Measured were: fast_minutes, minutes, people, requests, storage." in ended.err) == (2, True)


def test_events_that_were_taken_back_do_not_count(copy: Commands) -> None:
    (copy.project / "events" / "void.jsonl").write_text('{"void": "e004"}', encoding="utf-8")
    copy("land")
    (shown,) = previews(copy, "minutes")
    assert shown["total"][0]["quantity"] == "451.5"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("meters:\n  a: {aggregation: {func: [}\n", r"new\.yaml:2:28: this is not valid YAML"),
        ("meters:\n  a: {event: x}\n", r"meters\.a\.aggregation: is missing"),
        ("aggregation: {func: sum}\n", r"aggregation: `sum` takes a `property` to aggregate"),
        ("products: {}\n", r"there is no meter\. Expected `meters:`"),
        ("meter:\n  a: {event: x}\n", r"meter: is not known here; did you mean 'meters'\?"),
    ],
)
def test_a_file_that_cannot_be_used(example: Commands, file: Path, content: str, told: str) -> None:
    file.write_text(content, encoding="utf-8")
    ended = example("meter", "preview", str(file))
    assert ended.code == 2
    assert re.search(told, ended.err)


def test_one_meter_alone_is_called_as_its_file(example: Commands, file: Path) -> None:
    file.write_text("event: request\naggregation: {func: count}\n", encoding="utf-8")
    assert [shown["meter"] for shown in previews(example, str(file))] == ["new"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("preview", "minuts"), "Did you mean minutes?"),
        (("preview", "nofile.yaml"), "nofile.yaml: there is no such file"),
        (("check", "--meter", "minuts"), "Did you mean minutes?"),
    ],
)
def test_a_name_that_is_not_known(example: Commands, words: tuple[str, ...], told: str) -> None:
    ended = example("meter", *words)
    assert (ended.code, told in ended.err) == (2, True)


def test_check_finds_nothing_wrong_in_the_example(example: Commands) -> None:
    ended = example("meter", "check", "--json")
    assert (ended.code, ended.document["passed"], ended.document["checked"]) == (0, True, 5)
    assert {(found["meter"], found["kind"]) for found in ended.document["findings"]} == {
        ("people", "skipped"),
        ("people", "no_price"),
    }


def test_check_ends_with_an_exit_code_where_a_meter_is_wrong(copy: Commands) -> None:
    meters = copy.project / "catalog" / "meters.yaml"
    meters.write_text(meters.read_text(encoding="utf-8").replace("event: storage", "event: storrage"), encoding="utf-8")
    ended = copy("meter", "check", "--json")
    assert (ended.code, ended.document["passed"]) == (2, False)
    assert "1 meter of 5 does not measure what the catalog says: storage" in ended.err
    assert "name eq \"storrage\"`: no event has such a name. Did you mean 'storage'?" in copy("meter", "check").out


def versions(commands: Commands) -> list[tuple[str, str, bool]]:
    listed = commands("meter", "versions", "storage", "--json").document["versions"]
    return [(version["aggregation"], version["first_used_at"], version["holds"]) for version in listed]


def test_a_version_keeps_the_clock_of_the_run_that_used_it_first(copy: Commands) -> None:
    meters = copy.project / "catalog" / "meters.yaml"
    before = meters.read_text(encoding="utf-8")
    after = before.replace("func: max, property: gigabytes", "func: min, property: gigabytes")
    for day, text in enumerate((after, after, before), 4):
        meters.write_text(text, encoding="utf-8")
        assert copy("run", "--through", "2026-02-02", "--landed-at", f"2026-02-{day:02}").code == 0
    assert versions(copy) == [
        ("max", "2026-02-03T00:00:00Z", True),
        ("min", "2026-02-04T00:00:00Z", False),
    ]
    printed = copy("meter", "versions", "storage").out
    assert re.search(r"^\w+ +2026-02-04 +min +gigabytes .* replaced$", printed, re.MULTILINE)
