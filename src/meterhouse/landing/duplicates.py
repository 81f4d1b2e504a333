"""Which events are new, and what becomes of those that came before (rule 1.3): the first received wins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec
import polars as pl

from meterhouse.landing.batch import PLACE
from meterhouse.tables import EventConflicts, EventDuplicates, Events, conform, schema_of
from meterhouse.tables.columns import INSTANT
from meterhouse.tables.properties import property_of

KEY: Final = ("source", "event_id")

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

    `known` has the columns of `Events`. A key is there twice only where `dedupe_window_days` let it in twice: then what
    comes again is compared with the one received first.
    """
    is_new = _is_first(batch) & ~_is_among(batch, known, KEY)
    # Nothing is moved in memory for the usual batch, of which all is new.
    new = batch if is_new.all() else batch.filter(is_new)
    resent = batch.filter(~is_new)
    again = resent.filter(~_is_among(resent, known, (*KEY, *PLACE)))
    kept = known.sort("received_at", *PLACE).unique(KEY, keep="first", maintain_order=True)
    first = new.select(schema_of(Events).names()).join(again, on=KEY, how="semi")
    counting = pl.concat([kept.select(first.columns), first])
    pairs = again.join(counting, on=KEY, how="left", suffix="_kept", maintain_order="left")
    pairs = pairs.with_columns(pl.Series("reason", _differences(pairs), dtype=pl.String()))
    return Settled(
        events=_without_empty_properties(new.drop("untimed")),
        duplicates=_landed(pairs.filter(pl.col("reason") == ""), landed_at, EventDuplicates),
        conflicts=_landed(_with_payloads(pairs.filter(pl.col("reason") != "")), landed_at, EventConflicts),
        already_landed=resent.height - again.height,
    )


def _is_first(batch: pl.DataFrame) -> pl.Series:
    """Whether a row is the first with its key."""
    key = pl.struct(KEY)
    # Hashes tell quickly that no key is there twice, as in most batches: one key never has two.
    if batch.select(key.hash().n_unique()).item() == batch.height:
        return pl.repeat(value=True, n=batch.height, eager=True)
    return batch.select(key.is_first_distinct()).to_series()


def _is_among(batch: pl.DataFrame, known: pl.DataFrame, columns: tuple[str, ...]) -> pl.Series:
    """Whether a known event has the same values in some columns as a row."""
    if known.is_empty():
        return pl.repeat(value=False, n=batch.height, eager=True)
    rows = batch.select(columns).with_row_index("row")
    found = rows.join(known, on=columns, how="semi")["row"]
    return rows["row"].is_in(found.implode())


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
