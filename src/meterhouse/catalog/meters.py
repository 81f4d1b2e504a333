"""What is measured: a filter on events and an aggregation of their values (rule 2)."""

from __future__ import annotations

from typing import Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field, model_validator

from meterhouse.catalog.filters import Clause, Filter, Property

Function = Literal["count", "sum", "max", "min", "avg", "unique", "last"]


class Aggregation(BaseModel):
    """How the values of the matching events become a quantity (rule 2.2)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    func: Function = Field(description="`count`, `sum`, `max`, `min`, `avg`, `unique` or `last`.")
    property: Property | None = Field(None, description="Which property; `count` needs none.")

    @model_validator(mode="after")
    def _property_where_needed(self) -> Aggregation:
        if (self.func == "count") == (self.property is not None):
            expected = "no `property`, since it counts events" if self.func == "count" else "a `property` to aggregate"
            message = f"`{self.func}` takes {expected}"
            raise ValueError(message)
        return self

    def is_summable(self) -> bool:
        """Whether quantities of parts of a period add up to that of the whole."""
        match self.func:
            case "count" | "sum":
                return True
            case "max" | "min" | "avg" | "unique" | "last":
                return False
            case _:
                assert_never(self.func)


class Meter(BaseModel):
    """A meter as its owner writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("", description="What it is called on an invoice; its key in the file where none is given.")
    unit: str = Field("unit", description="How quantities are shown; never changes an amount (rule 2.4).")
    event: str | None = Field(None, description="Short for a filter on the event's name.")
    filter: Filter = Field(Filter(), description="Which events count; without one, all.")
    aggregation: Aggregation = Field(description="How values become a quantity.")

    def matching(self) -> Filter:
        """The whole filter: the event's name and the filter."""
        if self.event is None:
            return self.filter
        named = Clause(property="name", operator="eq", value=self.event)
        return Filter(conjunction="and", clauses=(named, self.filter) if self.filter.clauses else (named,))
