"""The same numbers again in DuckDB SQL; reconciliation."""

from __future__ import annotations

from meterhouse.auditing.audit import CHECKS, NOTICES, Finding, audit, audit_tables, says

__all__ = ["CHECKS", "NOTICES", "Finding", "audit", "audit_tables", "says"]
