"""Landing and events: what came in, what was taken, what was not and why."""

from __future__ import annotations

import dataframely as dy

from meterhouse.tables import columns as column


class LandedFiles(dy.Schema):
    """One row per file that was landed once, whatever its name."""

    file_id = column.identifier("SHA-256 of the file's bytes.", key=True)
    path = column.text("Where it was, relative to the landing zone.")
    bytes = column.count("Its size.")
    records = column.count("Records read: events + rejected + duplicates + conflicts + voids.")
    events = column.count("Events accepted.")
    rejected = column.count("Records refused.")
    duplicates = column.count("Resends with the same content.")
    conflicts = column.count("Resends with other content.")
    voids = column.count("Records that take an event back (rule 1.6).")
    rounded_numbers = column.count("Numbers with more than 12 places, rounded half away from zero (rule 1.7).")
    landed_at = column.instant("Clock of the landing.")


class Events(dy.Schema):
    """One row per accepted event. Beside these columns stand the typed properties: `number_*`, `text_*`, `flag_*`."""

    source = column.identifier("Who sent it: `user`, `system`, or the sender's own name (rule 1.1).", key=True)
    event_id = column.identifier("The sender's id, or one derived from file and position (rule 1.3).", key=True)
    name = column.text("What happened.")
    customer_id = column.identifier("The customer's id, as sent.", nullable=True)
    external_customer_id = column.identifier("The customer's id in the sender's books, as sent.", nullable=True)
    subscription_id = column.identifier("The subscription that used it, as sent (Lago).", nullable=True)
    timestamp = column.instant("When it happened.")
    received_at = column.instant("When it was received: as sent, else the clock of the landing.")
    metadata = column.text("The original JSON object, verbatim.")
    file_id = column.identifier("The file that brought it.")
    position = column.count("Row in that file, from 1.")
    date = column.day("Day of the event in UTC; the partition.")


class UntypedProperties(dy.Schema):
    """One row per property that has no typed column in `events`, since others came first (`max_property_columns`).

    It never gets one, also where the bound is raised: events that came before would lack it. Meters read it from the
    metadata. Properties whose names have more than 200 bytes never have a column either, and are not listed.
    """

    kind = column.text("As what it was sent: `number`, `text` or `flag`.", key=True)
    property = column.text("Its name.", key=True)
    landed_at = column.instant("Clock of the landing that met it first.")


class RejectedEvents(dy.Schema):
    """One row per record that cannot be used, kept verbatim (rule 1.4)."""

    file_id = column.identifier("The file.", key=True)
    position = column.count("Row in the file, from 1; 0 for the file as a whole.", key=True)
    path = column.text("Where the file was.")
    reason = column.text("A word for the reason, to count by.")
    explanation = column.text("What was wrong, what was expected, how to mend it.")
    record = column.text("The record as it was.")
    landed_at = column.instant("Clock of the landing.")
    landed_on = column.day("Day of the landing; the partition.")


class EventDuplicates(dy.Schema):
    """One row per resend of an event with the same content (rule 1.3)."""

    file_id = column.identifier("The file of the resend.", key=True)
    position = column.count("Its row.", key=True)
    source = column.identifier("Source of the event.")
    event_id = column.identifier("Id of the event.")
    landed_at = column.instant("Clock of the landing.")
    landed_on = column.day("Day of the landing; the partition.")


class EventConflicts(dy.Schema):
    """One row per resend of an event with other content: the first received counts, both are kept (rule 1.3)."""

    file_id = column.identifier("The file of the resend.", key=True)
    position = column.count("Its row.", key=True)
    source = column.identifier("Source of the event.")
    event_id = column.identifier("Id of the event.")
    reason = column.text("Which fields differ.")
    kept = column.text("The event that counts, as JSON.")
    refused = column.text("The event that does not, as JSON.")
    received_at = column.instant("When the resend was received.")
    landed_at = column.instant("Clock of the landing.")
    landed_on = column.day("Day of the landing; the partition.")


class Voids(dy.Schema):
    """One row per void: a record that takes an event back (rule 1.6), whether that came before, comes yet, or never."""

    file_id = column.identifier("The file of the void.", key=True)
    position = column.count("Its row.", key=True)
    source = column.identifier("Source of the event that is taken back.")
    event_id = column.identifier("Id of the event that is taken back.")
    void_id = column.identifier("The sender's own id of the void.", nullable=True)
    timestamp = column.instant("When it was taken back: as sent, else when the void was received.")
    received_at = column.instant("When the void was received: as sent, else the clock of the landing.")
    metadata = column.text("What the sender says of it: the original JSON object, verbatim.")
    landed_at = column.instant("Clock of the landing.")
    landed_on = column.day("Day of the landing; the partition.")


class VoidedEvents(dy.Schema):
    """One row per event that was taken back: it stays in `events` and counts nowhere (rule 1.6)."""

    source = column.identifier("Source of the event.", key=True)
    event_id = column.identifier("Id of the event.", key=True)
    file_id = column.identifier("The file of the void; where several name the event, of the first that was landed.")
    position = column.count("Row of the void in that file.")
    landed_at = column.instant("Clock of the landing from which on the event and its void were both there.")
    date = column.day("Day of the event in UTC; the partition.", key=True)


class RetriedRecords(dy.Schema):
    """One row per refused record that a later landing could use; it stays in `rejected_events` as evidence."""

    file_id = column.identifier("The file.", key=True)
    position = column.count("Row in the file.", key=True)
    outcome = column.text(
        "What became of it: `event`, `duplicate`, `conflict` or `void`; `file` at position 0, of a file that broke off "
        "and could be read to its end."
    )
    landed_at = column.instant("Clock of the landing that could use it.")
    landed_on = column.day("Day of that landing; the partition.")


class FilesReadAgain(dy.Schema):
    """One row per file that broke off and was read again since: its counts, which replace those of `landed_files`."""

    file_id = column.identifier("The file.", key=True)
    records = column.count("Records read: events + rejected + duplicates + conflicts + voids.")
    events = column.count("Events accepted at once, not after they were refused.")
    rejected = column.count("Records that were ever refused, the file as a whole among them.")
    duplicates = column.count("Resends with the same content.")
    conflicts = column.count("Resends with other content.")
    voids = column.count("Records that take an event back.")
    rounded_numbers = column.count("Numbers with more than 12 places, rounded half away from zero.")
    landed_at = column.instant("Clock of the landing that read it again.")
