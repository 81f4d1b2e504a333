"""The events that each meter takes, as DuckDB views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from duckdb.func import SPECIAL
from duckdb.sqltypes import VARCHAR

from meterhouse.auditing.filters import Held, Properties, condition, text_literal
from meterhouse.auditing.metadata import property_text
from meterhouse.catalog.filters import read_filter

if TYPE_CHECKING:
    import duckdb

_MATCHED: Final = """
SELECT {meter} AS meter, {aggregation} AS aggregation, customer_id, attributed, date, timestamp,
    {number} AS number, {text} AS text, {counted} AS counted,
    {{'timestamp': timestamp, 'received_at': received_at, 'event_id': event_id, 'source': source}} AS moment
FROM attributed_events WHERE {condition}"""

_READS_METADATA: Final = "untyped_property"

_FILTERED: Final = (
    "SELECT {meter} AS meter, date, count(*) AS events FROM counting_events WHERE NOT {condition} GROUP BY date"
)


def create_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `matched_events` and `filtered_events`: what meters count or skip, and what filters leave out."""
    properties = _properties(connection)
    meters = connection.execute(
        "SELECT meter, aggregation, property, numeric_text, filter_json FROM meters ORDER BY meter"
    ).fetchall()
    matched = [_matched("", "count", Held(), "false", numeric_text=False)]
    filtered = [_FILTERED.format(meter="''", condition="true")]
    for meter, aggregation, property_name, numeric_text, filter_json in meters:
        rule = condition(read_filter(filter_json), properties)
        held = properties.held(property_name) if property_name else Held()
        matched.append(_matched(meter, aggregation, held, rule, numeric_text=numeric_text))
        filtered.append(_FILTERED.format(meter=text_literal(meter), condition=rule))
    for view, parts in (("matched_events", matched), ("filtered_events", filtered)):
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {view} AS " + "\nUNION ALL\n".join(parts)).fetchall()


def _properties(connection: duckdb.DuckDBPyConnection) -> Properties:
    """What events hold, in columns or in their metadata; creates the function that reads the latter."""
    known = connection.execute(f"FROM duckdb_functions() WHERE function_name = '{_READS_METADATA}'").fetchall()
    if not known:
        connection.create_function(_READS_METADATA, property_text, [VARCHAR] * 3, VARCHAR, null_handling=SPECIAL)
    untyped = connection.execute("SELECT kind, property FROM untyped_properties").fetchall()
    columns = connection.execute("DESCRIBE events").fetchall()
    return Properties((row[0] for row in columns), set(untyped))


def _matched(meter: str, aggregation: str, held: Held, rule: str, *, numeric_text: bool) -> str:
    text = Held().text
    match aggregation:
        case "count":
            number, counted = "CAST(1 AS DECIMAL(38, 12))", "true"
        case "unique":
            number, text = Held().number, held.as_text()
            counted = f"({text}) IS NOT NULL"
        case _:
            number = f"coalesce({held.number}, number_of_text({held.text}))" if numeric_text else held.number
            counted = f"({number}) IS NOT NULL"
    return _MATCHED.format(
        meter=text_literal(meter),
        aggregation=text_literal(aggregation),
        number=number,
        text=text,
        counted=counted,
        condition=rule,
    )
