"""Mergeable states of an aggregation: made from events, combined over slices and days (rule 2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

import polars as pl

from meterhouse.tables.columns import INSTANT, QUANTITY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterhouse.catalog.meters import Aggregation
    from meterhouse.metering.operands import EventProperties

_LAST_ORDER: Final = ("timestamp", "received_at", "event_id", "source")
_ONE_PART: Final = pl.lit("0.000000000001").cast(QUANTITY)


def value_of(aggregation: Aggregation, properties: EventProperties) -> pl.Expr:
    """The value that an event brings; null where it is missing or of the wrong type, so that the event is skipped."""
    if aggregation.property is None:
        return pl.lit(1, dtype=QUANTITY)
    operands = properties.operands(aggregation.property)
    return operands.as_text() if aggregation.func == "unique" else operands.number


def state(aggregation: Aggregation) -> list[pl.Expr]:
    """The state of a group of events that have a column `value`."""
    value = pl.col("value")
    counted = [
        value.is_not_null().sum().cast(pl.Int64).alias("events"),
        value.is_null().sum().cast(pl.Int64).alias("skipped"),
    ]
    match aggregation.func:
        case "count":
            return counted
        case "sum" | "avg":
            return [*counted, value.sum().alias("sum")]
        case "min":
            return [*counted, value.min().alias("min")]
        case "max":
            return [*counted, value.max().alias("max")]
        case "unique":
            return [*counted, value.drop_nulls().unique().sort().alias("distinct_values")]
        case "last":
            return [*counted, *_last_by_time()]
        case _:
            assert_never(aggregation.func)


def _last_by_time() -> list[pl.Expr]:
    has_value = pl.col("value").is_not_null()
    order = [pl.col(name).filter(has_value) for name in _LAST_ORDER]
    kept = {
        "last": "value",
        "last_timestamp": "timestamp",
        "last_received_at": "received_at",
        "last_event_id": "event_id",
    }
    return [pl.col(name).filter(has_value).sort_by(order).last().alias(state_name) for state_name, name in kept.items()]


def with_missing_states(states: pl.LazyFrame) -> pl.LazyFrame:
    """Add, as null, the states that an aggregation does not keep."""
    kinds = {
        "sum": QUANTITY,
        "min": QUANTITY,
        "max": QUANTITY,
        "last": QUANTITY,
        "last_timestamp": INSTANT,
        "last_received_at": INSTANT,
        "last_event_id": pl.String(),
        "distinct_values": pl.List(pl.String()),
    }
    present = states.collect_schema().names()
    return states.with_columns(
        pl.lit(None, dtype=dtype).alias(name) for name, dtype in kinds.items() if name not in present
    )


def combine(states: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Merge states into one quantity per group: `by`, `quantity`, `events`, `skipped`.

    Expects a column `aggregation`, the same throughout a group. No events: 0, except that max, min, avg and last
    of nothing have no quantity (null).
    """
    merged = states.group_by(by).agg(
        pl.col("events").sum(),
        pl.col("skipped").sum(),
        pl.col("sum").sum(),
        pl.col("min").min(),
        pl.col("max").max(),
        pl.col("last").sort_by("last_timestamp", nulls_last=False).last(),
        pl.col("distinct_values").explode(empty_as_null=False).drop_nulls().n_unique().alias("distinct"),
        pl.col("aggregation").first(),
    )
    events = pl.col("events")
    chosen = {
        "count": events.cast(QUANTITY),
        "sum": pl.col("sum"),
        "min": pl.col("min"),
        "max": pl.col("max"),
        "avg": _exact_mean(pl.col("sum"), events),
        "last": pl.col("last"),
        "unique": pl.col("distinct").cast(QUANTITY),
    }
    quantity = pl.coalesce(
        pl.when(pl.col("aggregation") == function).then(quantity) for function, quantity in chosen.items()
    )
    return merged.select(*by, quantity.alias("quantity"), "events", "skipped")


def _exact_mean(total: pl.Expr, events: pl.Expr) -> pl.Expr:
    """Sum / events to 12 places, half away from zero; null without events.

    In whole numbers of the 12th place, since dividing decimals would round on its own terms.
    """
    parts = total.to_physical()
    count = pl.when(events > 0).then(events).cast(pl.Int128)
    rounded = parts.sign() * ((2 * parts.abs() + count) // (2 * count))
    return rounded.cast(pl.Decimal(38, 0)) * _ONE_PART
