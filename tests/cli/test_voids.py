"""Usage that is taken back, and usage of customers that appear later (rules 1.5, 1.6), from the command line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Commands

LANDED = ("--through", "2026-02-02", "--landed-at", "2026-02-04")

NEW = '{"event_id":"new","name":"request","external_customer_id":"user-1","timestamp":"2026-02-01T12:00:00Z"}'


def _land(commands: Commands, name: str, *records: object) -> list[str]:
    """Put a file of records there and run; the days that were metered again."""
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (commands.project / "events" / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    document = commands("run", *LANDED, "--json").document
    assert commands("audit").code == 0
    days: list[str] = document["days_metered"]
    return days


def _requests(commands: Commands, *words: str) -> list[str]:
    usage = commands("usage", "--meter", "requests", "--customer", "ada", *words, "--json").document["usage"]
    return [row["quantity"] for row in usage]


def test_a_voided_event_counts_nowhere_and_stays(copy: Commands) -> None:
    before = _requests(copy)
    _land(copy, "new", NEW)
    assert _requests(copy) != before
    assert _land(copy, "void", {"void": "new"}) == ["2026-02-01"]
    assert _requests(copy) == before
    found = copy("status", "--json").document
    assert (found["events"], found["voids"]) == (29, {"voided": 1, "pending": 0})
    assert found["gone"] == {"events": 0, "invoices": 0}
    assert "Voided      1 event taken back\n" in copy("status").out
    shown = copy("sql", "FROM data_quality WHERE finding = 'event voided'", "--json").document["result"]
    assert [row["records"] for row in shown] == [1]


def test_a_void_waits_for_its_event(copy: Commands) -> None:
    before = _requests(copy)
    _land(copy, "void", {"void": "new"})
    assert "Voided      0 events taken back; 1 more wait for events that have not come" in copy("status").out
    _land(copy, "new", NEW)
    assert _requests(copy) == before
    assert copy("status", "--json").document["voids"] == {"voided": 1, "pending": 0}


def test_a_void_sent_again_meters_nothing_again(copy: Commands) -> None:
    _land(copy, "void", {"void": "new"}, NEW)
    assert _land(copy, "again", {"void": "new", "metadata": {"reason": "sent by mistake"}}) == []


def test_usage_that_is_taken_back_after_its_invoice_stays_billed_and_is_told(copy: Commands) -> None:
    final = copy("invoices", "list", "--status", "finalized", "--json").document
    assert _land(copy, "void", {"void": "e008"}, {"void": "e009"}) == ["2026-01-06"]
    assert copy("invoices", "list", "--status", "finalized", "--json").document == final
    for shown in (copy("run", *LANDED).out, copy("status").out):
        told = r"^Gone +2 events of 1 invoice taken back after the invoice was final, and still billed$"
        assert re.search(told, shown, re.MULTILINE)
    listed = copy("sql", "FROM unbilled_usage WHERE reason LIKE 'went%'", "--json").document["result"]
    assert [(row["meter"], row["events"], row["quantity"]) for row in listed] == [("requests", -2, "-2")]


def test_a_landing_says_how_many_events_it_takes_back(copy: Commands) -> None:
    (copy.project / "events" / "void.jsonl").write_text('{"void": "e008"}\n', encoding="utf-8")
    ended = copy("land", "--landed-at", "2026-02-04")
    assert "Landed     1 file, 1 record: 0 events" in ended.out
    assert "Voided     1 record that takes an event back" in ended.out


def test_events_of_an_unknown_customer_are_his_once_he_is_there(copy: Commands) -> None:
    assert "Strangers   1 event of 1 unknown customer: 'user-9'\n" in copy("status").out
    with (copy.project / "customers.csv").open("a", encoding="utf-8") as file:
        file.write("zoe,user-9,Zoe\n")
    with (copy.project / "subscriptions.csv").open("a", encoding="utf-8") as file:
        file.write("zoe-starter,zoe,starter,2026-01-01,,,,,,\n")
    copy("run", *LANDED)
    assert copy("status", "--json").document["unattributed"] == {"customers": 0, "events": 0, "ids": []}
    (row,) = copy("usage", "--meter", "requests", "--customer", "zoe", "--json").document["usage"]
    assert (row["quantity"], row["attributed"]) == ("1", True)
    billed = copy("invoices", "list", "--customer", "zoe", "--json").document["invoices"]
    assert {invoice["status"] for invoice in billed} >= {"finalized"}
    assert copy("audit").code == 0
