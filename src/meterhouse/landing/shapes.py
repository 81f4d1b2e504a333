"""Records of each accepted shape to one frame of fields, still unchecked (rule 1.2).

The shape is detected per record. A field that no shape knows refuses the record: it may hold what was to be billed.
"""

from __future__ import annotations

from typing import Final

import msgspec
import polars as pl

from meterhouse.landing.reasons import TOO_DEEP, Fault

POLAR_ONLY: Final = ("external_id", "organization_id", "parent_id", "member_id", "external_member_id")
"""Fields that only Polar's ingest has. All but the first say nothing that is metered and are accepted unused."""


class Sent(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of all accepted shapes."""

    event_id: str | None = None
    name: str | None = None
    event_name: str | None = None
    customer_id: str | None = None
    external_customer_id: str | None = None
    timestamp: str | None = None
    received_at: str | None = None
    source: str | None = None
    external_id: str | None = None
    organization_id: str | None = None
    parent_id: str | None = None
    member_id: str | None = None
    external_member_id: str | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"null")


TEXT_FIELDS: Final = tuple(field for field in Sent.__struct_fields__ if field != "metadata")

FIELDS: Final = pl.Schema({field: pl.String() for field in (*TEXT_FIELDS, "metadata")})

_decode: Final = msgspec.json.Decoder(Sent).decode

_NOTHING: Final = Sent()


class Faults(dict[int, Fault]):
    """The first fault of each record that has one, by its place in the frame."""

    def frame(self) -> pl.DataFrame:
        """Place, reason and explanation as columns."""
        return pl.DataFrame(
            {
                "place": list(self),
                "reason": [fault.reason for fault in self.values()],
                "explanation": [fault.explanation() for fault in self.values()],
            },
            schema={"place": pl.UInt32(), "reason": pl.String(), "explanation": pl.String()},
        )


def read_lines(lines: list[bytes]) -> tuple[pl.DataFrame, Faults]:
    """One row of text fields per line, and the lines that are no such record; those have a row of nulls."""
    faults = Faults()
    sent: list[Sent] = []
    texts: list[str] = []
    for place, line in enumerate(lines):
        try:
            texts.append(line.decode())
            sent.append(_decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            faults[place] = _fault_of(error)
            sent.append(_NOTHING)
            texts[place:] = [line.decode("utf-8", "backslashreplace")]
    columns = {field: [getattr(record, field) for record in sent] for field in TEXT_FIELDS}
    metadata = pl.Series([bytes(record.metadata) for record in sent], dtype=pl.Binary()).cast(pl.String())
    return pl.DataFrame(
        {**columns, "metadata": metadata, "record": texts}, schema={**FIELDS, "record": pl.String()}
    ), faults


def one_shape(fields: pl.DataFrame) -> pl.DataFrame:
    """Give the fields of all shapes meterhouse's names, and say in `mixed` which records are of two shapes at once."""
    is_polar = pl.any_horizontal(pl.col(POLAR_ONLY).is_not_null())
    is_dodo = pl.col("event_name").is_not_null()
    mixed = (
        pl.when(pl.col("name").is_not_null() & is_dodo).then(pl.lit("it has both name and event_name"))
        .when(pl.col("event_id").is_not_null() & pl.col("external_id").is_not_null())
        .then(pl.lit("it has both event_id and external_id"))
        .when(is_polar & is_dodo).then(pl.lit("it has event_name of Dodo and fields of Polar"))
    )  # fmt: skip
    return fields.with_columns(
        mixed=mixed,
        event_id=pl.coalesce("event_id", "external_id"),
        name=pl.coalesce("name", "event_name"),
        source=pl.col("source").fill_null("user"),
        # Polar takes an event without a timestamp as of now; the others always name the instant.
        untimed=is_polar & pl.col("timestamp").is_null(),
        metadata=pl.when(pl.col("metadata").fill_null("null") == "null").then(pl.lit("{}")).otherwise("metadata"),
    ).drop("event_name", *POLAR_ONLY)


def _fault_of(error: Exception) -> Fault:
    detail = str(error)
    if isinstance(error, UnicodeDecodeError):
        return Fault("bad_utf8", detail)
    if isinstance(error, RecursionError):
        # Only metadata may nest. Where reading gives up differs between versions of Python; the reason must not.
        return TOO_DEEP
    if not isinstance(error, msgspec.ValidationError):
        return Fault("bad_json", detail)
    if " - at `$.timestamp`" in detail:
        return Fault("bad_timestamp", "not text")
    if " - at `$." in detail:
        return Fault("wrong_type", detail)
    return Fault("unknown_shape", detail)
