"""Groups: the values of properties that split a meter's quantity (rule 2.3)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.errors import ProjectError
from meterhouse.metering.operands import number_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterhouse.catalog.meters import Meter
    from meterhouse.metering.operands import EventProperties

NO_GROUPS: Final = "{}"
_WRAPPED: Final = len('{"x":')
_EXAMPLES: Final = 3
_SHOWN: Final = 80
"""Characters of an example: a text that splits usage by mistake may be a whole document."""


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


def refuse_too_many_groups(name: str, meter: Meter, groups: pl.DataFrame) -> None:
    """Raise ProjectError where a meter has more groups on a day than its `max_groups`.

    Expects `date` and `group_json` of what it measures, before anything is made of it that takes room.
    """
    of_days = groups.group_by("date").agg(pl.col("group_json").n_unique().alias("found"))
    too_many = of_days.filter(pl.col("found") > meter.max_groups).sort("found", "date", descending=[True, False])
    for day, found in too_many.head(1).iter_rows():
        values = groups.filter(pl.col("date") == day)["group_json"].unique().bottom_k(_EXAMPLES).sort()
        shown = " and ".join(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…" for value in values)
        message = (
            f"Meter '{name}' has {found:,} groups by {', '.join(meter.group_by)} on {day}, "
            f"such as {shown}; expected at most {meter.max_groups:,}, its `max_groups`. "
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
