"""Dagster on top of meterhouse: assets, checks, schedules. Calls the library, computes nothing."""
