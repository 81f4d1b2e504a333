"""Files to events: shapes, checks, typing, duplicates."""

from __future__ import annotations

from meterhouse.landing.batch import Batch, Origin
from meterhouse.landing.begun import Begun
from meterhouse.landing.duplicates import Settled, settle
from meterhouse.landing.files import FileToLand, Identity, LandingZone, Problem, hash_file, list_files, look_at
from meterhouse.landing.keep import EventStore
from meterhouse.landing.land import LandingReport, land_folder
from meterhouse.landing.properties.untyped import with_untyped
from meterhouse.landing.read import read_batches, read_records
from meterhouse.landing.reasons import EXPLANATIONS, Reason
from meterhouse.landing.retry import RejectStore, RetryReport, retry_rejected

__all__ = [
    "EXPLANATIONS",
    "Batch",
    "Begun",
    "EventStore",
    "FileToLand",
    "Identity",
    "LandingReport",
    "LandingZone",
    "Origin",
    "Problem",
    "Reason",
    "RejectStore",
    "RetryReport",
    "Settled",
    "hash_file",
    "land_folder",
    "list_files",
    "look_at",
    "read_batches",
    "read_records",
    "retry_rejected",
    "settle",
    "with_untyped",
]
