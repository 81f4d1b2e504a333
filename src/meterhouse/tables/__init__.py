"""What each table is: columns, types, key, rules and meaning, declared once.

`WAREHOUSE` names every stored table with its partition column and whether rows may ever change.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import dataframely as dy

from meterhouse.tables.conforming import conform, empty, schema_of, verify, verify_many
from meterhouse.tables.definitions import (
    Benefits,
    Customers,
    FixedPrices,
    MeteredPrices,
    Meters,
    MeterVersions,
    Products,
    RejectedRows,
    Subscriptions,
    Tiers,
)
from meterhouse.tables.events import (
    EventConflicts,
    EventDuplicates,
    Events,
    FilesReadAgain,
    LandedFiles,
    RejectedEvents,
    RetriedRecords,
    UntypedProperties,
    VoidedEvents,
    Voids,
)
from meterhouse.tables.facts import (
    Billables,
    BilledFees,
    BillingPeriods,
    Charges,
    CreditDemand,
    CreditLedger,
    CreditsCarried,
    Estimates,
    Exports,
    Fingerprints,
    InvoiceLines,
    Invoices,
    RatedLines,
    RatedSteps,
    Runs,
    SentIds,
    Usage,
    UsageByGroup,
    UsageDaily,
)


class Stored(NamedTuple):
    """How a table is kept. One that `has_many_rows` may have no rules but those of its columns and its key."""

    table: type[dy.Schema]
    partition: str | None = None
    append_only: bool = False
    grows_columns: bool = False
    has_many_rows: bool = False


WAREHOUSE: Final[dict[str, Stored]] = {
    "landed_files": Stored(LandedFiles, append_only=True),
    "events": Stored(Events, "date", grows_columns=True, has_many_rows=True),
    "untyped_properties": Stored(UntypedProperties, append_only=True),
    "rejected_events": Stored(RejectedEvents, "landed_on"),
    "event_duplicates": Stored(EventDuplicates, "landed_on"),
    "event_conflicts": Stored(EventConflicts, "landed_on"),
    "voids": Stored(Voids, "landed_on"),
    "voided_events": Stored(VoidedEvents, "date"),
    "retried_records": Stored(RetriedRecords, "landed_on"),
    "files_read_again": Stored(FilesReadAgain),
    "meters": Stored(Meters),
    "meter_versions": Stored(MeterVersions, append_only=True),
    "customers": Stored(Customers),
    "subscriptions": Stored(Subscriptions),
    "rejected_rows": Stored(RejectedRows),
    "products": Stored(Products),
    "fixed_prices": Stored(FixedPrices),
    "metered_prices": Stored(MeteredPrices),
    "tiers": Stored(Tiers),
    "benefits": Stored(Benefits),
    "billing_periods": Stored(BillingPeriods),
    "usage_daily": Stored(UsageDaily, "date", has_many_rows=True),
    "sent_ids": Stored(SentIds, "date"),
    "usage": Stored(Usage),
    "usage_by_group": Stored(UsageByGroup),
    "invoices": Stored(Invoices, "month", append_only=True),
    "invoice_lines": Stored(InvoiceLines, append_only=True),
    "rated_lines": Stored(RatedLines, append_only=True),
    "credit_ledger": Stored(CreditLedger, append_only=True),
    "draft_invoices": Stored(Invoices),
    "draft_invoice_lines": Stored(InvoiceLines),
    "draft_rated_lines": Stored(RatedLines),
    "draft_credit_entries": Stored(CreditLedger),
    "estimates": Stored(Estimates),
    "runs": Stored(Runs, append_only=True),
    "fingerprints": Stored(Fingerprints),
    "exports": Stored(Exports, append_only=True),
}

__all__ = [
    "WAREHOUSE",
    "Benefits",
    "Billables",
    "BilledFees",
    "BillingPeriods",
    "Charges",
    "CreditDemand",
    "CreditLedger",
    "CreditsCarried",
    "Customers",
    "Estimates",
    "EventConflicts",
    "EventDuplicates",
    "Events",
    "Exports",
    "FilesReadAgain",
    "Fingerprints",
    "FixedPrices",
    "InvoiceLines",
    "Invoices",
    "LandedFiles",
    "MeterVersions",
    "MeteredPrices",
    "Meters",
    "Products",
    "RatedLines",
    "RatedSteps",
    "RejectedEvents",
    "RejectedRows",
    "RetriedRecords",
    "Runs",
    "SentIds",
    "Stored",
    "Subscriptions",
    "Tiers",
    "UntypedProperties",
    "Usage",
    "UsageByGroup",
    "UsageDaily",
    "VoidedEvents",
    "Voids",
    "conform",
    "empty",
    "schema_of",
    "verify",
    "verify_many",
]
