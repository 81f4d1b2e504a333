"""Metadata to typed properties (rule 1.7)."""
