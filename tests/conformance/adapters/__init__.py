"""From a peer's case to the product's inputs, and from its outputs to what the peer asserts: one small function a kind.

No billing arithmetic stands here: what is computed is computed by the product's public functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.conformance.adapters import (
    calendars,
    lago_meters,
    lago_periods,
    landed_events,
    meter_credits,
    meters,
    money,
    prices,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conformance.cases import Case

ADAPTERS: Final[dict[tuple[str, str], Callable[[Case], Any]]] = {
    **money.ADAPTERS,
    **calendars.ADAPTERS,
    **lago_periods.ADAPTERS,
    **prices.ADAPTERS,
    **landed_events.ADAPTERS,
    **meters.ADAPTERS,
    **lago_meters.ADAPTERS,
    **meter_credits.ADAPTERS,
}
"""Per peer and kind. A kind that is not here is not covered."""
