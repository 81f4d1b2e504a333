"""Customers and subscriptions: rows of CSV, JSONL or Parquet, each checked on its own.

A bad row is refused with file, row and reason, and the others go on.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from meterhouse.errors import ProjectError
from meterhouse.periods import Interval, calendar_anchor
from meterhouse.tables import Customers, RejectedRows, Subscriptions, schema_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import dataframely as dy

    from meterhouse.catalog.project import Project

FORMATS: Final = ("csv", "jsonl", "parquet")


class Customer(BaseModel):
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


class Subscription(BaseModel):
    """A subscription as the file says. Times without an offset are local to its timezone; a date is its midnight."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    subscription_id: str = Field(min_length=1, description="The subscription's id.")
    customer_id: str = Field(min_length=1, description="Who pays: a customer's id.")
    product: str = Field(min_length=1, description="What is subscribed to: a product of the catalog.")
    started_at: datetime = Field(description="First instant.")
    ends_at: datetime | None = Field(None, description="Asked end.")
    end: Literal["period_end", "at_once"] = Field("period_end", description="When `ends_at` takes effect (rule 3.4).")
    interval: Interval = Field(description="The product's where none is given.")
    interval_count: int = Field(ge=1, le=1200, description="How many intervals make a period.")
    billing: Literal["anniversary", "calendar"] = Field(
        "anniversary", description="Whether periods begin at the anchor, or with the calendar's months, weeks or years."
    )
    anchor: datetime | None = Field(None, description="Where boundaries are counted from; else `started_at`.")
    timezone: str = Field(description="IANA timezone; the project's where none is given.")

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            message = f"'{value}' is not an IANA timezone such as Europe/Berlin"
            raise ValueError(message) from None
        return value

    @model_validator(mode="after")
    def _calendar_has_no_anchor(self) -> Subscription:
        if self.billing == "calendar" and self.anchor is not None:
            message = "`anchor` has no meaning where billing is `calendar`; leave it empty"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Subscription:
        if self.ends_at is not None and self._instant(self.ends_at) <= self._instant(self.started_at):
            message = f"ends_at {self.ends_at} is not after started_at {self.started_at}"
            raise ValueError(message)
        return self

    def _instant(self, time: datetime) -> datetime:
        return (time if time.tzinfo else time.replace(tzinfo=ZoneInfo(self.timezone))).astimezone(UTC)

    def _anchor(self) -> datetime:
        if self.billing == "calendar":
            return calendar_anchor(self.timezone)
        return self._instant(self.anchor or self.started_at)

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
    rejected: list[dict[str, Any]] = field(default_factory=list)

    def reject(self, row: int, explanation: str, record: dict[str, Any]) -> None:
        """Keep a row that cannot be used, with the reason."""
        kept = json.dumps(record, default=str, ensure_ascii=False)
        self.rejected.append({"path": self.path, "row": row, "explanation": explanation, "record": kept})

    def frame(self) -> pl.DataFrame:
        """Accepted rows."""
        return pl.DataFrame(list(self.accepted.values()), schema=schema_of(self.table), orient="row")


def read_people(project: Project) -> dict[str, pl.DataFrame]:
    """The tables `customers`, `subscriptions` and `rejected_rows` of a project."""
    customers = _read_customers(project.root)
    subscriptions = _read_subscriptions(project, set(customers.accepted))
    rejected = pl.DataFrame(
        [*customers.rejected, *subscriptions.rejected], schema=schema_of(RejectedRows), orient="row"
    )
    return {"customers": customers.frame(), "subscriptions": subscriptions.frame(), "rejected_rows": rejected}


def _read_customers(root: Path) -> Checked:
    path = _find(root, "customers")
    checked = Checked(Customers, path.name)
    external: dict[str, str] = {}
    for row, record in _records(path):
        try:
            customer = Customer.model_validate(record).row()
        except ValidationError as invalid:
            checked.reject(row, _explain(invalid), record)
            continue
        identity, external_id = customer["customer_id"], customer["external_id"]
        if identity in checked.accepted:
            checked.reject(row, f"customer_id '{identity}' stands in an earlier row; ids must be unique", record)
        elif external_id in external:
            other = external[external_id]
            checked.reject(row, f"external_id '{external_id}' belongs to customer '{other}' already", record)
        else:
            checked.accepted[identity] = customer
            external[external_id] = identity
    return checked


