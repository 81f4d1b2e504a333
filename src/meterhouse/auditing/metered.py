"""The events that each meter takes, as DuckDB views."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from duckdb.func import SPECIAL
from duckdb.sqltypes import VARCHAR

from meterhouse.auditing.filters import Held, Properties, condition, text_literal
from meterhouse.auditing.metadata import property_text
from meterhouse.catalog.filters import read_filter

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

_MATCHED: Final = """
SELECT {meter} AS meter, {aggregation} AS aggregation, customer_id, attributed, date, timestamp,
    {since} AS valid_from, {group_json} AS group_json,
    {number} AS number, {text} AS text, {counted} AS counted,
    {{'timestamp': timestamp, 'received_at': received_at, 'event_id': event_id, 'source': source}} AS moment
FROM attributed_events WHERE {condition} AND {within}"""

_READS_METADATA: Final = "untyped_property"

_FILTERED: Final = (
    "SELECT {meter} AS meter, date, count(*) AS events FROM counting_events "
    "WHERE NOT {condition} AND {within} GROUP BY date"
)

_OF_METERS: Final = "SELECT meter, date, CAST(sum(events) AS BIGINT) AS events FROM ({}) GROUP BY meter, date"

# A meter whose versions are not kept has one, which is what it says of itself.
_VERSIONS: Final = """
SELECT meter, aggregation, property, numeric_text, filter_json, group_by_json,
    CAST(valid_from AS VARCHAR) AS valid_from, CAST(valid_until AS VARCHAR) AS valid_until
FROM meter_versions SEMI JOIN meters USING (meter, definition)
UNION ALL
SELECT meter, aggregation, property, numeric_text, filter_json, '[]', NULL, NULL
FROM meters ANTI JOIN meter_versions USING (meter, definition)
ORDER BY meter, valid_from"""


class _Version(NamedTuple):
    """A row of `_VERSIONS`."""

    meter: str
    aggregation: str
    property: str | None
    numeric_text: bool
    filter_json: str
    group_by_json: str
    valid_from: str | None
    valid_until: str | None


def create_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `matched_events` and `filtered_events`: what meters count or skip, and what filters leave out."""
    properties = _properties(connection)
    versions = [_Version(*row) for row in connection.execute(_VERSIONS).fetchall()]
    nothing = _Version("", "count", None, False, '{"clauses":[]}', "[]", None, None)  # noqa: FBT003 - a row
    matched = [_matched(nothing, properties) + " AND false", *(_matched(version, properties) for version in versions)]
    filtered = [_filtered(version, properties) for version in (nothing, *versions)]
    views = {
        "matched_events": "\nUNION ALL\n".join(matched),
        "filtered_events": _OF_METERS.format("\nUNION ALL\n".join(filtered)),
    }
    for view, rows in views.items():
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {view} AS {rows}").fetchall()


def _properties(connection: duckdb.DuckDBPyConnection) -> Properties:
    """What events hold, in columns or in their metadata; creates the function that reads the latter."""
    known = connection.execute(f"FROM duckdb_functions() WHERE function_name = '{_READS_METADATA}'").fetchall()
    if not known:
        connection.create_function(_READS_METADATA, property_text, [VARCHAR] * 3, VARCHAR, null_handling=SPECIAL)
    untyped = connection.execute("SELECT kind, property FROM untyped_properties").fetchall()
    columns = connection.execute("DESCRIBE events").fetchall()
    return Properties((row[0] for row in columns), set(untyped))


def _filtered(version: _Version, properties: Properties) -> str:
    rule = condition(read_filter(version.filter_json), properties)
    return _FILTERED.format(meter=text_literal(version.meter), condition=rule, within=_within(version))


def _matched(version: _Version, properties: Properties) -> str:
    held = properties.held(version.property) if version.property else Held()
    text = Held().text
    match version.aggregation:
        case "count":
            number, counted = "CAST(1 AS DECIMAL(38, 12))", "true"
        case "unique":
            number, text = Held().number, held.as_text()
            counted = f"({text}) IS NOT NULL"
        case _:
            as_number = f"coalesce({held.number}, number_of_text({held.text}))"
            number = as_number if version.numeric_text else held.number
            counted = f"({number}) IS NOT NULL"
    return _MATCHED.format(
        meter=text_literal(version.meter),
        aggregation=text_literal(version.aggregation),
        since=_instant(version.valid_from),
        group_json=_group_json(json.loads(version.group_by_json), properties),
        number=number,
        text=text,
        counted=counted,
        condition=condition(read_filter(version.filter_json), properties),
        within=_within(version),
    )


def _within(version: _Version) -> str:
    """SQL that is true while a version of a meter holds."""
    begun = "true" if version.valid_from is None else f"timestamp >= {_instant(version.valid_from)}"
    return begun if version.valid_until is None else f"{begun} AND timestamp < {_instant(version.valid_until)}"


def _instant(instant: str | None) -> str:
    return f"CAST({'NULL' if instant is None else text_literal(instant)} AS TIMESTAMPTZ)"


def _group_json(group_by: Iterable[str], properties: Properties) -> str:
    """SQL for the group of an event: the properties in the order of their names, those that it lacks as null."""
    values = [
        f"{text_literal(json.dumps(name, ensure_ascii=False) + ':')} || {properties.held(name).as_json()}"
        for name in sorted(group_by)
    ]
    return " || ".join(["'{'", " || ',' || ".join(values), "'}'"]) if values else "'{}'"
