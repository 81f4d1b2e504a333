"""`meterhouse.yaml`: what holds for the whole project."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from meterhouse.catalog.sources import Source
from meterhouse.catalog.timezones import Timezone
from meterhouse.errors import ProjectError
from meterhouse.money import Rounding, minor_digits


class Limits(BaseModel):
    """What a record, a file and the history may hold. What is beyond it is set aside with a reason, the rest is landed.

    They keep memory and disk bounded whatever a sender does. Nothing is lost: files stay in the landing zone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    max_record_bytes: int = Field(
        16 << 20,
        ge=1 << 10,
        le=256 << 20,
        description="A record with more bytes is rejected; its first 4,096 are kept.",
    )
    max_record_depth: int = Field(
        100, ge=1, le=200, description="A record whose objects and lists are nested deeper is rejected."
    )
    max_record_properties: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="A record with more names in its metadata, nested ones among them, is rejected.",
    )
    max_inflation: int = Field(
        200,
        ge=2,
        description="A compressed file is read until it has become this many times as large, and at least 256 MiB; "
        "then it is taken for a bomb.",
    )
    max_property_columns: int = Field(
        500,
        ge=0,
        le=10_000,
        description="Typed columns of properties that `events` may have. Properties that come later stay in the "
        "metadata: meters on them are as exact and slower.",
    )


class Settings(BaseModel):
    """Settings of a project; each has a default that suits most."""

    # Strict, since pydantic would take `grace_days: yes` for 1 day.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(min_length=1, description="What the project is called on screens and in exports.")
    currency: str = Field("USD", description="ISO 4217 code that prices use unless they name another.")
    timezone: Timezone = Field(
        "UTC", description="IANA timezone that dates invoices, and that subscriptions have which name none."
    )
    grace_days: int = Field(0, ge=0, le=366, description="Days after the end of a period before its invoice is final.")
    due_days: int = Field(30, ge=0, le=366, description="Days from finalization until an invoice is due.")
    invoice_series: str = Field("INV", pattern=r"^[A-Z0-9-]{1,12}$", description="Prefix of invoice numbers.")
    rounding: Rounding = Field("half_away_from_zero", description="How a line is rounded to the minor unit (rule 6.2).")
    missing_customer: Literal["reject", "unattributed"] = Field(
        "reject", description="What becomes of events without any customer (rules 1.4, 1.5)."
    )
    future_limit_days: int = Field(
        1, ge=0, le=36500, description="Events further ahead of the clock than this are rejected."
    )
    past_limit_days: int = Field(
        7300,
        ge=0,
        le=36500,
        description="Events further behind the clock than this are rejected. Each day that has events has files of its "
        "own, so that a wrong clock or a hostile sender could fill the disk with them.",
    )
    dedupe_window_days: int | None = Field(
        None,
        ge=0,
        le=36500,
        description=(
            "A record is a resend of a stored event only where their days are at most this many apart (rule 1.3). "
            "Default: however far apart they are."
        ),
    )
    events: str = Field(
        "events", min_length=1, description="The landing zone: the folder that event files are dropped in."
    )
    warehouse: str = Field("warehouse", min_length=1, description="The folder that meterhouse writes its tables to.")
    sources: dict[str, Source] = Field(
        {},
        description="What is known of event files before they are read, by a name of your choice. "
        "The first that matches a file counts.",
    )
    limits: Limits = Field(Limits(), description="What keeps memory and disk bounded whatever is sent.")

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, value: str) -> str:
        try:
            minor_digits(value)
        except ProjectError as unknown:
            raise ValueError(str(unknown)) from unknown
        return value.upper()
