"""Charges and ledger to invoices: periods, lines, numbers."""

from meterhouse.invoicing.billing_periods import billing_periods
from meterhouse.invoicing.estimates import estimates
from meterhouse.invoicing.fees import fees_due
from meterhouse.invoicing.invoices import Numbering, draft_invoices, finalize, number
from meterhouse.invoicing.lines import as_invoice_lines, bill_lines, invoice_id, rated_lines

__all__ = [
    "Numbering",
    "as_invoice_lines",
    "bill_lines",
    "billing_periods",
    "draft_invoices",
    "estimates",
    "fees_due",
    "finalize",
    "invoice_id",
    "number",
    "rated_lines",
]
