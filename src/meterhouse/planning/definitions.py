"""Catalog, customers and subscriptions into the warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.catalog import find_file, meter_version_rows, read_people
from meterhouse.planning.fingerprints import digest, frame_digest
from meterhouse.planning.invoiced import at_odds
from meterhouse.planning.steps import inputs_of, is_done, note_done
from meterhouse.tables.columns import INSTANT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from meterhouse.catalog import Project
    from meterhouse.warehouse import Warehouse

_STEP: Final = "definitions"
_PEOPLE: Final = ("customers", "subscriptions", "rejected_rows")
_INVOICED: Final = ("invoices", "invoice_lines")
"""What rows of subscriptions are held against."""


def define(project: Project, warehouse: Warehouse, used_at: datetime) -> bool:
    """Store the definitions as the project's files say them now; False where they say what they said last time.

    What meters measure is kept besides for good, in `meter_versions`: old versions stay readable (rule 2.5). Those that
    were not there before are noted with `used_at`, the clock of this run.
    """
    files = _digest_of_files(project)
    if is_done(warehouse, _STEP, _inputs(project, warehouse, files)):
        return False
    versions = meter_version_rows(project.catalog.meters).with_columns(first_used_at=pl.lit(used_at, INSTANT))
    known = warehouse.scan("meter_versions").select("meter", "definition").collect()
    warehouse.append("meter_versions", versions.join(known, on=["meter", "definition"], how="anti"))
    for name, frame in read_definitions(project, warehouse).items():
        warehouse.replace(name, frame)
    note_done(warehouse, _STEP, _inputs(project, warehouse, files))
    return True


def _inputs(project: Project, warehouse: Warehouse, files: str) -> str:
    """What definitions are made from, and what they were made into: someone may have changed the tables."""
    tables = (*project.definitions, *_PEOPLE, *_INVOICED)
    return inputs_of(warehouse, tables, project.settings.model_dump_json(), files)


def _digest_of_files(project: Project) -> str:
    """The digest of everything that definitions are read from."""
    people = (find_file(project.root, name).read_bytes() for name in ("customers", "subscriptions"))
    return digest(*(frame_digest(frame) for frame in project.definitions.values()), *people)


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
