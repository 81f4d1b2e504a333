"""Sets of events: their properties, ten meters or fewer on them, and each meter by hand in DuckDB's SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Kind: TypeAlias = Literal["number", "text", "flag"]


@dataclass(frozen=True)
class EventSet:
    """What is measured, twice: as meterhouse's meters and as SQL, in which `{name}` stands for a property."""

    properties: dict[str, Kind]
    meters: dict[str, dict[str, Any]]
    queries: dict[str, str]


def _meter(func: str, name: str | None = None, *clauses: tuple[str, str, object], event: str = "") -> dict[str, Any]:
    found = [{"property": on, "operator": operator, "value": value} for on, operator, value in clauses]
    return {
        **({"event": event} if event else {}),
        **({"filter": {"clauses": found}} if found else {}),
        "aggregation": {"func": func, **({"property": name} if name else {})},
    }


_SMALL: Final = [{"property": "model", "operator": "eq", "value": model} for model in ("small", "mid")]

GENERATED: Final = EventSet(
    properties={
        "model": "text",
        "region": "text",
        "user": "text",
        "input_tokens": "number",
        "output_tokens": "number",
        "cache_tokens": "number",
        "seconds": "number",
        "cached": "flag",
    },
    meters={
        "input_tokens": _meter("sum", "input_tokens", event="completion"),
        "output_tokens_large": _meter("sum", "output_tokens", ("model", "eq", "large"), event="completion"),
        "requests": _meter("count", None, ("cached", "eq", False)),
        "requests_long": _meter("count", None, ("input_tokens", "gt", 4000), ("region", "like", "eu")),
        "seconds_most": _meter("max", "seconds"),
        "seconds_least": _meter("min", "seconds"),
        "seconds_mean": _meter("avg", "seconds"),
        "users": _meter("unique", "user"),
        "input_tokens_last": _meter("last", "input_tokens"),
        "cache_tokens": {**_meter("sum", "cache_tokens"), "filter": {"conjunction": "or", "clauses": _SMALL}},
    },
    queries={
        "input_tokens": "sum({input_tokens}) as quantity from events where name = 'completion'",
        "output_tokens_large": (
            "sum({output_tokens}) as quantity from events where name = 'completion' and {model} = 'large'"
        ),
        "requests": "count(*) as quantity from events where {cached} = false",
        "requests_long": "count(*) as quantity from events where {input_tokens} > 4000 and {region} like '%eu%'",
        "seconds_most": "max({seconds}) as quantity from events",
        "seconds_least": "min({seconds}) as quantity from events",
        "seconds_mean": "avg({seconds}) as quantity from events",
        "users": "count(distinct {user}) as quantity from events",
        "input_tokens_last": "arg_max({input_tokens}, timestamp) as quantity from events",
        "cache_tokens": "sum({cache_tokens}) as quantity from events where {model} in ('small', 'mid')",
    },
)

GOOGLE_JOBS: Final = EventSet(
    properties={
        "time": "number",
        "missing_info": "number",
        "job_id": "number",
        "event_type": "number",
        "scheduling_class": "number",
        "logical_job_name": "text",
        "runtime_us": "number",
    },
    meters={
        "runtime": _meter("sum", "runtime_us"),
        "runtime_finished": _meter("sum", "runtime_us", event="job_finish"),
        "runtime_most": _meter("max", "runtime_us"),
        "runtime_mean": _meter("avg", "runtime_us"),
        "submitted": _meter("count", event="job_submit"),
        "urgent": _meter("count", None, ("scheduling_class", "gte", 2), event="job_submit"),
        "jobs": _meter("unique", "job_id"),
        "job_names": _meter("unique", "logical_job_name"),
        "class_least": _meter("min", "scheduling_class"),
        "named": _meter("count", None, ("logical_job_name", "like", "a")),
    },
    queries={
        "runtime": "sum({runtime_us}) as quantity from events",
        "runtime_finished": "sum({runtime_us}) as quantity from events where name = 'job_finish'",
        "runtime_most": "max({runtime_us}) as quantity from events",
        "runtime_mean": "avg({runtime_us}) as quantity from events",
        "submitted": "count(*) as quantity from events where name = 'job_submit'",
        "urgent": "count(*) as quantity from events where name = 'job_submit' and {scheduling_class} >= 2",
        "jobs": "count(distinct {job_id}) as quantity from events",
        "job_names": "count(distinct {logical_job_name}) as quantity from events",
        "class_least": "min({scheduling_class}) as quantity from events",
        "named": "count(*) as quantity from events where {logical_job_name} like '%a%'",
    },
)

SETS: Final = {"generated": GENERATED, "google": GOOGLE_JOBS}
