"""Mergeable states of an aggregation: made from events, merged over ids, slices, days and groups (rule 2.2).

A sum cannot wrap unseen, as Polars' sums of decimals do: a value is below 10^15 with 12 places (rule 1.7), so 38 digits
hold 10^11 of them, and `combine` refuses groups of 10^10 events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

import polars as pl

from meterhouse.metering.levels import LEVEL, LEVEL_COLUMNS, level_over_period, level_states, mean_level
from meterhouse.metering.numeric_text import number_of_text
from meterhouse.metering.parts import exact_sum, from_parts, parts_of
from meterhouse.metering.slices import midnight
from meterhouse.tables.columns import INSTANT, QUANTITY

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from meterhouse.catalog.meters import Aggregation, Function
    from meterhouse.metering.operands import EventProperties

_MOST_EVENTS: Final = pl.Decimal(10, 0)
"""Fewer than 10^10 events in one quantity, a tenth of what has room."""

KINDS: Final[dict[str, pl.DataType]] = {
    "sum": QUANTITY,
    **dict.fromkeys(LEVEL, QUANTITY),
    "min": QUANTITY,
    "max": QUANTITY,
    "last": QUANTITY,
    "last_timestamp": INSTANT,
    "last_received_at": INSTANT,
    "last_event_id": pl.String(),
    "last_source": pl.String(),
    "distinct_values": pl.List(pl.String()),
    "sorted_values": pl.List(QUANTITY),
}
"""Columns that states have beside `events` and `skipped`: an aggregation keeps some, the others are null."""

LAST: Final = "last_event"
"""A column of states that `unfold` takes apart."""

LAST_TIMESTAMP: Final = "last_timestamp"

_LAST_ORDER: Final = {
    LAST_TIMESTAMP: "timestamp",
    "last_received_at": "received_at",
    "last_event_id": "event_id",
    "last_source": "source",
}
"""What decides which event is last, in this order, and the events' columns for it."""


_KEPT: Final[dict[Function, tuple[str, ...]]] = {
    "count": (),
    "sum": ("sum",),
    "avg": ("sum",),
    "min": ("min",),
    "max": ("max",),
    "unique": ("distinct_values",),
    "last": ("last", *_LAST_ORDER),
    "weighted_sum": ("sum", *LEVEL),
    "percentile": ("sorted_values",),
}

_LISTS: Final = ("distinct_values", "sorted_values")

_WITH_LISTS: Final = [function for function, kept in _KEPT.items() if not {*kept}.isdisjoint(_LISTS)]

OF_NOTHING: Final = ("count", "sum", "unique", "weighted_sum")
"""Aggregations whose quantity of no events is 0; the others have none."""

WEIGHT: Final = "weight"
"""How large a state is: a column that `weighed` adds, for `combine`."""

_ROW_WEIGHT: Final = 10
_MOST_WEIGHT: Final = 12_000_000
"""Of the states that are merged at once: values in lists, and rows, each of which is as large as ten values."""

_LEAST_PERCENT: Final = 10**6
"""Parts of 10^-12 in the smallest step of a percent."""


def value_of(aggregation: Aggregation, properties: EventProperties) -> pl.Expr:
    """The value that an event brings; null where it is missing or of the wrong type, so that the event is skipped."""
    if aggregation.property is None:
        return pl.lit(1, dtype=QUANTITY)
    operands = properties.operands(aggregation.property)
    if aggregation.func == "unique":
        return operands.as_text()
    if aggregation.numeric_text == "count":
        return pl.coalesce(operands.number, number_of_text(operands.text))
    return operands.number


def state(  # noqa: PLR0911 - one for each aggregation
    aggregation: Aggregation, value: pl.Expr, matching: pl.Expr
) -> dict[str, pl.Expr]:
    """The state of a group of events, by column; `unfold` makes `KINDS` of it. For `last` only the time: `last_event`.

    `matching` says which events count or are skipped, and `value` is null in all others, so that many meters are
    measured in one pass over the same groups. Both are plain columns, of one length.
    """
    if aggregation.func == "count":
        return {"events": _number_of(matching.sum()), "skipped": pl.lit(0, pl.Int64)}
    events = _number_of(value.count())
    counted = {"events": events, "skipped": _number_of(matching.sum()) - events}
    match aggregation.func:
        case "sum" | "avg":
            return counted | {"sum": value.sum()}
        case "min":
            return counted | {"min": value.min()}
        case "max":
            return counted | {"max": value.max()}
        case "unique":
            return counted | {"distinct_values": value.unique()}
        case "last":
            return counted | {LAST_TIMESTAMP: pl.when(value.is_not_null()).then("timestamp").max()}
        case "weighted_sum":
            return counted | {"sum": value.sum(), **level_states(value)}
        case "percentile":
            return counted | {"sorted_values": value.drop_nulls()}
        case _:
            assert_never(aggregation.func)


