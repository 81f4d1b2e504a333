"""Ids that are made from content: readable, unique, and the same in every run (rule 7.2)."""

from __future__ import annotations

import polars as pl


def joined_id(*parts: pl.Expr) -> pl.Expr:
    """The parts with `/` between them, escaped where a part has it, so that no two lists of parts make the same id."""
    return pl.concat_str((_escaped(part.cast(pl.String)) for part in parts), separator="/")


def _escaped(part: pl.Expr) -> pl.Expr:
    return part.str.replace_all("%", "%25", literal=True).str.replace_all("/", "%2F", literal=True)
