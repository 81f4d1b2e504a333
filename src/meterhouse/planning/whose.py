"""Days of which a change of customers or subscriptions gives events to someone else (rules 1.5, 8.1).

Which rows of `customers` and `subscriptions` the days were metered with is kept once for all days, as the stamps of
the two tables. What changed since leads over the ids that events were sent with (`sent_ids`) to the days. Rows that
are there no more say nothing: any day may be another's then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from meterhouse.errors import WarehouseError
from meterhouse.metering import attribute, may_be_of
from meterhouse.planning.fingerprints import forget, record, recorded
from meterhouse.tables import Customers, Subscriptions, empty

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meterhouse.warehouse import Warehouse

_PEOPLE: Final = "people"


class People(NamedTuple):
    """What decides whose an event is."""

    customers: pl.DataFrame
    subscriptions: pl.DataFrame


def forget_reattributed(warehouse: Warehouse) -> None:
    """Make the days stale that `reattributed_days` names, and take the customers of now for those of all other days.

    In this order: cut off in between, the same days are found again.
    """
    days = reattributed_days(warehouse)
    if days:
        forget(warehouse, "usage_daily", days)
    now = _stamps(warehouse)
    if recorded(warehouse, _PEOPLE) != now:
        record(warehouse, _PEOPLE, now)


def reattributed_days(warehouse: Warehouse) -> list[str]:
    """Days, `YYYY-MM-DD`, of an event whose ids lead to another customer than when the day was metered."""
    before, now = recorded(warehouse, _PEOPLE), _stamps(warehouse)
    if before == now:
        return []
    old, new = _people_before(warehouse, before), _people(warehouse, now)
    if old is None:
        return sorted(recorded(warehouse, "usage_daily"))
    changed = People(*(_changed(was, become) for was, become in zip(old, new, strict=True)))
    if all(rows.is_empty() for rows in changed):
        return []
    sent = warehouse.scan("sent_ids").filter(may_be_of(*changed)).collect().with_row_index("place")
    was, become = (
        attribute(sent.lazy(), people.customers.lazy(), people.subscriptions.lazy()).sort("place").collect()
        for people in (old, new)
    )
    moved = (was["customer_id"] != become["customer_id"]) | (was["attributed"] != become["attributed"])
    return sent.filter(moved)["date"].unique().sort().cast(pl.String).to_list()


def _stamps(warehouse: Warehouse) -> dict[str, str]:
    stamps = {table: warehouse.stamp(table) for table in People._fields}
    return {table: stamp for table, stamp in stamps.items() if stamp}


def _people_before(warehouse: Warehouse, stamps: Mapping[str, str]) -> People | None:
    """The tables as they were; None where that was vacuumed, or a table was made anew since."""
    try:
        return _people(warehouse, stamps)
    except (WarehouseError, OSError):
        return None


def _people(warehouse: Warehouse, stamps: Mapping[str, str]) -> People:
    """The tables as they were with these stamps; empty where they were not written by then."""
    columns = {"customers": ("customer_id", "external_id"), "subscriptions": ("subscription_id", "customer_id")}
    tables = {
        name: warehouse.scan_stamped(name, stamps[name]) if name in stamps else empty(table)
        for name, table in (("customers", Customers), ("subscriptions", Subscriptions))
    }
    return People(**{name: rows.select(columns[name]).collect() for name, rows in tables.items()})


def _changed(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Rows that are in one and not in the other."""
    names = before.columns
    return pl.concat([before.join(after, on=names, how="anti"), after.join(before, on=names, how="anti")])
