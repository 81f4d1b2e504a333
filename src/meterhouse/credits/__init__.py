"""Grants to ledger: burn-down, rollover, forfeiture (rule 5).

This part knows one kind: meter credits that a product's benefits grant at the start of every cycle.
"""

from __future__ import annotations

from meterhouse.credits.burn_down import burn_down, carried_over, credited
from meterhouse.credits.demand import credit_demand

__all__ = ["burn_down", "carried_over", "credit_demand", "credited"]
