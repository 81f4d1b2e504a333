"""Files to events: shapes, checks, typing, duplicates."""
