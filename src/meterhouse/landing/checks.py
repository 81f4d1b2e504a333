"""What a record must have to be an event (rules 1.1, 1.4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl
import pyarrow as pa

from meterhouse.landing.reasons import Fault, Faults
from meterhouse.tables.columns import INSTANT

if TYPE_CHECKING:
    from meterhouse.catalog.settings import Settings
    from meterhouse.landing.reasons import Reason

NAME_CHARACTERS: Final = 128

ID_BYTES: Final = 1000
"""Of each id, and of who sent a record. Peers take 100 to 255 characters; every table of usage repeats these."""

IDS: Final = ("event_id", "void", "customer_id", "external_customer_id", "subscription_id", "source")

USUAL_INSTANT: Final = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:[0-5]\d(\.\d{1,9})?(Z|[+-][01]\d:[0-5]\d)$"
"""Instants that Polars reads as Python does, and much faster. Seconds of 60 are left to Python, which refuses them."""


SLIP: Final = re.compile(r"[T ]24|[+-]\d\d:?[6-9]\d$")
"""An hour of 24, or an offset of 60 minutes and more. Some versions of Python take them for another time."""


def with_instants(fields: pl.DataFrame, landed_at: datetime) -> pl.DataFrame:
    """Add `occurred` and `received` as instants; null where they cannot be read. Without an offset they are UTC."""
    clock = pl.lit(landed_at, dtype=INSTANT)
    occurred = _instants(fields["timestamp"]).alias("occurred")
    received = _instants(fields["received_at"]).alias("received")
    return (
        fields.with_columns(occurred, received)
        .with_columns(received=pl.when(pl.col("received_at").is_null()).then(clock).otherwise("received"))
        .with_columns(occurred=pl.when("untimed").then("received").otherwise("occurred"))
    )


def find_faults(fields: pl.DataFrame, settings: Settings, landed_at: datetime, *, is_changed: bool) -> Faults:
    """The first fault of each record that has one, by place; `fields` are of `one_shape` and `with_instants`.

    `is_changed` says that a file of this path was landed before with other content, perhaps with these very records.
    """
    latest = pl.lit(landed_at + timedelta(days=settings.future_limit_days), dtype=INSTANT)
    earliest = pl.lit(landed_at - timedelta(days=settings.past_limit_days), dtype=INSTANT)
    is_event = pl.col("void").is_null()
    is_missing_customer = pl.all_horizontal(
        map(_is_missing, ("customer_id", "external_customer_id", "subscription_id"))
    )
    checks: list[tuple[Reason, pl.Expr, pl.Expr]] = [
        ("unknown_shape", pl.col("misfit").is_not_null(), pl.col("misfit")),
        ("no_voided_event", pl.col("void") == "", pl.lit("")),
        ("no_name", _is_missing("name") & is_event, pl.lit("")),
        ("name_too_long", _characters("name") > NAME_CHARACTERS, _characters("name").cast(pl.String())),
        ("id_too_long", pl.any_horizontal(map(_is_long, IDS)), _longest()),
        ("no_event_id", pl.col("event_id") == "", pl.lit("")),
        ("no_id_in_changed_file", pl.col("event_id").is_null() & is_event & pl.lit(is_changed), pl.lit("")),
        ("no_customer", is_missing_customer & is_event & pl.lit(settings.missing_customer == "reject"), pl.lit("")),
        ("no_timestamp", pl.col("timestamp").is_null() & ~pl.col("untimed"), pl.lit("")),
        ("bad_timestamp", ~_is_usable("occurred"), _quoted("timestamp")),
        ("timestamp_in_future", pl.col("occurred") > latest, _quoted("timestamp")),
        ("timestamp_too_old", pl.col("occurred") < earliest, _quoted("timestamp")),
        ("bad_received_at", ~_is_usable("received"), _quoted("received_at")),
    ]
    found = pl.coalesce(
        pl.when(fails).then(pl.struct(pl.lit(reason).alias("reason"), detail.alias("detail")))
        for reason, fails, detail in checks
    )
    places = pl.int_range(pl.len(), dtype=pl.UInt32())
    failed = fields.select(place=places, found=found).filter(pl.col("found").is_not_null())
    return Faults({row["place"]: Fault(**row["found"]) for row in failed.iter_rows(named=True)})


def _is_missing(field: str) -> pl.Expr:
    return pl.col(field).fill_null("").str.strip_chars() == ""


def _is_long(field: str) -> pl.Expr:
    return pl.col(field).str.len_bytes() > ID_BYTES


def _longest() -> pl.Expr:
    """The first id that is too long, and how long it is."""
    return pl.coalesce(
        pl.when(_is_long(field)).then(pl.format("{} has {} bytes", pl.lit(field), pl.col(field).str.len_bytes()))
        for field in IDS
    )


def _characters(field: str) -> pl.Expr:
    return pl.col(field).str.len_chars()


def _is_usable(instant: str) -> pl.Expr:
    """Python, and what is exported, know the years 1 to 9999 only."""
    return pl.col(instant).dt.year().is_between(1, 9999).fill_null(value=False)


def _quoted(field: str) -> pl.Expr:
    return pl.format("'{}'", pl.col(field).cast(pl.String()).str.slice(0, 60))


def _instants(sent: pl.Series) -> pl.Series:
    if isinstance(sent.dtype, pl.Datetime):
        known = sent.dt.replace_time_zone("UTC") if sent.dtype.time_zone is None else sent.dt.convert_time_zone("UTC")
        return known.dt.cast_time_unit("us")
    is_usual = sent.str.contains(USUAL_INSTANT)
    if is_usual.all(ignore_nulls=True):
        try:
            return pl.Series(sent.to_arrow().cast(pa.timestamp("us", "UTC")), dtype=INSTANT)
        except pa.ArrowInvalid:
            pass
    usual = sent.set(~is_usual, None)
    spelled = usual.str.replace("Z", "+00:00", literal=True).str.replace(" ", "T", literal=True)
    instants = spelled.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", time_zone="UTC", strict=False)
    odd = (instants.is_null() & sent.is_not_null()).arg_true()
    if odd.is_empty():
        return instants
    return instants.scatter(odd, pl.Series([_instant(text) for text in sent.gather(odd)], dtype=INSTANT))


def _instant(text: str) -> datetime | None:
    """Read any ISO 8601 date with a time. A date alone is no instant: which hours it means depends on where one is."""
    if len(text) <= len("2026-03-01") or SLIP.search(text):
        return None
    try:
        read = datetime.fromisoformat(text.strip())
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
