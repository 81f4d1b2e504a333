"""How commands find what an option names, and say what there is where it names nothing."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from meterhouse.errors import ProjectError

if TYPE_CHECKING:
    import polars as pl

    from meterhouse.warehouse import Warehouse


def customer_id_of(warehouse: Warehouse, named: str) -> str:
    """The customer with this id or external id. An id that only events name is taken as it is."""
    import polars as pl

    customers = warehouse.scan("customers").select("customer_id", "external_id").collect()
    by_id = customers.filter(pl.col("customer_id") == named)
    found = by_id if not by_id.is_empty() else customers.filter(pl.col("external_id") == named)
    if not found.is_empty():
        return str(found["customer_id"][0])
    stranger = warehouse.scan("usage_daily").filter(pl.col("customer_id") == named).head(1).collect()
    if not stranger.is_empty():
        return named
    known = [*customers["customer_id"], *customers["external_id"]]
    message = f"There is no customer '{named}', by id or external id.{_near(named, known)} See the customers file."
    raise ProjectError(message)


def meter_named(warehouse: Warehouse, named: str) -> str:
    """The meter of this name."""
    known = warehouse.scan("meters").select("meter").collect()["meter"].sort().to_list()
    if named not in known:
        message = f"There is no meter '{named}'.{_near(named, known)} Known meters: {', '.join(known) or 'none yet'}."
        raise ProjectError(message)
    return named


def all_invoices(warehouse: Warehouse) -> pl.LazyFrame:
    """Final invoices and drafts."""
    import polars as pl

    return pl.concat([warehouse.scan("invoices"), warehouse.scan("draft_invoices")])


def _near(named: str, known: list[str]) -> str:
    near = get_close_matches(named, known, n=3)
    return f" Did you mean {' or '.join(near)}?" if near else ""
