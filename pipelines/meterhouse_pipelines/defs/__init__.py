"""Assets, checks, jobs, schedules: one module for each part of the way from events to exports."""
