"""The same numbers again in DuckDB SQL; reconciliation."""

from __future__ import annotations

from meterhouse.auditing.audit import CHECKS, NOTICES, Finding, audit, audit_tables, says
from meterhouse.auditing.repeats import REPEATS, find_repeats, find_repeats_in

__all__ = [
    "CHECKS",
    "NOTICES",
    "REPEATS",
    "Finding",
    "audit",
    "audit_tables",
    "find_repeats",
    "find_repeats_in",
    "says",
]
