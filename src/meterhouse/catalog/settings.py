"""`meterhouse.yaml`: what holds for the whole project."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from meterhouse.errors import ProjectError
from meterhouse.money import Rounding, minor_digits


class Settings(BaseModel):
    """Settings of a project; each has a default that suits most."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="What the project is called on screens and in exports.")
    currency: str = Field("USD", description="ISO 4217 code that prices use unless they name another.")
    timezone: str = Field("UTC", description="IANA timezone of subscriptions that name none.")
    grace_days: int = Field(0, ge=0, le=366, description="Days after the end of a period before its invoice is final.")
    due_days: int = Field(30, ge=0, le=366, description="Days from finalization until an invoice is due.")
    invoice_series: str = Field("INV", pattern=r"^[A-Z0-9-]{1,12}$", description="Prefix of invoice numbers.")
    rounding: Rounding = Field("half_away_from_zero", description="How a line is rounded to the minor unit (rule 6.2).")
    missing_customer: Literal["reject", "unattributed"] = Field(
        "reject", description="What becomes of events without any customer (rules 1.4, 1.5)."
    )
    future_limit_days: int = Field(1, ge=0, description="Events further ahead of the clock than this are rejected.")
    events: str = Field("events", description="The landing zone: the folder that event files are dropped in.")
    warehouse: str = Field("warehouse", description="The folder that meterhouse writes its tables to.")

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, value: str) -> str:
        try:
            minor_digits(value)
        except ProjectError as unknown:
            raise ValueError(str(unknown)) from unknown
        return value.upper()
