"""Properties without a column: which meters read them, and events that have them all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterhouse.landing import with_untyped
from meterhouse.metering import property_names
from meterhouse.tables.properties import without_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

    from meterhouse.catalog import Meter
    from meterhouse.tables.properties import Held
    from meterhouse.warehouse import Warehouse


def untyped_properties(warehouse: Warehouse) -> set[Held]:
    """Properties that will never have a column in `events`, since others came first."""
    return set(warehouse.scan("untyped_properties").select("kind", "property").collect().iter_rows())


def with_properties_of(meters: Iterable[Meter], events: pl.LazyFrame, warehouse: Warehouse) -> pl.LazyFrame:
    """Stored events with the properties that these meters read, also those that stand in the metadata only."""
    names = {name for meter in meters for name in property_names(meter)}
    columns = events.collect_schema().names()
    return with_untyped(events, without_column(names, columns, untyped_properties(warehouse)))


def slow_meters(meters: Mapping[str, Meter], warehouse: Warehouse) -> dict[str, list[str]]:
    """Meters that read properties from the metadata, which is slower, and which these are."""
    columns = warehouse.scan("events").collect_schema().names()
    untyped = untyped_properties(warehouse)
    read = {
        name: sorted({held for _, held in without_column(property_names(meter), columns, untyped)})
        for name, meter in sorted(meters.items())
    }
    return {name: properties for name, properties in read.items() if properties}
