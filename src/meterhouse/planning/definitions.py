"""Catalog, customers and subscriptions into the warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from meterhouse.catalog import read_people
from meterhouse.planning.invoiced import at_odds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meterhouse.catalog import Project
    from meterhouse.warehouse import Warehouse


def define(project: Project, warehouse: Warehouse) -> dict[str, pl.DataFrame]:
    """Store the definitions as the project's files say them now; tables by name."""
    tables = read_definitions(project, warehouse)
    for name, frame in tables.items():
        warehouse.replace(name, frame)
    return tables


def read_definitions(project: Project, warehouse: Warehouse) -> dict[str, pl.DataFrame]:
    """The definitions as the project's files say them now; rows refused are one of the tables.

    A subscription's row that contradicts what was invoiced is refused as well, and bills nothing until it is mended.
    """
    metered = _metered(project.definitions)
    people = read_people(project)
    refused: dict[str, str] = {}
    # A row that is refused may make room for another, which has to be looked at in turn.
    while found := at_odds(people["subscriptions"], metered, warehouse):
        refused |= found
        people = read_people(project, refused)
    return {**project.definitions, **people}


def _metered(definitions: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """(product, meter) of everything that a product prices or grants credits of."""
    named = [definitions[table].select("product", "meter") for table in ("metered_prices", "benefits")]
    return pl.concat(named).unique()
