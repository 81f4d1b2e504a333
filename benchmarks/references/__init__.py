"""What meterhouse is measured beside: the same by hand, in DuckDB and in PostgreSQL."""
