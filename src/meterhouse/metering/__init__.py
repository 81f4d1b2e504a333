"""Events to usage: filters, aggregations, daily states."""

from meterhouse.metering.attribution import attribute, may_be_of
from meterhouse.metering.filters import matches
from meterhouse.metering.measure import (
    Measured,
    measure_daily,
    measure_days,
    measure_groups,
    measure_periods,
    property_names,
)
from meterhouse.metering.operands import EventProperties
from meterhouse.metering.over_customers import measure_over_customers
from meterhouse.metering.skipped import skip_reason
from meterhouse.metering.slices import cuts_within_days, slice_events
from meterhouse.metering.states import combine, of_days, of_spans, value_of

__all__ = [
    "EventProperties",
    "Measured",
    "attribute",
    "combine",
    "cuts_within_days",
    "matches",
    "may_be_of",
    "measure_daily",
    "measure_days",
    "measure_groups",
    "measure_over_customers",
    "measure_periods",
    "of_days",
    "of_spans",
    "property_names",
    "skip_reason",
    "slice_events",
    "value_of",
]
