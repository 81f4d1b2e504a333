"""What is measured: a filter on events and an aggregation of their values (rule 2)."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal, assert_never

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

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


class Meter(BaseModel):
    """A meter as its owner writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("", description="What it is called on an invoice; its key in the file where none is given.")
    unit: Annotated[Unit, BeforeValidator(_unit_of_label)] = Field(
        Unit(), description="How quantities and prices are shown: a label, or a label and a multiplier."
    )
    event: str | None = Field(None, description="Short for a filter on the event's name.")
    filter: Filter = Field(Filter(), description="Which events count; without one, all.")
    aggregation: Aggregation = Field(description="How values become a quantity.")

    def matching(self) -> Filter:
        """The whole filter: the event's name and the filter."""
        if self.event is None:
            return self.filter
        named = Clause(property="name", operator="eq", value=self.event)
        return Filter(conjunction="and", clauses=(named, self.filter) if self.filter.clauses else (named,))
