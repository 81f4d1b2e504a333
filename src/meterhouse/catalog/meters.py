"""What is measured: a filter on events and an aggregation of their values (rule 2)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Final, Literal, NamedTuple, Self, assert_never

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from meterhouse.catalog.faults import refuse_synonyms
from meterhouse.catalog.filters import Clause, Filter, Property

Function = Literal["count", "sum", "max", "min", "avg", "unique", "last", "weighted_sum", "percentile"]

NumericText = Literal["skip", "count"]

_SYNONYMS: Final = {
    "count": ("number", "count_agg"),
    "sum": ("total", "add", "sum_agg"),
    "max": ("maximum", "greatest", "peak", "max_agg"),
    "min": ("minimum", "least"),
    "avg": ("average", "mean"),
    "unique": ("unique_count", "unique_count_agg", "count_unique", "count_distinct", "distinct", "cardinality"),
    "last": ("latest", "latest_agg"),
    "weighted_sum": ("weighted", "weighted_sum_agg", "time_weighted", "level"),
    "percentile": ("quantile", "p95", "p99", "median"),
}
"""What aggregations are called elsewhere."""

TAKES: Final[dict[str, frozenset[Function]]] = {
    "percent": frozenset({"percentile"}),
    "carry_over": frozenset({"sum", "unique", "last", "weighted_sum"}),
    "numeric_text": frozenset({"sum", "max", "min", "avg", "last", "weighted_sum", "percentile"}),
}
"""Which aggregations take an option."""


class Rounding(BaseModel):
    """How a period's quantity is rounded, once, before anything is taken from it or priced (rule 4.6)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    direction: Literal["up", "down", "half"] = Field(
        description="`up` to what is not below it, `down` to what is not above it, or `half` away from zero."
    )
    to: Decimal = Field(
        Decimal(1), gt=0, lt=10**15, decimal_places=12, description="Whole multiples of this, e.g. 1, 0.01 or 1000."
    )


def _rounding_of_direction(rounding: object) -> object:
    return {"direction": rounding} if isinstance(rounding, str) else rounding


class Aggregation(BaseModel):
    """How the values of the matching events become a quantity (rule 2.2).

    A value that is missing or of the wrong type does not count; how many were skipped is reported per meter and day.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    func: Annotated[Function, BeforeValidator(refuse_synonyms(_SYNONYMS))] = Field(
        description="`count`, `sum`, `max`, `min`, `avg`, `unique`, `last`, `weighted_sum` or `percentile`."
    )
    property: Property | None = Field(None, description="Which property; `count` needs none.")
    percent: Decimal | None = Field(
        None,
        gt=0,
        le=100,
        decimal_places=6,
        description="Of `percentile`: which part of the values is at or below the quantity, e.g. 95.",
    )
    numeric_text: NumericText = Field(
        "skip", description="Whether text that is spelled as a number of JSON counts as that number (rule 1.7)."
    )
    carry_over: bool = Field(
        default=False,
        description="Of `sum`, `unique`, `last` and `weighted_sum`: a period begins with what all earlier ones left, "
        "and not with nothing.",
    )

    rounding: Annotated[Rounding | None, BeforeValidator(_rounding_of_direction)] = Field(
        None, description="`up`, `down` or `half`, or one of them with what to round to: the quantity of a period."
    )

    @model_validator(mode="after")
    def _options_fit_function(self) -> Aggregation:
        if (self.func == "count") == (self.property is not None):
            expected = "no `property`, since it counts events" if self.func == "count" else "a `property` to aggregate"
            message = f"`{self.func}` takes {expected}"
            raise ValueError(message)
        if self.func == "percentile" and self.percent is None:
            message = "`percentile` takes a `percent`, e.g. 95"
            raise ValueError(message)
        given = {"percent": self.percent, "carry_over": self.carry_over, "numeric_text": self.numeric_text == "count"}
        for option, functions in TAKES.items():
            if given[option] and self.func not in functions:
                message = f"`{self.func}` takes no `{option}`; it is for {', '.join(sorted(functions))}"
                raise ValueError(message)
        return self

    def is_summable(self) -> bool:
        """Whether quantities of parts of a period add up to that of the whole."""
        match self.func:
            case "count" | "sum":
                return not self.carry_over and self.rounding is None
            case "max" | "min" | "avg" | "unique" | "last" | "weighted_sum" | "percentile":
                return False
            case _:
                assert_never(self.func)


class Unit(BaseModel):
    """How quantities and prices of a meter are shown; it never changes an amount (rule 2.4)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field("unit", min_length=1, description="What one is called, e.g. `request`.")
    multiplier: Decimal = Field(
        Decimal(1), gt=0, lt=10**15, decimal_places=12, description="Prices are shown for this many, e.g. 1000000."
    )


