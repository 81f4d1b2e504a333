"""Tables in the warehouse: what is written, what can be read again, what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
import polars as pl
import pytest
from deltalake import write_deltalake
from deltalake.exceptions import CommitFailedError
from polars.testing import assert_frame_equal

from meterhouse.errors import WarehouseError
from meterhouse.tables import WAREHOUSE, Customers, EventDuplicates, Events, Runs, schema_of
from meterhouse.tables.columns import QUANTITY
from meterhouse.warehouse import Warehouse, connect, write_sql
from meterhouse.warehouse.commit import until_it_holds
from tests.tables import assert_rows, rows

JANUARY = "landed_on >= '2026-01-01' AND landed_on <= '2026-01-31'"


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """An empty warehouse, in a folder whose name SQL and addresses must quote."""
    return Warehouse(str(tmp_path / "o'clock #é"))


def customers(text: str) -> pl.DataFrame:
    return rows(Customers, text, external_id="-").collect()


def runs(text: str) -> pl.DataFrame:
    return rows(Runs, text, as_of="2026-01-01", inputs="-", events=0, drafts=0, finalized=0, engine="-").collect()


def duplicates(text: str) -> pl.DataFrame:
    return rows(EventDuplicates, text, file_id="f", source="user", event_id="-", landed_at="2026-02-01").collect()


def event(event_id: str, **properties: pl.Series) -> pl.DataFrame:
    given = {"timestamp": "2026-01-05", "received_at": "2026-01-05", "date": "2026-01-05"}
    text = f"event_id \n {event_id}"
    frame = rows(Events, text, source="user", name="-", metadata="{}", file_id="f", position=1, **given).collect()
    return frame.with_columns(**properties)


ADA_AND_BOB = """
    customer_id | name
    ada         | Ada
    bob         | Bob
"""
BOB_AND_ADA = """
    customer_id | name
    bob         | Bob
    ada         | Ada
"""
TWO_MONTHS = """
    position | landed_on
    1        | 2026-01-05
    2        | 2026-01-06
    3        | 2026-02-01
