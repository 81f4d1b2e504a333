"""Grants to ledger: burn-down, rollover, forfeiture."""
