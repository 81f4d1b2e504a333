"""Storage of the tables: Delta, versions, DuckDB views, marts."""