"""


# Reading and writing


def test_a_table_never_written_is_empty_and_has_no_version(warehouse: Warehouse) -> None:
    assert warehouse.scan("customers").collect_schema() == schema_of(Customers)
    assert warehouse.scan("customers").collect().is_empty()
    assert not warehouse.exists("customers")
    assert warehouse.version("customers") is None
    assert warehouse.versions() == {}
    assert warehouse.file_uris("customers") == []
    assert not warehouse.replace("customers", customers(ADA_AND_BOB).clear())
    assert not warehouse.append("runs", runs("run_id \n 1").clear())
    assert not warehouse.exists("customers")


def test_the_same_rows_in_any_order_make_no_new_version(warehouse: Warehouse) -> None:
    assert warehouse.replace("customers", customers(ADA_AND_BOB))
    before = warehouse.versions()
    assert not warehouse.replace("customers", customers(BOB_AND_ADA))
    assert warehouse.versions() == before
    assert warehouse.replace("customers", customers(BOB_AND_ADA).head(1))
    assert_rows(warehouse.scan("customers"), "customer_id | name \n bob | Bob")


def test_the_same_rows_in_any_order_are_the_same_bytes(tmp_path: Path) -> None:
    def bytes_of(folder: str, text: str) -> set[str]:
        warehouse = Warehouse(str(tmp_path / folder))
        warehouse.replace("customers", customers(text))
        return {hashlib.sha256(Path(uri).read_bytes()).hexdigest() for uri in warehouse.file_uris("customers")}

    assert bytes_of("one", ADA_AND_BOB) == bytes_of("other", BOB_AND_ADA)


def test_only_the_partitions_named_are_replaced(warehouse: Warehouse) -> None:
    warehouse.replace("event_duplicates", duplicates(TWO_MONTHS))
    february = [uri for uri in warehouse.file_uris("event_duplicates") if "2026-02" in uri]
    assert warehouse.replace("event_duplicates", duplicates("position | landed_on \n 9 | 2026-01-07"), JANUARY)
    assert not warehouse.replace("event_duplicates", duplicates("position | landed_on \n 9 | 2026-01-07"), JANUARY)
    assert_rows(
        warehouse.scan("event_duplicates"),
        """
        position | landed_on
        9        | 2026-01-07
        3        | 2026-02-01
        """,
    )
    assert february[0] in warehouse.file_uris("event_duplicates")
    assert warehouse.replace("event_duplicates", duplicates(TWO_MONTHS).clear(), JANUARY)
    assert_rows(warehouse.scan("event_duplicates"), "position | landed_on \n 3 | 2026-02-01")


def test_a_version_can_be_read_again(warehouse: Warehouse) -> None:
    warehouse.replace("customers", customers(ADA_AND_BOB))
    first = warehouse.version("customers")
    warehouse.replace("customers", customers("customer_id | name \n ada | Ada King"))
    assert_rows(warehouse.scan("customers", first), ADA_AND_BOB)
    with pytest.raises(WarehouseError, match=r"'customers' .* cannot be read at version 7"):
        warehouse.scan("customers", 7)
    with pytest.raises(WarehouseError, match="'meters' has no version 0: it was never written"):
        warehouse.scan("meters", 0)


def test_an_update_is_made_from_what_is_stored(warehouse: Warehouse) -> None:
    warehouse.replace("event_duplicates", duplicates(TWO_MONTHS))

    def without_first(stored: pl.LazyFrame) -> pl.DataFrame:
        return stored.filter(pl.col("position") > 1).collect()

    assert warehouse.update("event_duplicates", without_first, JANUARY)
    assert not warehouse.update("event_duplicates", without_first, JANUARY)
    assert_rows(warehouse.scan("event_duplicates"), "position \n 2 \n 3")


def test_rows_are_appended_once_per_sequence(warehouse: Warehouse) -> None:
    assert warehouse.sequence("runs", "nightly") == -1
    assert warehouse.append("runs", runs("run_id \n 1"), once=("nightly", 5))
    assert not warehouse.append("runs", runs("run_id \n 2"), once=("nightly", 5))
    assert not warehouse.append("runs", runs("run_id \n 2"), once=("nightly", 4))
    assert warehouse.append("runs", runs("run_id \n 2"), once=("hourly", 4))
    assert warehouse.sequence("runs", "nightly") == 5
    assert_rows(warehouse.scan("runs"), "run_id \n 1 \n 2")


def test_small_files_of_a_crowded_partition_are_joined(warehouse: Warehouse) -> None:
    for number in range(4):
        warehouse.append("event_duplicates", duplicates(f"position | landed_on \n {number} | 2026-01-05"))
        warehouse.append("runs", runs(f"run_id \n {number}"))
    warehouse.append("event_duplicates", duplicates("position | landed_on \n 9 | 2026-01-06"))
    for table, files in (("event_duplicates", 2), ("runs", 1)):
        before = warehouse.scan(table).collect()
        assert warehouse.compact(table, files=3)
        assert not warehouse.compact(table, files=3)
        assert len(warehouse.file_uris(table)) == files
        assert_frame_equal(warehouse.scan(table).collect(), before, check_row_order=False)


# Property columns


def test_properties_are_columns_that_earlier_rows_do_not_have(warehouse: Warehouse) -> None:
    warehouse.append("events", event("1", text_model=pl.Series(["m"])))
    warehouse.append("events", event("2", **{"number_a%20b": pl.Series([3], dtype=QUANTITY)}))
    expected = """
        event_id | number_a%20b | text_model
        1        | -            | m
        2        | 3            | -
    """
    assert_rows(warehouse.scan("events"), expected)
    assert warehouse.scan("events").collect_schema().names()[-2:] == ["number_a%20b", "text_model"]
    assert_rows(answer(warehouse, "FROM events").lazy(), expected)


def test_a_property_that_no_row_has_any_more_stays_a_column(warehouse: Warehouse) -> None:
    warehouse.append("events", event("1", flag_paid=pl.Series([True])))
    assert warehouse.replace("events", event("1"))
    assert_rows(warehouse.scan("events"), "event_id | flag_paid \n 1 | -")
    assert_rows(answer(warehouse, "FROM events").lazy(), "event_id | flag_paid \n 1 | -")
    unsent = pl.Series([None], dtype=pl.String)
    assert not warehouse.replace("events", event("1", text_new=unsent), "date = '2026-01-05'")


# Refusals


def test_append_only_tables_are_not_replaced_and_take_a_key_once(warehouse: Warehouse) -> None:
    warehouse.append("runs", runs("run_id \n 1"))
    with pytest.raises(WarehouseError, match="'runs' is append-only"):
        warehouse.replace("runs", runs("run_id \n 2"))
    with pytest.raises(WarehouseError, match=r"'runs' holds {'run_id': '1'} already"):
        warehouse.append("runs", runs("run_id \n 1"))
    with pytest.raises(CommitFailedError, match="append-only"):
        write_deltalake(str(warehouse.root / "runs"), runs("run_id \n 2"), mode="overwrite")


def test_a_table_that_is_not_declared_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match=r"no table 'invoice'\. Known tables: .* invoices"):
        warehouse.scan("invoice")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"position": pl.lit(1, pl.Int32)}, "column 'position' is Int32, expected Int64"),
        ({"position": pl.lit(1.0)}, "column 'position' is Float64, expected Int64"),
        ({"timestamp": pl.lit("2026-01-05")}, "column 'timestamp' is String, expected Datetime"),
        ({"unknown": pl.lit(1)}, r"column 'unknown' \(Int32\) is not one of the table's columns"),
        ({"number_a": pl.lit(1)}, r"column 'number_a' \(Int32\) is not one of the table's columns"),
        ({"text_a b": pl.lit("x")}, r"column 'text_a b' \(String\) is not one of the table's columns"),
        ({"name": pl.lit(None, pl.String)}, r"'Events' would break its own rules \(name\|nullability: 1 rows\)"),
        ({"TEXT_model": pl.lit("x")}, r"column 'TEXT_model' \(String\) is not one"),
        ({"text_Model": pl.lit("x")}, r"column 'text_Model' \(String\) is not one of the table's columns"),
    ],
)
def test_rows_of_another_shape_are_refused(warehouse: Warehouse, changed: dict[str, pl.Expr], told: str) -> None:
    warehouse.append("events", event("1", text_model=pl.Series(["m"])))
    versions = warehouse.versions()
    with pytest.raises(WarehouseError, match=told):
        warehouse.append("events", event("2").with_columns(**changed))
    assert warehouse.versions() == versions


def test_a_column_left_out_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="column 'name' is missing, expected String"):
        warehouse.replace("customers", customers(ADA_AND_BOB).drop("name"))


@pytest.mark.parametrize(
    ("table", "where", "told"),
    [
        ("event_duplicates", "landed_on = '2026-01-05'", r"outside the partitions replaced .*: \['2026-01-06'"),
        ("event_duplicates", "position = 1", "Name only its partition column 'landed_on'"),
        ("customers", "customer_id = 'ada'", "'customers' has no partitions"),
    ],
)
def test_a_partial_replacement_names_partitions_and_stays_within(
    warehouse: Warehouse, table: str, where: str, told: str
) -> None:
    frames = {"event_duplicates": duplicates(TWO_MONTHS), "customers": customers(ADA_AND_BOB)}
    with pytest.raises(WarehouseError, match=told):
        warehouse.replace(table, frames[table], where)


def test_a_table_stored_by_another_version_of_meterhouse_is_refused(warehouse: Warehouse) -> None:
    older = customers(ADA_AND_BOB).drop("external_id").with_columns(name=pl.lit(1, pl.Int64), age=pl.lit(1, pl.Int64))
    warehouse.root.mkdir()
    write_deltalake(str(warehouse.root / "customers"), older)
    told = (
        r"column 'age' is PrimitiveType\(\"long\"\), expected missing; column 'external_id' is missing, .*"
        r"column 'name' is .*long.*, expected .*string.* Use that version"
    )
    with pytest.raises(WarehouseError, match=told):
        warehouse.scan("customers")


def test_a_property_with_a_column_of_another_spelling_is_refused(warehouse: Warehouse) -> None:
    """It would have two, and a meter would read one of them."""
    warehouse.append("events", event("1"))
    stored = warehouse.scan("events").collect().with_columns(text_Model=pl.lit("m"))
    write_deltalake(str(warehouse.root / "events"), stored, mode="append", schema_mode="merge")
    with pytest.raises(WarehouseError, match=r"column 'text_Model' is .*string.* Use that version"):
        warehouse.scan("events")


def test_a_write_that_always_meets_another_writer_gives_up_and_says_so() -> None:
    def meets_another() -> bool:
        message = "version 3 exists"
        raise CommitFailedError(message)

    with pytest.raises(WarehouseError, match=r"another writer changed it 12 times meanwhile \(version 3 exists\)"):
        until_it_holds("customers", meets_another)


def test_a_warehouse_in_a_place_that_does_not_work_is_refused() -> None:
    with pytest.raises(WarehouseError, match="Only local folders"):
        Warehouse("s3://bucket/warehouse")
    with pytest.raises(WarehouseError, match="Give the folder another name"):
        Warehouse("date=2026")


def test_a_warehouse_where_a_file_stands_is_refused(tmp_path: Path) -> None:
    (tmp_path / "warehouse").write_text("a file")
    with pytest.raises(WarehouseError, match="folder that you may write in"), Warehouse(f"{tmp_path}/warehouse").lock():
        pytest.fail("locked")


# DuckDB


@pytest.mark.parametrize("table", WAREHOUSE)
def test_duckdb_sees_the_columns_and_types_of_a_table_that_was_never_written(warehouse: Warehouse, table: str) -> None:
    assert answer(warehouse, f"FROM {table}").schema == schema_of(WAREHOUSE[table].table)


@pytest.mark.parametrize("table", WAREHOUSE)
def test_duckdb_and_polars_read_the_same_rows(warehouse: Warehouse, table: str) -> None:
    stored = WAREHOUSE[table]
    sample: pl.DataFrame = stored.table.sample(20)
    if stored.partition:
        days = pl.date(2026, 1, 30) + pl.duration(days=pl.int_range(pl.len()) % 3)
        is_day = sample.schema[stored.partition] == pl.Date
        sample = sample.with_columns((days if is_day else days.dt.strftime("%Y-%m")).alias(stored.partition))
    warehouse.append(table, sample)
    read = warehouse.scan(table).collect()
    assert_frame_equal(read, sample, check_row_order=False)
    assert_frame_equal(answer(warehouse, f"FROM {table}").select(read.columns), read, check_row_order=False)


def test_duckdb_does_not_see_rows_of_older_versions(warehouse: Warehouse) -> None:
    warehouse.replace("event_duplicates", duplicates(TWO_MONTHS))
    warehouse.replace("event_duplicates", duplicates("position | landed_on \n 9 | 2026-01-07"), JANUARY)
    assert answer(warehouse, "SELECT position FROM event_duplicates ORDER BY ALL").to_series().to_list() == [3, 9]


def test_the_views_are_a_script_that_any_duckdb_can_run(warehouse: Warehouse) -> None:
    warehouse.replace("customers", customers(ADA_AND_BOB))
    with duckdb.connect() as connection:
        connection.execute(write_sql(warehouse)).fetchall()
        found = connection.execute("SELECT customer_id, name FROM customers ORDER BY ALL").fetchall()
    assert found == [("ada", "Ada"), ("bob", "Bob")]


def answer(warehouse: Warehouse, query: str) -> pl.DataFrame:
    with connect(warehouse) as connection:
        frame = pl.from_arrow(connection.sql(query).to_arrow_table())
    assert isinstance(frame, pl.DataFrame)
    return frame
