"""Storage of the tables: Delta, versions, DuckDB views, marts."""

from meterhouse.warehouse.journal import commit_together, recover
from meterhouse.warehouse.store import Warehouse

__all__ = ["Warehouse", "commit_together", "recover"]
