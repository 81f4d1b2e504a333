"""Storage of the tables: Delta, versions, DuckDB views, marts."""

from meterhouse.warehouse.store import Warehouse

__all__ = ["Warehouse"]
