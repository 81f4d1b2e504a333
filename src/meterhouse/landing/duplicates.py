"""Which events are new, and what becomes of those that came before (rule 1.3): the first received wins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec
import polars as pl

from meterhouse.tables import EventConflicts, EventDuplicates, Events, conform, schema_of
from meterhouse.tables.columns import INSTANT
from meterhouse.tables.properties import property_of

KEY: Final = ("source", "event_id")

PLACE: Final = ("file_id", "position")

COMPARED: Final = ("name", "customer_id", "external_customer_id", "subscription_id", "timestamp")
"""What makes two events the same, besides the metadata; when they were received does not."""

_decode: Final = msgspec.json.Decoder(float_hook=Decimal).decode


@dataclass(frozen=True)
class Settled:
    """The events of a batch by what becomes of them; `already_landed` counts those that a landing cut short stored."""

    events: pl.DataFrame
    duplicates: pl.DataFrame
    conflicts: pl.DataFrame
    already_landed: int


def settle(batch: pl.DataFrame, known: pl.DataFrame, landed_at: datetime) -> Settled:
    """Compare the events of a batch with the stored events of the same keys, and with each other in file order.

    `known` has the columns of `Events`; each of its keys once.
    """
    is_first = pl.struct(KEY).is_first_distinct()
    is_known = batch.select(KEY).lazy().with_row_index("row").join(known.lazy().select(KEY), on=KEY, how="semi")
    places = is_known.select("row").collect().to_series()
    rows = batch.with_columns(is_new=is_first & ~pl.int_range(pl.len(), dtype=pl.UInt32()).is_in(places.implode()))
    new = rows.filter("is_new").select(batch.columns)
    resent = rows.filter(~pl.col("is_new"))
    counting = pl.concat([known.select(schema_of(Events).names()), new.select(schema_of(Events).names())])
    pairs = resent.join(counting, on=KEY, how="left", suffix="_kept", maintain_order="left")
    again = pairs.filter(~_is_same_place())
    differences = pl.Series("reason", _differences(again), dtype=pl.String())
    again = again.with_columns(differences)
    return Settled(
        events=_without_empty_properties(new.drop("untimed")),
        duplicates=_landed(again.filter(pl.col("reason") == ""), landed_at, EventDuplicates),
        conflicts=_landed(_with_payloads(again.filter(pl.col("reason") != "")), landed_at, EventConflicts),
        already_landed=pairs.height - again.height,
    )


def _is_same_place() -> pl.Expr:
    return pl.all_horizontal(pl.col(column) == pl.col(f"{column}_kept") for column in PLACE)


def _differences(pairs: pl.DataFrame) -> list[str]:
    """Which fields differ, as a list in words; empty where none does."""
    differs = {field: pl.col(field).ne_missing(pl.col(f"{field}_kept")) for field in COMPARED}
    # A resend that leaves the time to us cannot disagree about it.
    differs["timestamp"] &= ~pl.col("untimed")
    named = [pl.when(differs[field]).then(pl.lit(field)) for field in COMPARED]
    fields = pl.concat_str(named, separator=", ", ignore_nulls=True)
    return [
        text if sent == kept or _same(_decode(sent), _decode(kept)) else ", ".join(filter(None, (text, "metadata")))
        for text, sent, kept in pairs.select(fields.alias("fields"), "metadata", "metadata_kept").iter_rows()
    ]


def _same(one: object, other: object) -> bool:
    """Equal as JSON values: neither the order of keys nor the spelling of a number matters, but true is not 1."""
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
        case list(), list():
            return len(one) == len(other) and all(map(_same, one, other))
        case bool(), bool():
            return one == other
        case bool(), _:
            return False
        case _, bool():
            return False
        case _:
            return one == other


def _with_payloads(pairs: pl.DataFrame) -> pl.DataFrame:
    fields = [name for name in schema_of(Events).names() if name not in {*PLACE, "date"}]
    refused = [_payload(row) for row in pairs.select(fields).iter_rows(named=True)]
    kept = [name if name in KEY else f"{name}_kept" for name in fields]
    kept_rows = pairs.select(pl.col(sent).alias(name) for sent, name in zip(kept, fields, strict=True))
    return pairs.with_columns(
        pl.Series("refused", refused, dtype=pl.String()),
        pl.Series("kept", [_payload(row) for row in kept_rows.iter_rows(named=True)], dtype=pl.String()),
    )


def _payload(event: dict[str, object]) -> str:
    present = {name: value for name, value in event.items() if value is not None}
    return msgspec.json.encode({**present, "metadata": msgspec.Raw(str(event["metadata"]))}).decode()


def _landed(rows: pl.DataFrame, landed_at: datetime, table: type[EventDuplicates | EventConflicts]) -> pl.DataFrame:
    clock = pl.lit(landed_at, dtype=INSTANT)
    return conform(rows.lazy().with_columns(landed_at=clock, landed_on=clock.dt.date()), table).collect()


def _without_empty_properties(events: pl.DataFrame) -> pl.DataFrame:
    """A property that only refused resends had makes no column."""
    properties = [name for name in events.columns if property_of(name) is not None]
    return events.drop(name for name in properties if events[name].null_count() == events.height)