def _unit_of_label(unit: object) -> object:
    return {"label": unit} if isinstance(unit, str) else unit


class MeterChange(BaseModel):
    """From when on a meter measures something else (rule 2.5). What is not given stays as it was before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: AwareDatetime = Field(alias="from", description="First instant at which the change holds.")
    event: str | None = Field(None, description="Short for a filter on the event's name.")
    filter: Filter | None = Field(None, description="Which events count.")
    aggregation: Aggregation | None = Field(None, description="How values become a quantity; with the same `func`.")


class MeterVersion(NamedTuple):
    """What a meter measures in `[since, until)`; null where that has no bound."""

    since: datetime | None
    until: datetime | None
    rule: Filter
    aggregation: Aggregation


class Meter(BaseModel):
    """A meter as its owner writes it.

    Edited in place, it holds for all history, and everything is metered again. A change that is to hold from an
    instant on only is listed under `changes`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("", description="What it is called on an invoice; its key in the file where none is given.")
    unit: Annotated[Unit, BeforeValidator(_unit_of_label)] = Field(
        Unit(), description="How quantities and prices are shown: a label, or a label and a multiplier."
    )
    event: str | None = Field(None, description="Short for a filter on the event's name.")
    filter: Filter = Field(Filter(), description="Which events count; without one, all.")
    aggregation: Aggregation = Field(description="How values become a quantity.")
    group_by: tuple[Property, ...] = Field((), description="Properties whose values split the quantity, e.g. `model`.")
    max_groups: int = Field(1000, ge=1, description="More groups than this on a day stop the run, and say so.")
    changes: tuple[MeterChange, ...] = Field((), description="What the meter measures from some instant on.")

    @model_validator(mode="after")
    def _groups_are_named_once(self) -> Self:
        if len(set(self.group_by)) < len(self.group_by):
            message = f"`group_by` names a property twice: {', '.join(self.group_by)}"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _changes_follow_each_other(self) -> Self:
        for before, after in pairwise(self.changes):
            if before.since >= after.since:
                message = f"`changes` must be in the order of time; {after.since} does not come after {before.since}"
                raise ValueError(message)
        for change in self.changes:
            self._refuse_another_kind(change)
        return self

    def _refuse_another_kind(self, change: MeterChange) -> None:
        """States of versions are combined within a period, which needs the same kind of state throughout."""
        if change.aggregation is None:
            return
        for option in ("func", "percent", "carry_over", "rounding"):
            was, becomes = getattr(self.aggregation, option), getattr(change.aggregation, option)
            if was != becomes:
                message = (
                    f"the change from {change.since} has `{option}` {becomes} and the meter has {was}: a period that "
                    "both fall into would have no quantity. Keep it, or add another meter and price that one"
                )
                raise ValueError(message)

    def matching(self) -> Filter:
        """The whole filter: the event's name and the filter."""
        return _whole(self.event, self.filter)

    def versions(self) -> tuple[MeterVersion, ...]:
        """What the meter measures over time: as it is written until the first change, then as each says."""
        return tuple(self._versions())

    def _versions(self) -> Iterator[MeterVersion]:
        bounds = [None, *(change.since.astimezone(UTC) for change in self.changes), None]
        event, rule, aggregation = self.event, self.filter, self.aggregation
        for place, (since, until) in enumerate(pairwise(bounds)):
            if place:
                change = self.changes[place - 1]
                event = change.event if change.event is not None else event
                rule = change.filter if change.filter is not None else rule
                aggregation = change.aggregation or aggregation
            yield MeterVersion(since, until, _whole(event, rule), aggregation)


def _whole(event: str | None, rule: Filter) -> Filter:
    if event is None:
        return rule
    named = Clause(property="name", operator="eq", value=event)
    return Filter(conjunction="and", clauses=(named, rule) if rule.clauses else (named,))
