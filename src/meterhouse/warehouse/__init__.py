"""Storage of the tables: Delta, versions, DuckDB views, marts."""

from meterhouse.warehouse.journal import commit_together, recover
from meterhouse.warehouse.store import Warehouse
from meterhouse.warehouse.views import connect, marts, write_sql

__all__ = ["Warehouse", "commit_together", "connect", "marts", "recover", "write_sql"]
