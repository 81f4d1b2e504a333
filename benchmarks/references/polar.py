"""A meter as Polar's server asks PostgreSQL for it: one query a meter, on JSONB.

Filters compare by the type that the property has in the event, numbers are read as floats, and only numbers are
aggregated. Here one query measures every customer and day, where Polar asks for one customer at a time; `last`, which
Polar does not have, is the way PostgreSQL has for it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from meterhouse.catalog import Clause, Filter
from meterhouse.catalog.filters import number_text

if TYPE_CHECKING:
    from meterhouse.catalog import Aggregation, Meter

ORGANIZATION: Final = "00000000-0000-4000-8000-000000000001"

TABLE: Final = """
    create table events (
        id uuid not null default gen_random_uuid(),
        ingested_at timestamptz not null default now(),
        timestamp timestamptz not null,
        name varchar(128) not null,
        source varchar not null default 'user',
        customer_id uuid,
        external_customer_id varchar,
        external_id varchar,
        parent_id uuid,
        root_id uuid,
        organization_id uuid not null,
        event_type_id uuid,
        user_metadata jsonb not null
    )
"""

INDEXES: Final = (
    "alter table events add primary key (id)",
    "create index on events (organization_id, timestamp desc, id)",
    "create index on events (organization_id, external_customer_id, ingested_at desc)",
    "create index on events (organization_id, customer_id, ingested_at desc)",
    "create index on events (external_customer_id text_pattern_ops)",
    "create index on events (organization_id, source, id)",
    "create unique index on events (external_id)",
    *(
        f"create index on events ({column})"
        for column in (
            *("ingested_at", "timestamp", "name", "source", "customer_id", "external_customer_id"),
            *("parent_id", "root_id", "organization_id", "event_type_id"),
        )
    ),
)
"""Those of Polar's model of an event."""

_SYMBOLS: Final = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def query(meter: Meter) -> str:
    """Quantities per customer and day."""
    conditions = [f"organization_id = '{ORGANIZATION}'", "source = 'user'", _filter(meter.matching())]
    day = "(timestamp at time zone 'UTC')::date as date"
    return f"""
        select external_customer_id, {day}, {_value(meter.aggregation)} as quantity
        from events where {" and ".join([*conditions, _aggregated(meter.aggregation)])} group by 1, 2
    """


def _value(aggregation: Aggregation) -> str:
    if aggregation.property is None:
        return "count(id)"
    if aggregation.func == "unique":
        return f"count(distinct user_metadata -> '{aggregation.property}')"
    number = f"(user_metadata ->> '{aggregation.property}')::float"
    if aggregation.func == "last":
        return f"(array_agg({number} order by timestamp desc))[1]"
    return f"{aggregation.func}({number})"


def _aggregated(aggregation: Aggregation) -> str:
    if aggregation.property is None or aggregation.func == "unique":
        return "true"
    return f"jsonb_typeof(user_metadata -> '{aggregation.property}') = 'number'"


def _filter(rule: Filter) -> str:
    parts = [_filter(part) if isinstance(part, Filter) else _clause(part) for part in rule.clauses] or ["true"]
    return f"({f' {rule.conjunction} '.join(parts)})"


def _clause(clause: Clause) -> str:
    value = clause.value
    if clause.property == "name":
        return f"name = '{value}'"
    held = f"user_metadata -> '{clause.property}'"
    text = f"user_metadata ->> '{clause.property}'"
    if clause.operator == "like":
        return f"{text} like '%{value}%'"
    symbol = _SYMBOLS[clause.operator]
    number = f"({text})::numeric {symbol} {value}" if isinstance(value, Decimal) else "false"
    flag = f"({text})::boolean {symbol} {_as_text(value)}" if isinstance(value, bool) else "false"
    return f"""
        case jsonb_typeof({held})
            when 'string' then ({text}) {symbol} '{_as_text(value)}'
            when 'number' then {number}
            when 'boolean' then {flag}
        end
    """


def _as_text(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case Decimal():
            return number_text(value)
        case _:
            return str(value)
