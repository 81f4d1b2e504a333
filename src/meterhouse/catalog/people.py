"""Customers and subscriptions: rows of CSV, JSONL or Parquet, each checked on its own.

A bad row is refused with file, row and reason, and the others go on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema, model_validator

from meterhouse.catalog.faults import explained
from meterhouse.catalog.row_files import SURPLUS, UNREADABLE, Row, find_file, read_rows, refuse_columns
from meterhouse.catalog.spans import Span, spans_of
from meterhouse.catalog.timezones import Timezone
from meterhouse.periods import Interval, calendar_anchor, midnight_anchor
from meterhouse.tables import Customers, RejectedRows, Subscriptions, schema_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import dataframely as dy

    from meterhouse.catalog.project import Project

_YEARS: Final = range(1900, 3000)


def _time(value: object) -> datetime:
    """Read a time as ISO 8601 has it. Pydantic would take 20250131 for seconds since 1970."""
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        read = None
    if isinstance(read, date) and not isinstance(read, datetime):
        read = datetime.combine(read, datetime.min.time())
    if not isinstance(read, datetime):
        message = f"expected a date or a time such as 2025-01-31 or 2025-01-31T12:00Z; found {value!r}"
        raise ValueError(message)  # noqa: TRY004 - Pydantic reports a ValueError with its place
    if read.year not in _YEARS:
        message = f"expected a year from {_YEARS[0]} to {_YEARS[-1]}; found {read.year}"
        raise ValueError(message)
    return read


Time = Annotated[datetime, PlainValidator(_time), WithJsonSchema({"type": "string", "format": "date-time"})]


class _Record(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def _is_readable(cls, record: dict[str, Any]) -> dict[str, Any]:
        if UNREADABLE in record:
            message = "expected a JSON object, on a line of its own"
            raise ValueError(message)
        if SURPLUS in record:
            message = "has more values than the file has columns; put quotes around a value that has a comma"
            raise ValueError(message)
        return record


class Customer(_Record):
    """A customer as the file says; further columns are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    customer_id: str = Field(min_length=1, description="The customer's id.")
    external_id: str = Field("", description="Its id in the events' books; the same id where none is given.")
    name: str = Field("", description="What it is called on an invoice; the id where none is given.")

    def row(self) -> dict[str, Any]:
        """The row of `customers`."""
        return {
            "customer_id": self.customer_id,
            "external_id": self.external_id or self.customer_id,
            "name": self.name or self.customer_id,
        }


