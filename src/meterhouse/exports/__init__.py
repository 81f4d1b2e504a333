"""What leaves the warehouse: one module a format."""
