"""Charges and ledger to invoices: periods, lines, numbers."""

from __future__ import annotations

from meterhouse.invoicing.billing_periods import billing_periods

__all__ = ["billing_periods"]
