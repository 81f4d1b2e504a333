"""Groups: the values of properties that split a meter's quantity (rule 2.3)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.errors import ProjectError
from meterhouse.metering.operands import number_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meterhouse.catalog.meters import Meter
    from meterhouse.metering.operands import EventProperties

NO_GROUPS: Final = "{}"
_WRAPPED: Final = len('{"x":')
_EXAMPLES: Final = 3


def group_columns(group_by: Sequence[str], properties: EventProperties) -> dict[str, pl.Expr]:
    """What events are grouped by, a column for each kind of value: a number 5 and a text "5" are two groups."""
    columns: dict[str, pl.Expr] = {}
    for name in group_by:
        held = properties.operands(name)
        columns |= {_column(name, kind): getattr(held, kind) for kind in ("number", "text", "flag")}
    return columns


def group_json(group_by: Sequence[str]) -> pl.Expr:
    """The group as canonical JSON, of the columns of `group_columns`: `{"model":"large","size":5,"tier":null}`.

    Properties stand in the order of their names; one that an event does not have is null, and a group of its own.
    """
    if not group_by:
        return pl.lit(NO_GROUPS)
    parts = [pl.concat_str(pl.lit(f"{_json(name)}:"), _value_json(name)) for name in sorted(group_by)]
    return pl.concat_str(pl.lit("{"), pl.concat_str(parts, separator=","), pl.lit("}"))


def refuse_too_many_groups(usage_daily: pl.DataFrame, meters: Mapping[str, Meter]) -> None:
    """Raise ProjectError where a meter has more groups on a day than its `max_groups`."""
    grouped = {name: meter for name, meter in meters.items() if meter.group_by}
    if not grouped:
        return
    values = pl.col("group_json").unique().sort()
    of_days = (
        usage_daily.filter(pl.col("meter").is_in(list(grouped)))
        .group_by("meter", "date")
        .agg(groups=pl.col("group_json").n_unique(), examples=values.head(_EXAMPLES))
    )
    for row in of_days.sort("groups", descending=True).iter_rows(named=True):
        meter = grouped[row["meter"]]
        if row["groups"] > meter.max_groups:
            message = (
                f"Meter '{row['meter']}' has {row['groups']:,} groups by {', '.join(meter.group_by)} on {row['date']}, "
                f"such as {' and '.join(row['examples'])}; expected at most {meter.max_groups:,}, its `max_groups`. "
                "Group by properties with few values, such as a model and not a request, or set a higher "
                "`max_groups`. Nothing of that day was stored."
            )
            raise ProjectError(message)


def _value_json(name: str) -> pl.Expr:
    number, text, flag = (pl.col(_column(name, kind)) for kind in ("number", "text", "flag"))
    quoted = pl.struct(x=text).struct.json_encode().str.slice(_WRAPPED).str.head(-1)
    return pl.coalesce(
        pl.when(text.is_not_null()).then(quoted),
        number_text(number),
        pl.when(flag).then(pl.lit("true")).when(flag.not_()).then(pl.lit("false")),
        pl.lit("null"),
    )


def _column(name: str, kind: str) -> str:
    """No column of events begins like that."""
    return f"_group\n{name}\n{kind}"


def _json(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
