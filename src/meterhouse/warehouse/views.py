"""The whole warehouse in DuckDB: a view per table over the files that make it up now, and the marts.

Views name files, not folders: a Delta folder also holds the files of older versions.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Final

import duckdb
import polars as pl

from meterhouse.money import currencies
from meterhouse.tables import WAREHOUSE
from meterhouse.tables.columns import INSTANT
from meterhouse.warehouse.layout import inner_type
from meterhouse.warehouse.store import Warehouse

_TYPES: Final[dict[pl.DataType, str]] = {
    pl.String(): "VARCHAR",
    pl.Int64(): "BIGINT",
    pl.Boolean(): "BOOLEAN",
    pl.Date(): "DATE",
    INSTANT: "TIMESTAMPTZ",
}


def connect(warehouse: Warehouse) -> duckdb.DuckDBPyConnection:
    """Open the warehouse as it is now: an in-memory database of views; nothing in it can be changed."""
    connection = duckdb.connect()
    connection.execute(write_sql(warehouse)).fetchall()
    return connection


def write_sql(warehouse: Warehouse) -> str:
    """The script that makes the views, for any DuckDB: `duckdb -init views.sql`. Shows the versions of this moment."""
    views = {"currencies": _currencies()}
    views |= {table: _table(warehouse, table) for table in WAREHOUSE}
    views |= marts()
    created = [f"CREATE OR REPLACE VIEW {_name(view)} AS\n{query};\n" for view, query in views.items()]
    return "\n".join(["SET TimeZone = 'UTC';\n", *created])


@cache
def marts() -> dict[str, str]:
    """Name and query of each mart; the query's first comment says what a row is."""
    folder = files("meterhouse.warehouse").joinpath("marts")
    queries = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.name.endswith(".sql")}
    return {name.removesuffix(".sql"): query.rstrip().rstrip(";") for name, query in sorted(queries.items())}


def _table(warehouse: Warehouse, table: str) -> str:
    """A query for the table's rows. Its first part has no rows, but all columns, even those that no file holds."""
    schema = warehouse.scan(table).collect_schema()
    columns = ", ".join(f"CAST(NULL AS {_type(dtype)}) AS {_name(name)}" for name, dtype in schema.items())
    uris = ", ".join(_text(uri) for uri in warehouse.file_uris(table))
    shape = f"SELECT {columns} WHERE false"
    return f"{shape}\nUNION ALL BY NAME FROM read_parquet([{uris}], {_options(table, schema)})" if uris else shape


def _options(table: str, schema: pl.Schema) -> str:
    """Read the partition column from the folders' names, and from nothing else: any folder may be named `a=b`."""
    stored = WAREHOUSE[table]
    # Only there do files differ in columns; looking into each file for its columns takes time.
    by_name = f"union_by_name = {str(stored.grows_columns).lower()}"
    if stored.partition is None:
        return f"hive_partitioning = false, {by_name}"
    return (
        f"hive_partitioning = true, hive_types = {{{stored.partition}: {_type(schema[stored.partition])}}}, {by_name}"
    )


def _currencies() -> str:
    """Currencies with the value of their minor unit as an exact decimal, as dividing decimals gives a float."""
    values = ",\n".join(
        f"    ({_text(code)}, {digits}, {Decimal(1).scaleb(-digits):f}::DECIMAL(5, 4))"
        for code, digits in sorted(currencies().items())
    )
    return f"FROM (VALUES\n{values}\n) AS listed(currency, minor_digits, minor_unit)"


def _type(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List):
        return f"{_type(inner_type(dtype))}[]"
    return f"DECIMAL({dtype.precision}, {dtype.scale})" if isinstance(dtype, pl.Decimal) else _TYPES[dtype]


def _name(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _text(value: str) -> str:
    escaped = value.replace("'", "''")
    return f"'{escaped}'"