def _read_subscriptions(project: Project, customers: set[str]) -> Checked:
    path = _find(project.root, "subscriptions")
    checked = Checked(Subscriptions, path.name)
    for row, record in _records(path):
        try:
            subscription = Subscription.model_validate(_with_defaults(record, project))
        except ValidationError as invalid:
            checked.reject(row, _explain(invalid), record)
            continue
        explanation = _unusable(subscription, project, customers, checked)
        if explanation:
            checked.reject(row, explanation, record)
        else:
            checked.accepted[subscription.subscription_id] = subscription.row()
    _reject_double_metering(checked, project)
    return checked


def _with_defaults(record: dict[str, Any], project: Project) -> dict[str, Any]:
    product = project.catalog.products.get(str(record.get("product")))
    defaults: dict[str, Any] = {"timezone": project.settings.timezone, "interval": "month", "interval_count": 1}
    if product is not None:
        defaults |= {"interval": product.interval, "interval_count": product.interval_count}
    return defaults | {key: value for key, value in record.items() if value not in (None, "")}


def _unusable(subscription: Subscription, project: Project, customers: set[str], checked: Checked) -> str:
    if subscription.subscription_id in checked.accepted:
        return f"subscription_id '{subscription.subscription_id}' stands in an earlier row; ids must be unique"
    if subscription.customer_id not in customers:
        return f"customer '{subscription.customer_id}' is not in the customers file; add it there"
    if subscription.product not in project.catalog.products:
        known = ", ".join(sorted(project.catalog.products)) or "none"
        return f"product '{subscription.product}' is not in the catalog; known products: {known}"
    return ""


def _reject_double_metering(checked: Checked, project: Project) -> None:
    """Of two subscriptions that would bill the same usage of a customer at the same time, refuse the later one."""
    meters = {name: product.metered() for name, product in project.catalog.products.items()}
    taken: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in sorted(checked.accepted.values(), key=lambda row: (row["started_at"], row["subscription_id"])):
        keys = [(row["customer_id"], meter) for meter in sorted(meters[row["product"]])]
        clash = next((other for key in keys for other in taken.get(key, []) if _may_overlap(other, row)), None)
        if clash is None:
            for key in keys:
                taken.setdefault(key, []).append(row)
            continue
        del checked.accepted[row["subscription_id"]]
        explanation = (
            f"'{row['subscription_id']}' would bill usage that '{clash['subscription_id']}' bills already: "
            "their products have a meter in common, at one time for one customer. End one before the other starts"
        )
        checked.reject(0, explanation, row)


def _may_overlap(earlier: dict[str, Any], later: dict[str, Any]) -> bool:
    return earlier["ends_at"] is None or later["started_at"] < earlier["ends_at"]


def _explain(invalid: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'row'}: {fault['msg']}" for fault in invalid.errors())


def _find(root: Path, name: str) -> Path:
    found = [root / f"{name}.{extension}" for extension in FORMATS if (root / f"{name}.{extension}").is_file()]
    if len(found) == 1:
        return found[0]
    which = "found " + " and ".join(path.name for path in found) if found else "found none"
    message = f"{root}: expected one of {name}.csv, {name}.jsonl or {name}.parquet; {which}."
    raise ProjectError(message)


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows from 1, each as a mapping. Raises ProjectError where the file as a whole cannot be read."""
    try:
        match path.suffix:
            case ".csv":
                with path.open(encoding="utf-8-sig", newline="") as file:
                    yield from enumerate(csv.DictReader(file, restkey="surplus values", strict=True), start=1)
            case ".jsonl":
                with path.open(encoding="utf-8-sig") as file:
                    for row, line in enumerate(file, start=1):
                        if line.strip():
                            yield row, _json_object(line)
            case _:
                yield from enumerate(pl.read_parquet(path).iter_rows(named=True), start=1)
    except (OSError, UnicodeDecodeError, csv.Error, pl.exceptions.PolarsError) as fault:
        message = f"{path.name}: cannot be read as {path.suffix.removeprefix('.')}: {fault}"
        raise ProjectError(message) from None


def _json_object(line: str) -> dict[str, Any]:
    try:
        content = json.loads(line, parse_float=Decimal)
    except ValueError as fault:
        return {"not JSON": f"{line.rstrip()} ({fault})"}
    return content if isinstance(content, dict) else {"not a JSON object": content}
