"""What Dagster shows of a table: what it is, from its declaration, and what a run found in it."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

import dagster as dg
import dataframely as dy
import polars as pl

from meterhouse.money import to_major
from meterhouse.tables import WAREHOUSE
from meterhouse.tables.columns import INSTANT
from meterhouse.warehouse import Warehouse
from meterhouse_pipelines.partitions import days

OWNERS: Final = ["team:billing"]
POOL: Final = "warehouse"
"""Runs wait for each other here: only one may write to a warehouse."""

SHOWN_ROWS: Final = 10

SECONDS_A_LINE: Final = 30


class Watch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """To the millisecond."""
        return round(time.monotonic() - self._began, 3)


class LoggedProgress:
    """Progress of the library, in the log of the run."""

    def __init__(self, log: dg.DagsterLogManager) -> None:
        self._log = log
        self._step = ""
        self._since_told = Watch()

    def begin(self, step: str, total: int) -> None:
        """A step begins."""
        self._step = step
        self._log.info(f"{step}: {total:,} to do")

    def advance(self, detail: str) -> None:
        """A part of it."""
        self._log.debug(f"{self._step}: {detail}")

    def within(self, detail: str, share: float) -> None:
        """How far a part of it is, now and then: each line is kept as an event of the run."""
        if self._since_told.seconds >= SECONDS_A_LINE:
            self._log.info(f"{self._step}: {detail} ({share:.0%})")
            self._since_told = Watch()

    def end(self, summary: str) -> None:
        """What the step did."""
        self._log.info(f"{self._step}: {summary}")


def table_spec(
    name: str,
    group: str,
    deps: Iterable[str] = (),
    *,
    daily: bool = False,
    note: str = "",
) -> dg.AssetSpec:
    """The asset of a stored table, described by the table's own declaration."""
    stored = WAREHOUSE[name]
    says = (stored.table.__doc__ or "").strip()
    return dg.AssetSpec(
        name,
        deps=list(deps),
        description=f"{note} {says}".strip(),
        group_name=group,
        kinds={"polars", "delta"},
        owners=OWNERS,
        tags={"meterhouse/append_only": "true"} if stored.append_only else {},
        metadata={"dagster/column_schema": column_schema(stored.table)},
        partitions_def=days if daily else None,
    )


def column_schema(table: type[dy.Schema]) -> dg.TableSchema:
    """Columns with type, meaning and key. Events also have typed properties, which differ by project."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                name,
                type=_type(column.dtype),
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable, other=["part of the key"] if column.primary_key else []
                ),
            )
            for name, column in table.columns().items()
        ]
    )


def _type(dtype: pl.DataType) -> str:
    return "Datetime(us, UTC)" if dtype == INSTANT else str(dtype)


def stored_metadata(warehouse: Warehouse, table: str, watch: Watch) -> dict[str, dg.MetadataValue]:
    """What there is to say of any table after a step."""
    version = warehouse.version(table)
    return {
        "dagster/row_count": dg.MetadataValue.int(count_rows(warehouse.scan(table))),
        "dagster/uri": dg.MetadataValue.path(str(warehouse.root / table)),
        "version": dg.MetadataValue.text("never written" if version is None else str(version)),
        "seconds": dg.MetadataValue.float(watch.seconds),
    }


def selected(context: dg.AssetExecutionContext) -> list[str]:
    """Tables that a step was asked for, in the order in which they depend on each other, as Dagster wants them."""
    asked = context.selected_asset_keys
    return [spec.key.to_user_string() for spec in context.assets_def.specs if spec.key in asked]


def count_rows(rows: pl.LazyFrame) -> int:
    """How many rows."""
    return int(rows.select(pl.len()).collect().item())


def rows_by_day(rows: pl.LazyFrame, day: pl.Expr) -> dict[date, int]:
    """Rows of each day."""
    counted = rows.group_by(day.alias("day")).len().collect()
    return dict(zip(counted["day"], counted["len"], strict=True))


def count_days(context: dg.AssetExecutionContext, asset: str, keys: Sequence[date], rows: Mapping[date, int]) -> None:
    """Show with each day of the run how many rows it has."""
    for day in keys:
        count = {"dagster/partition_row_count": dg.MetadataValue.int(rows.get(day, 0))}
        context.add_asset_metadata(count, asset_key=asset, partition_key=day.isoformat())


def note_other_days(
    context: dg.AssetExecutionContext, asset: str, keys: Sequence[date], rows: Mapping[date, int]
) -> None:
    """Show days that changed though the run was not for them: late events belong to days long gone."""
    for day in sorted(rows.keys() - set(keys)):
        if days.has_partition_key(day.isoformat()):
            count = {"dagster/partition_row_count": dg.MetadataValue.int(rows[day])}
            context.log_event(dg.AssetMaterialization(asset, partition=day.isoformat(), metadata=count))


def totals(invoices: pl.LazyFrame) -> dg.MetadataValue:
    """Totals by currency, as text: exact, and with as many digits as the currency has."""
    summed = invoices.group_by("currency").agg(pl.col("total_minor").sum()).sort("currency").collect()
    return totals_text(dict(summed.iter_rows()))


def totals_text(minor_by_currency: Mapping[str, int]) -> dg.MetadataValue:
    """As `totals`, of sums that are known."""
    shown = [f"{to_major(minor, currency)} {currency}" for currency, minor in minor_by_currency.items()]
    return dg.MetadataValue.text(", ".join(shown) or "none")


def table_of(rows: pl.DataFrame) -> dg.MetadataValue:
    """A small table, every value as text: numbers would lose digits on their way to a browser."""
    shown = rows.head(SHOWN_ROWS).with_columns(pl.all().cast(pl.String))
    schema = dg.TableSchema([dg.TableColumn(name, type="string") for name in shown.columns])
    return dg.MetadataValue.table([dg.TableRecord(row) for row in shown.iter_rows(named=True)], schema=schema)
