"""The checks of a table: `conform` ends a stage, `verify` stands where data is stored or read."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from meterhouse.errors import WarehouseError


def schema_of(table: type[dy.Schema]) -> pl.Schema:
    """Columns and types of a table, in order."""
    return pl.Schema({name: column.dtype for name, column in table.columns().items()})


def conform(frame: pl.LazyFrame, table: type[dy.Schema]) -> pl.LazyFrame:
    """Order the columns as the table has them and fail, before any data is read, where a type differs.

    Nothing is cast: a cast could round money silently.
    """
    return frame.match_to_schema(schema_of(table), extra_columns="ignore")


def empty(table: type[dy.Schema]) -> pl.LazyFrame:
    """The table without rows."""
    return pl.LazyFrame(schema=schema_of(table))


def verify(frame: pl.DataFrame, table: type[dy.Schema]) -> pl.DataFrame:
    """Check keys, nulls and rules of rows that are about to be stored; raise WarehouseError naming the broken rules."""
    conform(frame.lazy(), table).collect_schema()
    _, failure = table.filter(frame.select(schema_of(table).names()))
    if failure.counts():
        broken = ", ".join(f"{rule}: {rows} rows" for rule, rows in sorted(failure.counts().items()))
        message = (
            f"Table '{table.__name__}' would break its own rules ({broken}). First such row: "
            f"{failure.invalid().head(1).to_dicts()}. This is a fault in meterhouse, not in your data: "
            "nothing was written."
        )
        raise WarehouseError(message)
    return frame


def verify_many(frame: pl.DataFrame, table: type[dy.Schema]) -> pl.DataFrame:
    """As `verify`, at a tenth of the cost, for a table that has no rules but those of its columns and its key.

    Only where a look at the columns as a whole finds something is every row judged.
    """
    conform(frame.lazy(), table).collect_schema()
    columns = table.columns()
    required = [name for name, column in columns.items() if not column.nullable]
    bounded = {name: column.min for name, column in columns.items() if isinstance(column, dy.Int64)}
    lists = [name for name, column in columns.items() if isinstance(column, dy.List)]
    items = [pl.col(name).explode(empty_as_null=False, keep_nulls=False) for name in lists]
    looks = frame.select(
        nulls=pl.sum_horizontal(pl.col(required).null_count(), *(held.null_count() for held in items)),
        # Two keys may share a hash, but one key never has two.
        keys=pl.struct(table.primary_key()).hash().n_unique(),
        below=pl.any_horizontal(pl.col(name).min() < bound for name, bound in bounded.items()),
    ).row(0)
    return frame if looks in {(0, frame.height, False), (0, 0, None)} else verify(frame, table)
