"""Landing and events: what came in, what was taken, what was not and why."""

from __future__ import annotations

import dataframely as dy

from meterhouse.tables.columns import count, day, identifier, instant, text


class LandedFiles(dy.Schema):
    """One row per file that was landed once, whatever its name."""

    file_id = identifier("SHA-256 of the file's bytes.", key=True)
    path = text("Where it was, relative to the landing zone.")
    bytes = count("Its size.")
    records = count("Records read: events + rejected + duplicates + conflicts.")
    events = count("Events accepted.")
    rejected = count("Records refused.")
    duplicates = count("Resends with the same content.")
    conflicts = count("Resends with other content.")
    rounded_numbers = count("Numbers with more than 12 places, rounded half away from zero (rule 1.7).")
    landed_at = instant("Clock of the landing.")


class Events(dy.Schema):
    """One row per accepted event. Beside these columns stand the typed properties: `number_*`, `text_*`, `flag_*`."""

    source = identifier("Who sent it: `user`, `system`, or the sender's own name (rule 1.1).", key=True)
    event_id = identifier("The sender's id, or one derived from file and position (rule 1.3).", key=True)
    name = text("What happened.")
    customer_id = identifier("The customer's id, as sent.", nullable=True)
    external_customer_id = identifier("The customer's id in the sender's books, as sent.", nullable=True)
    timestamp = instant("When it happened.")
    received_at = instant("When it was received: as sent, else the clock of the landing.")
    metadata = text("The original JSON object, verbatim.")
    file_id = identifier("The file that brought it.")
    position = count("Row in that file, from 1.")
    date = day("Day of the event in UTC; the partition.")


class RejectedEvents(dy.Schema):
    """One row per record that cannot be used, kept verbatim (rule 1.4)."""

    file_id = identifier("The file.", key=True)
    position = count("Row in the file, from 1; 0 for the file as a whole.", key=True)
    path = text("Where the file was.")
    reason = text("A word for the reason, to count by.")
    explanation = text("What was wrong, what was expected, how to mend it.")
    record = text("The record as it was.")
    landed_at = instant("Clock of the landing.")
    landed_on = day("Day of the landing; the partition.")


class EventDuplicates(dy.Schema):
    """One row per resend of an event with the same content (rule 1.3)."""

    file_id = identifier("The file of the resend.", key=True)
    position = count("Its row.", key=True)
    source = identifier("Source of the event.")
    event_id = identifier("Id of the event.")
    landed_at = instant("Clock of the landing.")
    landed_on = day("Day of the landing; the partition.")


class EventConflicts(dy.Schema):
    """One row per resend of an event with other content: the first received counts, both are kept (rule 1.3)."""

    file_id = identifier("The file of the resend.", key=True)
    position = count("Its row.", key=True)
    source = identifier("Source of the event.")
    event_id = identifier("Id of the event.")
    reason = text("Which fields differ.")
    kept = text("The event that counts, as JSON.")
    refused = text("The event that does not, as JSON.")
    received_at = instant("When the resend was received.")
    landed_at = instant("Clock of the landing.")
    landed_on = day("Day of the landing; the partition.")
