"""Catalog, customers and subscriptions into the warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterhouse.catalog import read_people

if TYPE_CHECKING:
    import polars as pl

    from meterhouse.catalog import Project
    from meterhouse.warehouse import Warehouse


def define(project: Project, warehouse: Warehouse) -> dict[str, pl.DataFrame]:
    """Store the definitions as the project's files say them now; tables by name. Rows refused are one of the tables."""
    tables = {**project.definitions, **read_people(project)}
    for name, frame in tables.items():
        warehouse.replace(name, frame)
    return tables