def last_event(value: pl.Expr) -> pl.Expr:
    """Of a group of events, that which has a value and came last: by timestamp, receipt, id, then source (rule 2.2)."""
    return _last({"last": value} | {name: pl.col(of) for name, of in _LAST_ORDER.items()})


def kept_by(aggregation: Aggregation) -> tuple[str, ...]:
    """Columns of `KINDS` that the aggregation keeps."""
    return _KEPT[aggregation.func]


def merged(kept: Container[str] = KINDS) -> dict[str, pl.Expr]:
    """The state of a group of states, of the columns that are kept; `unfold` makes `KINDS` of it."""
    lists = {name: pl.col(name).explode(empty_as_null=False) for name in _LISTS}
    states = {
        "sum": pl.col("sum").sum(),
        **{name: exact_sum(pl.col(name)) for name in LEVEL},
        "min": pl.col("min").min(),
        "max": pl.col("max").max(),
        "distinct_values": lists["distinct_values"].unique(),
        "sorted_values": lists["sorted_values"].drop_nulls(),
    }
    return {
        "events": pl.col("events").sum(),
        "skipped": pl.col("skipped").sum(),
        **{name: whole for name, whole in states.items() if name in kept},
        **({LAST: _last({name: pl.col(name) for name in ("last", *_LAST_ORDER)})} if "last" in kept else {}),
    }


def unfold(states: pl.LazyFrame) -> pl.LazyFrame:
    """Give states every column of `KINDS`: null where the aggregation does not keep it."""
    present = states.collect_schema().names()
    if LAST in present:
        return unfold(states.unnest(LAST))
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in KINDS.items() if name not in present]
    lists = [pl.col(name).list.drop_nulls().list.sort() for name in present if name in _LISTS]
    return states.with_columns(*lacking, *lists)


def weighed(states: pl.LazyFrame) -> pl.LazyFrame:
    """Add how large each state is. Before anything is joined to states, so that joins need not carry lists for it."""
    values = (pl.col(name).list.len().cast(pl.Int64).fill_null(0) for name in _LISTS)
    return states.with_columns(pl.sum_horizontal(pl.lit(_ROW_WEIGHT, pl.Int64), *values).alias(WEIGHT))


def of_days(states: pl.LazyFrame, meters: pl.LazyFrame, first: pl.Expr, last: pl.Expr) -> pl.LazyFrame:
    """Daily states with what `combine` asks for: what their meters (`Meters`) say, and a period of whole days."""
    return of_spans(states, meters, midnight(first), midnight(last.dt.offset_by("1d")))


def of_spans(states: pl.LazyFrame, meters: pl.LazyFrame, start: pl.Expr, end: pl.Expr) -> pl.LazyFrame:
    """States with what `combine` asks for: what their meters (`Meters`) say, and the bounds of a period."""
    return (
        weighed(states)
        .join(meters.select("meter", "aggregation", "percent"), on="meter")
        .with_columns(period_start=start, period_end=end)
    )