class Subscription(_Record):
    """A subscription as the file says.

    Times without an offset are local to its timezone, and a date is its midnight there. Events are read otherwise: a
    timestamp without an offset is UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    subscription_id: str = Field(min_length=1, description="The subscription's id.")
    customer_id: str = Field(min_length=1, description="Who pays: a customer's id.")
    product: str = Field(min_length=1, description="What is subscribed to: a product of the catalog.")
    started_at: Time = Field(description="First instant.")
    ends_at: Time | None = Field(None, description="Asked end.")
    end: Literal["period_end", "at_once"] = Field("period_end", description="When `ends_at` takes effect (rule 3.4).")
    interval: Interval = Field(description="The product's where none is given.")
    interval_count: int = Field(ge=1, le=1200, description="How many intervals make a period.")
    billing: Literal["anniversary", "calendar"] = Field(
        "anniversary", description="Whether periods begin at the anchor, or with the calendar's months, weeks or years."
    )
    anchor: Time | None = Field(None, description="Where boundaries are counted from; else `started_at`.")
    boundary: Literal["time", "midnight"] = Field(
        "time", description="Whether periods begin at the anchor's time of day, or with its local day (rule 3.2)."
    )
    timezone: Timezone = Field(description="IANA timezone; the project's where none is given.")

    @model_validator(mode="after")
    def _calendar_has_no_anchor(self) -> Subscription:
        if self.billing == "calendar" and self.anchor is not None:
            message = "`anchor` has no meaning where billing is `calendar`; leave it empty"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Subscription:
        if self.ends_at is not None and self._instant(self.ends_at) <= self._instant(self.started_at):
            message = f"ends_at {self.ends_at} is not after started_at {self.started_at}; leave it empty for no end"
            raise ValueError(message)
        return self

    def _instant(self, time: datetime) -> datetime:
        return (time if time.tzinfo else time.replace(tzinfo=ZoneInfo(self.timezone))).astimezone(UTC)

    def _anchor(self) -> datetime:
        if self.billing == "calendar":
            return calendar_anchor(self.timezone)
        anchor = self._instant(self.anchor or self.started_at)
        return midnight_anchor(anchor, self.timezone) if self.boundary == "midnight" else anchor

    def row(self) -> dict[str, Any]:
        """The row of `subscriptions`."""
        return {
            "subscription_id": self.subscription_id,
            "customer_id": self.customer_id,
            "product": self.product,
            "started_at": self._instant(self.started_at),
            "ends_at": None if self.ends_at is None else self._instant(self.ends_at),
            "end": self.end,
            "interval": self.interval,
            "interval_count": self.interval_count,
            "anchor": self._anchor(),
            "timezone": self.timezone,
        }


@dataclass
class Checked:
    """Rows that can be used, and those that cannot."""

    table: type[dy.Schema]
    path: str
    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)
    origins: dict[str, Row] = field(default_factory=dict)
    rejected: list[dict[str, Any]] = field(default_factory=list)

    def accept(self, identity: str, content: dict[str, Any], row: Row) -> None:
        """Take a row."""
        self.accepted[identity] = content
        self.origins[identity] = row

    def reject(self, row: Row, explanation: str) -> None:
        """Keep a row that cannot be used, with the reason."""
        text = json.dumps(row.record, default=str, ensure_ascii=False)
        # JSON can name half a character, which no table can hold.
        kept = text.encode(errors="backslashreplace").decode()
        self.rejected.append({"path": self.path, "row": row.number, "explanation": explanation, "record": kept})

    def take_back(self, identity: str, explanation: str) -> None:
        """Reject a row that was taken before the others were known."""
        del self.accepted[identity]
        self.reject(self.origins[identity], explanation)

    def frame(self) -> pl.DataFrame:
        """Accepted rows."""
        return pl.DataFrame(list(self.accepted.values()), schema=schema_of(self.table), orient="row")


def read_people(project: Project, refused: Mapping[str, str] | None = None) -> dict[str, pl.DataFrame]:
    """The tables `customers`, `subscriptions` and `rejected_rows` of a project.

    `refused` are subscriptions that something outside the files speaks against, each with what it is.
    """
    customers = _read_customers(project.root)
    subscriptions = _read_subscriptions(project, set(customers.accepted), refused or {})
    rejected = pl.DataFrame(
        [*customers.rejected, *subscriptions.rejected], schema=schema_of(RejectedRows), orient="row"
    )
    return {"customers": customers.frame(), "subscriptions": subscriptions.frame(), "rejected_rows": rejected}


def _read_customers(root: Path) -> Checked:
    path = find_file(root, "customers")
    checked = Checked(Customers, path.name)
    external: dict[str, str] = {}
    for row in _rows(path, Customer, ["customer_id"], only=False):
        try:
            customer = Customer.model_validate(_given(row)).row()
        except ValidationError as invalid:
            checked.reject(row, _explain(invalid, Customer, row))
            continue
        identity, external_id = customer["customer_id"], customer["external_id"]
        if identity in checked.accepted:
            checked.reject(row, f"customer_id '{identity}' stands in an earlier row; ids must be unique")
        elif external_id in external:
            owner = external[external_id]
            checked.reject(row, f"external_id '{external_id}' belongs to customer '{owner}' already; give it another")
        else:
            checked.accept(identity, customer, row)
            external[external_id] = identity
    return checked


def _rows(path: Path, model: type[BaseModel], needed: list[str], *, only: bool) -> list[Row]:
    """The rows of a file whose columns can be what the model has."""
    file = read_rows(path)
    refuse_columns(path, file, needed, list(model.model_fields), only=only)
    return file.rows


def _given(row: Row) -> dict[str, Any]:
    """The values that a row has: an empty one is as if its column were not there."""
    return {name: value for name, value in row.record.items() if value not in (None, "")}


def _read_subscriptions(project: Project, customers: set[str], refused: Mapping[str, str]) -> Checked:
    path = find_file(project.root, "subscriptions")
    checked = Checked(Subscriptions, path.name)
    for row in _rows(path, Subscription, ["subscription_id", "customer_id", "product", "started_at"], only=True):
        try:
            subscription = Subscription.model_validate(_with_defaults(_given(row), project))
        except ValidationError as invalid:
            checked.reject(row, _explain(invalid, Subscription, row))
            continue
        explanation = _unusable(subscription, project, customers, checked)
        if explanation:
            checked.reject(row, explanation)
        else:
            checked.accept(subscription.subscription_id, subscription.row(), row)
    for subscription_id, explanation in refused.items():
        checked.take_back(subscription_id, explanation)
    _reject_double_metering(checked, project)
    return checked


def _with_defaults(given: dict[str, Any], project: Project) -> dict[str, Any]:
    product = project.catalog.products.get(str(given.get("product")))
    defaults: dict[str, Any] = {"timezone": project.settings.timezone, "interval": "month", "interval_count": 1}
    if product is not None:
        defaults |= {"interval": product.interval, "interval_count": product.interval_count}
    return defaults | given


def _unusable(subscription: Subscription, project: Project, customers: set[str], checked: Checked) -> str:
    if subscription.subscription_id in checked.accepted:
        return f"subscription_id '{subscription.subscription_id}' stands in an earlier row; ids must be unique"
    if subscription.customer_id not in customers:
        return f"customer '{subscription.customer_id}' is not in the customers file; add it there"
    if subscription.product not in project.catalog.products:
        known = ", ".join(sorted(project.catalog.products)) or "none"
        return (
            f"product '{subscription.product}' is not in the catalog; known products: {known}. Add it, or mend the name"
        )
    return ""


def _reject_double_metering(checked: Checked, project: Project) -> None:
    """Of two subscriptions that would bill the same usage of a customer at the same time, refuse the later row.

    Later in the file, not in time: a row that is added never pushes out one that may have been invoiced.
    """
    spans = spans_of(checked.frame())
    meters = {name: product.metered() for name, product in project.catalog.products.items()}
    taken: dict[tuple[str, str], list[str]] = {}
    for subscription_id, row in list(checked.accepted.items()):
        keys = [(row["customer_id"], meter) for meter in sorted(meters[row["product"]])]
        others = (other for key in keys for other in taken.get(key, []))
        clash = next((other for other in others if spans[other].overlaps(spans[subscription_id])), None)
        if clash is not None:
            checked.take_back(subscription_id, _bills_twice(subscription_id, clash, spans[clash]))
            continue
        for key in keys:
            taken.setdefault(key, []).append(subscription_id)


def _bills_twice(subscription_id: str, other: str, span: Span) -> str:
    return (
        f"'{subscription_id}' would bill usage that '{other}' bills already: their products have a meter in common, "
        f"and '{other}' runs {span}. Let one start where the other ends"
    )


def _explain(invalid: ValidationError, model: type[BaseModel], row: Row) -> str:
    return "; ".join(explained(invalid, model, row.record))
