"""`meterhouse.yaml`: what holds for the whole project."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from meterhouse.errors import ProjectError
from meterhouse.money import Rounding, minor_digits


@cache
def _known_timezone(name: str) -> str:
    """Refuse what Python or Polars does not know: their lists differ by a few names, such as `Factory`."""
    try:
        ZoneInfo(name)
        pl.Series([0], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(name)
    except (KeyError, ValueError, OSError, pl.exceptions.ComputeError):
        message = f"'{name}' is not an IANA timezone such as Europe/Berlin"
        raise ValueError(message) from None
    return name


Timezone = Annotated[str, AfterValidator(_known_timezone)]


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
    events: str = Field(
        "events", min_length=1, description="The landing zone: the folder that event files are dropped in."
    )
    warehouse: str = Field("warehouse", min_length=1, description="The folder that meterhouse writes its tables to.")

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, value: str) -> str:
        try:
            minor_digits(value)
        except ProjectError as unknown:
            raise ValueError(str(unknown)) from unknown
        return value.upper()
