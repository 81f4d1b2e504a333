"""Records to events: read, brought to one shape, checked, typed; what cannot be used is refused with its reason.

The quick way to read lines only accepts. Whatever it would refuse is read again with care, and judged by that alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from meterhouse.landing.at_once import read_at_once
from meterhouse.landing.batch import Batch, Origin, rejected_rows
from meterhouse.landing.checks import find_faults, with_instants
from meterhouse.landing.formats.lines import Block
from meterhouse.landing.json_text.known import Known
from meterhouse.landing.properties.rare import RARE
from meterhouse.landing.properties.typed import Typed, type_metadata
from meterhouse.landing.reasons import Faults, too_large
from meterhouse.landing.shapes.envelopes import read_envelopes
from meterhouse.landing.shapes.fields import one_shape, read_lines
from meterhouse.tables import Events, RejectedEvents, Voids, conform, empty, schema_of
from meterhouse.tables.columns import INSTANT
from meterhouse.tables.properties import property_of


def take_lines(block: Block, origin: Origin, known: Known) -> Batch:
    """Take lines of JSON."""
    lines = block.lines
    fields = read_at_once(block, known, origin.settings.limits)
    is_typed = fields is not None
    quick = _judge(
        read_envelopes(lines, known) if fields is None else fields, Faults(), origin, known, is_typed=is_typed
    )
    if quick.accepted.len() == lines.height:
        return Batch(quick.events, quick.voids, empty(RejectedEvents).collect(), quick.rounded)
    careful = take_with_care(_without(lines, "position", quick.accepted), origin, known)
    return Batch(
        pl.concat([quick.events, careful.events], how="diagonal").sort("position"),
        pl.concat([quick.voids, careful.voids]).sort("position"),
        careful.rejected,
        pl.concat([quick.rounded, careful.rounded]),
    )


def take_with_care(lines: pl.DataFrame, origin: Origin, known: Known) -> Batch:
    """Take lines one by one."""
    fields, faults = read_lines([line.strip() for line in lines["bytes"]])
    for place in lines["size"].is_not_null().arg_true():
        faults[place] = too_large(lines["size"][place], origin.settings.limits)
    return take_fields(fields.with_columns(lines["position"]), faults, fields["record"].gather, origin, known)


def take_fields(
    fields: pl.DataFrame,
    faults: Faults,
    records: Callable[[pl.Series], pl.Series],
    origin: Origin,
    known: Known,
) -> Batch:
    """Take records by their fields; those that could not be read have a fault.

    `records` gives those at some places as they were sent, which only the refused ones need.
    """
    judged = _judge(fields.drop("record"), faults, origin, known)
    refused = fields.select("position").with_row_index("place").join(judged.faults.frame(), on="place").sort("place")
    whole = refused.with_columns(record=records(refused["place"]) if refused.height else pl.lit(""))
    return Batch(judged.events, judged.voids, rejected_rows(whole, origin), judged.rounded)


class _Judged(NamedTuple):
    events: pl.DataFrame
    voids: pl.DataFrame
    faults: Faults
    """By the place of the record that is refused."""
    rounded: pl.DataFrame

    @property
    def accepted(self) -> pl.Series:
        return self.events["position"].append(self.voids["position"])


def _judge(fields: pl.DataFrame, faults: Faults, origin: Origin, known: Known, *, is_typed: bool = False) -> _Judged:
    """Check records and type their metadata, or find it typed beside their fields.

    The first fault of a record is the one it is refused for.
    """
    checked = with_instants(one_shape(fields, origin.source), origin.landed_at).with_row_index("place")
    found = find_faults(checked, origin.settings, origin.landed_at, is_changed=origin.is_changed)
    usable = _without(checked, "place", pl.Series([*faults, *found], dtype=pl.UInt32()))
    typed = (
        Typed(usable.select("place")) if is_typed else type_metadata(usable["metadata"], known, origin.settings.limits)
    )
    unusable = Faults({usable["place"][number]: fault for number, fault in typed.faults.items()})
    rows = usable.hstack(typed.columns.drop("place"))
    accepted = _without(rows, "place", pl.Series(list(unusable), dtype=pl.UInt32()))
    rounded = [number for number in typed.rounded if number not in typed.faults]
    return _Judged(
        _events(accepted.filter(pl.col("void").is_null()), origin),
        _voids(accepted.filter(pl.col("void").is_not_null()), origin),
        Faults({**unusable, **found, **faults}),
        usable.select(pl.lit(origin.file_id).alias("file_id"), pl.col("position").gather(rounded)),
    )


def _events(rows: pl.DataFrame, origin: Origin) -> pl.DataFrame:
    """Events as they are stored, with the properties that some of them have."""
    properties = [name for name in rows.columns if property_of(name) and rows[name].null_count() < rows.height]
    events = rows.with_columns(
        timestamp="occurred",
        received_at="received",
        file_id=pl.lit(origin.file_id),
        date=pl.col("occurred").dt.date(),
    )
    rare = [RARE] if RARE in events.columns else []
    return events.select(*schema_of(Events), "untimed", *sorted(properties), *rare)


def _voids(rows: pl.DataFrame, origin: Origin) -> pl.DataFrame:
    """Records that take an event back (rule 1.6)."""
    clock = pl.lit(origin.landed_at, dtype=INSTANT)
    voids = rows.lazy().select(
        "source",
        "metadata",
        "position",
        file_id=pl.lit(origin.file_id),
        event_id="void",
        void_id="event_id",
        timestamp="occurred",
        received_at="received",
        landed_at=clock,
        landed_on=clock.dt.date(),
    )
    return conform(voids, Voids).collect()


def _without(rows: pl.DataFrame, column: str, values: pl.Series) -> pl.DataFrame:
    return rows if values.is_empty() else rows.filter(~pl.col(column).is_in(values.implode()))
