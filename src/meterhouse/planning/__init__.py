"""What is stale and is brought up to date: landing, definitions, usage, billing, and all of it as one run."""

from meterhouse.planning.billing import BillingReport, Summary, bill_cycles
from meterhouse.planning.definitions import define, read_definitions
from meterhouse.planning.events import land, retry, unattributed_events
from meterhouse.planning.hours import hourly_states
from meterhouse.planning.meter_check import MeterFinding, check_meters
from meterhouse.planning.preview import Asked, Preview, preview
from meterhouse.planning.progress import Progress, Silent
from meterhouse.planning.rejects import open_rejects
from meterhouse.planning.run import RunReport, clock_after, run
from meterhouse.planning.steps import remembered
from meterhouse.planning.untyped import slow_meters, untyped_properties, with_properties_of
from meterhouse.planning.usage import meter, stale_days

__all__ = [
    "Asked",
    "BillingReport",
    "MeterFinding",
    "Preview",
    "Progress",
    "RunReport",
    "Silent",
    "Summary",
    "bill_cycles",
    "check_meters",
    "clock_after",
    "define",
    "hourly_states",
    "land",
    "meter",
    "open_rejects",
    "preview",
    "read_definitions",
    "remembered",
    "retry",
    "run",
    "slow_meters",
    "stale_days",
    "unattributed_events",
    "untyped_properties",
    "with_properties_of",
]
