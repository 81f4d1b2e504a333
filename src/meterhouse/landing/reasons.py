"""Why records are refused: one word to count by, and what to tell the sender (rule 1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

import polars as pl

if TYPE_CHECKING:
    from meterhouse.catalog.settings import Limits

Reason: TypeAlias = Literal[
    "unreadable_file",
    "file_changed",
    "unknown_columns",
    "record_too_large",
    "too_many_properties",
    "bad_utf8",
    "bad_json",
    "bad_csv",
    "repeated_field",
    "unknown_shape",
    "wrong_type",
    "no_voided_event",
    "no_name",
    "name_too_long",
    "id_too_long",
    "no_event_id",
    "no_id_in_changed_file",
    "no_customer",
    "no_timestamp",
    "bad_timestamp",
    "timestamp_in_future",
    "timestamp_too_old",
    "bad_received_at",
    "bad_metadata",
    "number_out_of_range",
]

EXPLANATIONS: Final[dict[Reason, str]] = {
    "unreadable_file": (
        "The file cannot be read to its end: {detail}. What could be read before that was landed. Expected a whole "
        "file, published under its name only when complete. Where the file is whole, and only its name, `sources` or "
        "`limits` say it wrongly, put that right and run `meterhouse land --retry-rejected`. Else put the whole file "
        "there under the same name: events with ids do not count twice, and records without ids, which could, are "
        "refused there. Of those, put the ones that were not landed into a file with a new name."
    ),
    "file_changed": (
        "The file changed while it was read{detail}. What was read before that was landed. Expected files that never "
        "change once they are there: write a file under a name that begins with `.` or `_`, and rename it when it is "
        "complete. The next landing reads it again: events with ids do not count twice, and records without ids, which "
        "could, are refused there. Where it is what it was at first, `meterhouse land --retry-rejected` lands the rest."
    ),
    "unknown_columns": (
        "The file's columns are not those of events: {detail}. Expected the fields of a known shape, as "
        "event_id, name, customer_id, timestamp and metadata, or `metadata.` before the name of a property. "
        "Rename or convert the columns and land a new file, or say under `sources` of meterhouse.yaml what they hold "
        "and run `meterhouse land --retry-rejected`."
    ),
    "record_too_large": (
        "The record is too large: it has {detail} of `max_record_bytes` in meterhouse.yaml. Its first bytes are kept "
        "here, all of it stays in the file. Send what is metered without the rest, or raise the limit and run "
        "`meterhouse land --retry-rejected`."
    ),
    "too_many_properties": (
        "The metadata has {detail} of `max_record_properties` in meterhouse.yaml. Send what is metered without the "
        "rest, or raise the limit and run `meterhouse land --retry-rejected`."
    ),
    "bad_utf8": (
        "The record is not UTF-8 text: {detail}. Bytes that are not are shown as \\xNN. "
        "Encode it as UTF-8 and send it again."
    ),
    "bad_json": (
        "The record is not JSON: {detail}. Expected one JSON object on one line. Mend the line and send it again."
    ),
    "bad_csv": (
        "The row is not CSV as the file's first line has it: {detail}. Expected as many values as columns, and in "
        "double quotes those that hold a delimiter, a quote (doubled) or a line break. Mend the row and send it again."
    ),
    "repeated_field": (
        "The record has {detail} twice, and nothing says which of the two counts. Expected each field once. "
        "Mend the record and send it again."
    ),
    "unknown_shape": (
        "The record has no known shape: {detail}. Expected meterhouse (event_id, name, customer_id or "
        "external_customer_id, timestamp, metadata), Polar (external_id, name, ...), Dodo (event_id, event_name, "
        "customer_id, ...), CloudEvents (specversion, id, source, type, subject, time, data), Stripe (identifier, "
        "event_name, timestamp, payload) or Lago (transaction_id, code, external_subscription_id, timestamp, "
        "properties). Other values belong among the properties. Send it in one of these shapes."
    ),
    "wrong_type": ("A field has the wrong type: {detail}. Ids and names are text. Mend the value and send it again."),
    "no_voided_event": (
        "The record is a void and names no event. Expected the id of the event to take back, in `void`, and its source "
        "in `source` where that is not `user`. Add it and send it again."
    ),
    "no_name": (
        "The record has no name. Expected what happened, in `name` (Dodo: `event_name`). Add it and send it again."
    ),
    "name_too_long": "The name has {detail} characters. Expected 128 at most. Shorten it and send it again.",
    "id_too_long": "An id is too long: {detail}. Expected 1,000 at most. Shorten it and send it again.",
    "no_event_id": "The event id is empty text. Expected an id, or no such field. Give it an id and send it again.",
    "no_id_in_changed_file": (
        "The record has no event id, and a file of this name was landed before with other content: the record cannot "
        "be told from those landed then, and would count twice. Expected files that never change once they are there. "
        "Give events ids, or put the records that were not landed yet into a file with a new name."
    ),
    "no_customer": (
        "The record names no customer. Expected `customer_id` or `external_customer_id`. Add one and send it again, "
        "or set `missing_customer: unattributed` in meterhouse.yaml and run `meterhouse land --retry-rejected`."
    ),
    "no_timestamp": (
        "The record has no timestamp. Expected ISO 8601, as 2026-03-01T12:00:00Z. Add it and send it again."
    ),
    "bad_timestamp": (
        "The timestamp is {detail}. Expected ISO 8601 with date and time, as 2026-03-01T12:00:00Z; of Stripe and Lago "
        "also seconds since 1970. Mend it and send it again."
    ),
    "timestamp_in_future": (
        "The timestamp {detail} is further ahead of the landing's clock than `future_limit_days` of meterhouse.yaml "
        "allows. Mend the sender's clock, or run `meterhouse land --retry-rejected` once its time has come."
    ),
    "timestamp_too_old": (
        "The timestamp {detail} is further behind the landing's clock than `past_limit_days` of meterhouse.yaml "
        "allows. Mend the sender's clock, or raise the limit and run `meterhouse land --retry-rejected`."
    ),
    "bad_received_at": (
        "The field received_at is {detail}. Expected ISO 8601 with date and time, as 2026-03-01T12:00:00Z, or no such "
        "field. Mend it and send it again."
    ),
    "bad_metadata": (
        "The metadata cannot be used: {detail}. Expected a JSON object whose properties each have a name, and no two "
        "the same. Mend it and send it again."
    ),
    "number_out_of_range": (
        "A number is out of range: {detail}. Expected less than 1000000000000000 (10^15) in size (rule 1.7). "
        "Send it in a larger unit, or as text if it is an id."
    ),
}


class Fault(NamedTuple):
    """Why a record is refused, with what was found."""

    reason: Reason
    detail: str = ""

    def explanation(self) -> str:
        """What was wrong, what was expected and how to mend it."""
        return EXPLANATIONS[self.reason].format(detail=self.detail)


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


TOO_DEEP: Final = Fault(
    "bad_metadata",
    "it is nested deeper than `max_record_depth` of meterhouse.yaml allows; raise the limit and run `meterhouse land "
    "--retry-rejected`, or send it flatter",
)


def too_large(size: int, limits: Limits) -> Fault:
    """Refuse a record of so many bytes."""
    return Fault("record_too_large", f"{size:,} bytes, more than the {limits.max_record_bytes:,}")
