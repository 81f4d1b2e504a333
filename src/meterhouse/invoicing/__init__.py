"""Charges and ledger to invoices: periods, lines, numbers."""