def combine(states: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Merge states, `weighed`, into one quantity per group: `by`, `quantity`, `events`, `skipped`.

    Expects columns `aggregation` and `percent` of the meter, and `period_start` and `period_end`, over which a level is
    averaged (null will do for other aggregations): each the same throughout a group. `of_days` adds them. States
    from before the period count as if they had come at its start. No events: 0, except that max, min, avg, last and
    percentile of nothing have no quantity (null). Raises where 10^10 events or more are in one group.

    Computes at once, in portions: their groups fit into memory, whatever the history, where each of them does.
    """
    return pl.concat([_combined(states, portion, by) for portion in _portions(states, by)]).lazy()


def _portions(states: pl.LazyFrame, by: Sequence[str]) -> list[pl.DataFrame]:
    """The groups, in portions that are merged at once: those with lists apart, so that lists of no others are read."""
    groups = states.group_by([*by, "aggregation"]).agg(pl.col(WEIGHT).sum()).collect(engine="streaming")
    numbered = groups.sort("aggregation", *by).with_columns(
        portion=pl.col(WEIGHT).cum_sum() // _MOST_WEIGHT, has_lists=pl.col("aggregation").is_in(_WITH_LISTS)
    )
    return numbered.partition_by("has_lists", "portion") or [groups]


def _combined(states: pl.LazyFrame, portion: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """The quantities of some groups. Of their states only the columns that their aggregations keep are read."""
    functions = portion["aggregation"].unique().to_list()
    kept = {name for function in functions for name in _KEPT[function]}
    of_level = (*LEVEL_COLUMNS, *LEVEL) if "weighted_sum" in functions else ()
    read = dict.fromkeys((*by, "aggregation", "percent", "events", "skipped", *sorted(kept), *of_level))
    # Bounds reach the files and whatever is joined, so that most of the others are not even read; a join does not.
    bounds = [pl.col(name).is_between(*_bounds(portion[name])) for name in by]
    within = states.filter(*bounds).join(portion.lazy(), on=by, how="semi").select(*read)
    whole = merged(kept - {*LEVEL, "distinct_values"})
    if "unique" in functions:
        whole["distinct"] = pl.col("distinct_values").explode(empty_as_null=False).drop_nulls().n_unique()
    level = level_over_period() if of_level else []
    of_meter = pl.col("aggregation", "percent").first()
    groups = within.collect(engine="streaming").lazy().group_by(by).agg(of_meter, *level, **whole)
    return groups.select(*by, _quantity(functions).alias("quantity"), "events", "skipped").collect()


def _bounds(values: pl.Series) -> tuple[pl.Expr, pl.Expr]:
    return pl.lit(values.min(), values.dtype), pl.lit(values.max(), values.dtype)


def _quantity(functions: Container[str]) -> pl.Expr:
    """The quantity of a merged state of one of these aggregations."""
    events = pl.col("events").cast(_MOST_EVENTS).cast(QUANTITY)
    chosen = {
        "count": events,
        "sum": pl.col("sum"),
        "min": pl.col("min"),
        "max": pl.col("max"),
        "avg": _exact_mean(pl.col("sum"), pl.col("events")),
        "last": pl.col(LAST).struct.field("last"),
        "unique": pl.col("distinct").cast(QUANTITY),
        "weighted_sum": mean_level(),
        "percentile": _nearest_rank(pl.col("sorted_values").list.sort(), pl.col("percent")),
    }
    return pl.coalesce(
        pl.lit(None, dtype=QUANTITY),
        *(
            # The count is looked at in every group: that of a sum says whether the sum can have overflowed.
            pl.when(pl.col("aggregation") == function, events.is_not_null()).then(quantity)
            for function, quantity in chosen.items()
            if function in functions
        ),
    )


def _number_of(events: pl.Expr) -> pl.Expr:
    return events.cast(pl.Int64)


def _last(kept: dict[str, pl.Expr]) -> pl.Expr:
    """Of the rows that have a value, `last`, that which came last."""
    has_value = kept["last"].is_not_null()
    named = [part.alias(name) for name, part in kept.items()]
    moment = pl.struct(kept[name].alias(name) for name in _LAST_ORDER)
    return pl.struct(named).filter(has_value).max_by(moment.filter(has_value))


def _exact_mean(total: pl.Expr, events: pl.Expr) -> pl.Expr:
    """Sum / events to 12 places, half away from zero; null without events."""
    parts = parts_of(total)
    count = pl.when(events > 0).then(events).cast(pl.Int128)
    return from_parts(parts.sign() * ((2 * parts.abs() + count) // (2 * count)))


def _nearest_rank(values: pl.Expr, percent: pl.Expr) -> pl.Expr:
    """The least of the sorted values that so many percent of them do not exceed; null without values.

    A value that was there, and none in between: of 100 samples, the 95th percentile leaves the 5 highest unbilled.
    """
    steps = parts_of(percent) // _LEAST_PERCENT
    whole = 100 * 10**12 // _LEAST_PERCENT
    rank = (steps * values.list.len().cast(pl.Int128) + whole - 1) // whole
    return values.list.get((rank - 1).cast(pl.Int64), null_on_oob=True)
