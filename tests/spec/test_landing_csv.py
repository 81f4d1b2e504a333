"""CSV files: rows, columns, and what a source says of them (rule 1.2)."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from meterhouse.catalog.settings import Settings
from meterhouse.landing import land_folder
from tests.records import CLOCK, DyingStore
from tests.tables import assert_rows

HEADER = "event_id,name,customer_id,timestamp"
AT = "2026-03-01T12:00:00Z"


def land_text(folder: Path, text: str | bytes, file: str = "e.csv", **source: Any) -> DyingStore:
    """Land one file, of which a source says what is given."""
    (folder / file).write_bytes(text.encode() if isinstance(text, str) else text)
    sources = {"told": {"files": "**", **source}} if source else {}
    store = DyingStore()
    land_folder(folder, store, Settings.model_validate({"name": "test", "sources": sources}), CLOCK)
    return store


def refusals(store: DyingStore) -> list[tuple[int, str, str]]:
    return store.table("rejected_events").sort("position").select("position", "reason", "record").rows()


def explanation(store: DyingStore) -> str:
    (text,) = store.table("rejected_events")["explanation"].to_list()
    return str(text)


# --- Rows -------------------------------------------------------------------------------------------------------------


def test_columns_have_the_names_of_fields_and_an_empty_value_is_none(tmp_path: Path) -> None:
    store = land_text(
        tmp_path,
        f"event_id,name,customer_id,timestamp,metadata,metadata.model,metadata.a.b\n"
        f'1,call,ada,{AT},"{{""tokens"": 5}}",large,x\n'
        f",call,ada,{AT},,,\n",
    )
    assert_rows(
        store.table("events").lazy().filter(position=2),
        "event_id | number_tokens | text_model | text_a.b\n1 | 5 | large | x",
    )
    assert_rows(store.table("events").lazy().filter(position=3), "name | metadata | number_tokens\ncall | {} | -")
    assert store.table("events").filter(position=2)["metadata"].to_list() == ['{"model":"large","a.b":"x","tokens": 5}']


def test_a_row_is_named_by_the_line_that_it_begins_on(tmp_path: Path) -> None:
    text = f'{HEADER},metadata.t\n1,call,ada,{AT},"a ""b"",\r\nc"\n\n2,call,ada,{AT},d\n'
    store = land_text(tmp_path, text)
    assert store.table("events").select("position", "text_t").rows() == [(2, 'a "b",\r\nc'), (5, "d")]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (f"1,call,ada,{AT},5", "it has 5 values, expected 4"),
        ("1,call,ada", "it has 3 values, expected 4"),
        (f'1,"call"x,ada,{AT}', "',' expected after '\"'"),
        (f'1,"call,ada,{AT}', "unexpected end of data"),
        (f"1,ca\rll,ada,{AT}", "new-line character seen in unquoted field"),
    ],
)
def test_a_row_that_is_not_as_the_first_line_has_it_is_refused_alone(tmp_path: Path, row: str, found: str) -> None:
    store = land_text(tmp_path, f"{HEADER}\n{row}\n2,call,ada,{AT}\n")
    assert store.table("events").select("event_id", "position").rows() == [("2", 3)]
    assert refusals(store) == [(2, "bad_csv", row)]
    assert found in explanation(store)


def test_a_row_over_several_lines_is_refused_whole(tmp_path: Path) -> None:
    row = f'1,"call\n\n",ada,{AT},5'
    store = land_text(tmp_path, f"{HEADER}\n{row}\n2,call,ada,{AT}\n")
    assert refusals(store) == [(2, "bad_csv", row)]
    assert store.table("events")["position"].to_list() == [5]


def test_a_row_without_an_end_ends_where_a_record_may_be_no_longer(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(f'{HEADER}\n1,"call,ada,{AT}\n' + f"2,call,ada,{AT}\n" * 60)
    store = DyingStore()
    land_folder(tmp_path, store, Settings.model_validate({"name": "t", "limits": {"max_record_bytes": 1024}}), CLOCK)
    assert "it goes on for more than 1024 bytes" in explanation(store)
    assert store.table("landed_files").select("records", "events", "duplicates", "rejected").row(0) == (61, 1, 59, 1)


def test_rows_that_are_never_closed_one_after_the_other_end_the_file(tmp_path: Path) -> None:
    # Each row begins with a quote that the next one closes and opens again, so that all end at the end of the file.
    (tmp_path / "e.csv").write_text(f"{HEADER}\n" + 'a","\n' * 1000)
    store = DyingStore()
    land_folder(tmp_path, store, Settings.model_validate({"name": "t", "limits": {"max_record_bytes": 1024}}), CLOCK)
    rejected = store.table("rejected_events")
    assert rejected.height < 10
    assert rejected.filter(position=0)["reason"].to_list() == ["unreadable_file"]
    assert "many rows before line 7 have a quote that is never closed" in rejected.filter(position=0)["explanation"][0]


@pytest.mark.parametrize(
    ("file", "pack"),
    [("e.csv", "\ufeff".encode().__add__), ("e.csv.gz", gzip.compress), ("e.csv.zst", zstandard.compress)],
)
def test_compressed_files_and_byte_order_marks(tmp_path: Path, file: str, pack: Callable[[bytes], bytes]) -> None:
    content = pack(f"{HEADER}\r\n1,call,ädä,{AT}\r\n".encode())
    assert_rows(land_text(tmp_path, content, file).table("events").lazy(), "event_id | customer_id\n1 | ädä")


@pytest.mark.parametrize("text", ["", HEADER, f"{HEADER}\n\n"])
def test_a_file_without_rows_has_no_records(tmp_path: Path, text: str) -> None:
    assert_rows(land_text(tmp_path, text).table("landed_files").lazy(), "path | records\ne.csv | 0")


def test_a_truncated_file_is_landed_up_to_there(tmp_path: Path) -> None:
    text = "".join([HEADER, *(f"\n{number},call,ada,{AT}" for number in range(5000))])
    store = land_text(tmp_path, zstandard.compress(text.encode())[:-20], "e.csv.zst")
    assert ("unreadable_file", "") in [(reason, record) for _, reason, record in refusals(store)]


def test_text_that_is_not_in_its_encoding_refuses_its_row(tmp_path: Path) -> None:
    store = land_text(tmp_path, f"{HEADER}\n1,call,".encode() + b"\xff" + f",{AT}\n2,call,ada,{AT}\n".encode())
    assert refusals(store) == [(2, "bad_utf8", f"1,call,\\xff,{AT}")]
    assert store.table("events")["event_id"].to_list() == ["2"]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f"{HEADER},tokens", "column 'tokens'."),
        (f"{HEADER},name", "column 'name' is there 2 times."),
        (f"{HEADER},", "column ''."),
    ],
)
def test_columns_that_nothing_names_refuse_the_file(tmp_path: Path, header: str, found: str) -> None:
    store = land_text(tmp_path, f"{header}\n1,call,ada,{AT},5")
    assert refusals(store) == [(0, "unknown_columns", "")]
    assert explanation(store).startswith(f"The file's columns are not those of events: {found}")


def test_columns_may_be_those_of_a_peer(tmp_path: Path) -> None:
    header = "transaction_id,code,external_subscription_id,timestamp,properties.region,precise_total_amount_cents"
    store = land_text(tmp_path, f"{header}\nt1,call,sub_1,1772366400.5,eu,12.5\n")
    assert_rows(
        store.table("events").lazy(),
        """
        event_id | name | subscription_id | timestamp               | text_region | number_precise_total_amount_cents
        t1       | call | sub_1           | 2026-03-01T12:00:00.500 | eu          | 12.5
        """,
    )


# --- What a source says -----------------------------------------------------------------------------------------------


def test_a_source_says_which_column_holds_what(tmp_path: Path) -> None:
    store = land_text(
        tmp_path,
        "Nr;Konto;Zeit;Menge;Modell;Gratis;Notiz\n"
        "1;ada;01.07.2026 14:00;1.234,5;x;true;n\n"
        "2;ada;01.02.2026 14:00;1234,50;x;FALSE;n\n"
        "3;ada;01.02.2026 14:00;;;;\n".replace("2026", "2025"),
        source="crm",
        name="call",
        csv={"delimiter": ";", "decimal_mark": ",", "encoding": "utf-8"},
        columns={"event_id": "Nr", "customer_id": "Konto", "timestamp": "Zeit"},
        properties={
            "tokens": {"column": "Menge", "type": "number"},
            "model": {"column": "Modell"},
            "free": {"column": "Gratis", "type": "flag"},
        },
        other_columns="ignore",
        timestamp_format="%d.%m.%Y %H:%M",
        timezone="Europe/Berlin",
    )
    assert_rows(
        store.table("events").lazy(),
        """
        source | event_id | name | customer_id | timestamp        | number_tokens | text_model | flag_free
        crm    | 2        | call | ada         | 2025-02-01T13:00 | 1234.5        | x          | no
        crm    | 3        | call | ada         | 2025-02-01T13:00 | -             | -          | -
        """,
    )
    assert explanation(store).startswith("A field has the wrong type: column 'Menge' is '1.234,5', not a number.")


@pytest.mark.parametrize(
    ("spelled", "number"),
    [
        ("5", "5"),
        ("+5", "5"),
        ("-0.50", "-0.5"),
        ("007", "7"),
        (".5", "0.5"),
        ("5.", "5"),
        (" 1e3 ", "1000"),
        ("0", "0"),
    ],
)
def test_numbers_may_be_spelled_as_tables_have_them(tmp_path: Path, spelled: str, number: str) -> None:
    text = f"{HEADER},n\n1,call,ada,{AT},{spelled}\n"
    store = land_text(tmp_path, text, properties={"n": {"type": "number"}})
    assert_rows(store.table("events").lazy(), f"event_id | number_n\n1 | {number}")


@pytest.mark.parametrize("spelled", ["five", "1 000", "0x10", "NaN", "inf", "--1", "1e", ".", "true", '"1,000"'])
def test_what_is_no_number_is_refused_where_a_number_was_said(tmp_path: Path, spelled: str) -> None:
    text = f"{HEADER},n\n1,call,ada,{AT},{spelled}\n"
    assert [reason for _, reason, _ in refusals(land_text(tmp_path, text, properties={"n": {"type": "number"}}))] == [
        "wrong_type"
    ]


@pytest.mark.parametrize("other", ["reject", "ignore", "properties"])
def test_columns_that_a_source_does_not_name(tmp_path: Path, other: str) -> None:
    store = land_text(tmp_path, f"{HEADER},n\n1,call,ada,{AT},5\n", other_columns=other)
    expected = {"reject": [], "ignore": ["{}"], "properties": ['{"n":"5"}']}[other]
    assert store.table("events")["metadata"].to_list() == expected


def test_a_column_with_the_name_of_another_shapes_field_is_a_property_where_the_shape_is_said(tmp_path: Path) -> None:
    text = f"{HEADER},type,code\n1,call,ada,{AT},a,b\n"
    store = land_text(tmp_path, text, shape="meterhouse", other_columns="properties")
    assert store.table("events")["metadata"].to_list() == ['{"type":"a","code":"b"}']
    assert refusals(land_text(tmp_path, text)) == [(2, "unknown_shape", f"1,call,ada,{AT},a,b")]


def test_a_column_that_a_source_names_must_be_there(tmp_path: Path) -> None:
    store = land_text(tmp_path, f"{HEADER}\n1,call,ada,{AT}\n", columns={"name": "what"}, properties={"n": {}})
    assert "column 'n' is not there; column 'what' is not there; column 'event_id'" in explanation(store)


def test_other_encodings(tmp_path: Path) -> None:
    text = f"{HEADER}\n1,call,Zoë,{AT}\n"
    for encoding in ("windows-1252", "iso-8859-1", "utf-16"):
        store = land_text(tmp_path, text.encode(encoding), csv={"encoding": encoding})
        assert_rows(store.table("events").lazy(), "event_id | customer_id\n1 | Zoë")
    damaged = land_text(tmp_path, b"\xff\xfea\x00\x00\xd8x\x00", csv={"encoding": "utf-16"})
    assert [reason for _, reason, _ in refusals(damaged)] == ["unreadable_file"]


@pytest.mark.parametrize(
    ("sent", "instant"),
    [
        # Summer and winter; an hour that the clock shows twice is the first of the two.
        ("2025-07-01 12:00", "2025-07-01T10:00"),
        ("2025-12-01T12:00:00.5", "2025-12-01T11:00:00.500"),
        ("2025-10-26 02:30:00", "2025-10-26T00:30"),
        ("2025-07-01T12:00:00Z", "2025-07-01T12:00"),
        ("2025-07-01T12:00:00+05:00", "2025-07-01T07:00"),
    ],
)
def test_instants_without_an_offset_are_of_the_sources_clock(tmp_path: Path, sent: str, instant: str) -> None:
    store = land_text(tmp_path, f"{HEADER}\n1,call,ada,{sent}\n", timezone="Europe/Berlin")
    assert_rows(store.table("events").lazy(), f"event_id | timestamp\n1 | {instant}")


def test_an_hour_that_the_clock_skips_is_no_instant(tmp_path: Path) -> None:
    store = land_text(tmp_path, f"{HEADER}\n1,call,ada,2025-03-30 02:30:00\n", timezone="Europe/Berlin")
    assert explanation(store).startswith(
        "The timestamp is '2025-03-30 02:30:00 skipped by the clock of Europe/Berlin'."
    )


@pytest.mark.parametrize("sent", ["2025-02-30 12:00:00", "30.02.2025 12:00 +0100", "noon", "01.02.2025"])
def test_what_no_clock_shows_is_refused_as_it_was_sent(tmp_path: Path, sent: str) -> None:
    store = land_text(tmp_path, f"{HEADER}\n1,call,ada,{sent}\n", timestamp_format="%d.%m.%Y %H:%M %z")
    assert explanation(store).startswith(f"The timestamp is '{sent}'.")


def test_a_format_may_have_an_offset(tmp_path: Path) -> None:
    store = land_text(
        tmp_path,
        f"{HEADER}\n1,call,ada,01.02.2025 12:00 +0530\n2,call,ada,{AT}\n",
        timestamp_format="%d.%m.%Y %H:%M %z",
    )
    assert_rows(store.table("events").lazy(), "event_id | timestamp\n1 | 2025-02-01T06:30\n2 | 2026-03-01T12:00")


def test_a_format_of_dates_alone_says_the_beginning_of_the_day(tmp_path: Path) -> None:
    store = land_text(
        tmp_path, f"{HEADER}\n1,call,ada,01/07/2025\n", timezone="Europe/Berlin", timestamp_format="%d/%m/%Y"
    )
    assert_rows(store.table("events").lazy(), "event_id | timestamp\n1 | 2025-06-30T22:00")
