"""Sources: what is known of event files before they are read (rule 1.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, TypeAlias

import polars as pl
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from meterhouse.catalog.timezones import Timezone

ShapeName: TypeAlias = Literal["meterhouse", "polar", "dodo", "cloudevents", "stripe", "lago"]

PropertyType: TypeAlias = Literal["number", "text", "flag"]

Encoding: TypeAlias = Literal["utf-8", "utf-16", "iso-8859-1", "windows-1252"]

_STRICT: Final = ConfigDict(frozen=True, extra="forbid", strict=True)


def _date_format(text: str) -> str:
    some = pl.Series([datetime(2026, 12, 31, 23, 58, tzinfo=UTC)])
    try:
        again = some.dt.strftime(text).str.to_datetime(text, time_unit="us", strict=False)
    except pl.exceptions.PolarsError:
        again = some.clear()
    if again.dt.date().to_list() != some.dt.date().to_list():
        message = f"'{text}' does not say how a date is written, as `%d.%m.%Y %H:%M` does"
        raise ValueError(message)
    return text


def _one_character(text: str) -> str:
    if len(text) != 1 or text in '"\r\n':
        message = f"{text!r} is not one character that may stand between values, such as ;"
        raise ValueError(message)
    return text


class Csv(BaseModel):
    """How a CSV file is written. Its first line names the columns; a value in double quotes may hold anything."""

    model_config = _STRICT

    delimiter: Annotated[str, AfterValidator(_one_character)] = Field(",", description="What separates values.")
    encoding: Encoding = Field("utf-8", description="How characters are written; a byte order mark may be there.")
    decimal_mark: Literal[".", ","] = Field(".", description="What stands before the places of a number.")


class Property(BaseModel):
    """A property whose value stands in a column of its own."""

    model_config = _STRICT

    column: str | None = Field(None, description="The column; without it, the one that has the property's name.")
    type: PropertyType = Field(
        "text", description="What the value is. A record whose value is something else is rejected."
    )


class Columns(BaseModel):
    """Which column of a CSV or Parquet file holds which field of an event."""

    model_config = _STRICT

    event_id: str | None = Field(None, description="Column of the event's id; without it, ids are derived (rule 1.3).")
    name: str | None = Field(None, description="Column of what happened.")
    customer_id: str | None = Field(None, description="Column of the customer's id.")
    external_customer_id: str | None = Field(None, description="Column of the customer's id in the sender's books.")
    subscription_id: str | None = Field(None, description="Column of the subscription's id.")
    timestamp: str | None = Field(None, description="Column of when it happened.")
    received_at: str | None = Field(None, description="Column of when it was received.")
    source: str | None = Field(None, description="Column of who sent it.")
    metadata: str | None = Field(None, description="Column of properties, as JSON text or as a struct or map.")


class Source(BaseModel):
    """Event files of one kind: those that `files` matches. Without any source, all of this is told by each file."""

    model_config = _STRICT

    files: str = Field(
        min_length=1,
        description="Which files, relative to the landing zone. `*` is any part of a name, `**` any folders.",
    )
    shape: ShapeName | None = Field(None, description="Whose shape the records have; without it, each record tells.")
    source: str | None = Field(
        None, min_length=1, description="Who sent the records that do not say so; part of an event's identity."
    )
    name: str | None = Field(None, min_length=1, description="What happened, where no column says so.")
    csv: Csv = Field(Csv(), description="How CSV files are written.")
    columns: Columns | None = Field(
        None, description="Which columns hold which fields; without it, columns have the names of fields."
    )
    properties: dict[str, Property] = Field(
        {}, description="Properties that have columns of their own, by the name that meters use."
    )
    other_columns: Literal["reject", "ignore", "properties"] = Field(
        "reject",
        description="What becomes of columns that nothing names: the file is rejected, since they may hold what was to "
        "be billed; they are ignored; or they are properties.",
    )
    timestamp_format: Annotated[str, AfterValidator(_date_format)] | None = Field(
        None, description="How instants are written where not in ISO 8601, such as `%d.%m.%Y %H:%M`."
    )
    timezone: Timezone = Field("UTC", description="Where instants without an offset were read from a clock.")

    @model_validator(mode="after")
    def _columns_are_of_meterhouse(self) -> Source:
        if self.columns is not None and self.shape not in {None, "meterhouse"}:
            message = f"`columns` names the fields of meterhouse's shape, so `shape` cannot be '{self.shape}'"
            raise ValueError(message)
        return self

    def matches(self, path: str) -> bool:
        """Whether a file is of this source; `path` is relative to the landing zone."""
        return _pattern(self.files).fullmatch(path) is not None


UNTOLD: Final = Source(files="**")
"""Nothing is known of a file before it is read."""


def source_of(sources: Mapping[str, Source], path: str) -> Source:
    """The first source that matches a file."""
    return next((source for source in sources.values() if source.matches(path)), UNTOLD)


def _pattern(files: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", files)
    meanings = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meanings.get(part) or re.escape(part) for part in parts), re.DOTALL)
