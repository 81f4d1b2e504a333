"""The same events, in whatever shape and format they are written, are the same events (rule 1.2)."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterhouse.catalog.settings import Settings
from meterhouse.landing import land_folder
from meterhouse.tables.properties import property_columns
from tests.records import CLOCK, DyingStore


class Sent(NamedTuple):
    """An event whose model is text, whose tokens are a number and whose cache flag is one."""

    event_id: str
    name: str
    customer: str
    at: datetime
    model: str | None
    tokens: Decimal | None
    cached: bool | None

    def properties(self) -> dict[str, Any]:
        """Those that it has; the number still to be spelled."""
        held = {"model": self.model, "tokens": self.tokens, "use.cached": self.cached}
        return {name: value for name, value in held.items() if value is not None}


_texts: Final = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6).filter(
    lambda text: text.strip() == text and text != ""
)
_plain: Final = st.text("abc,;\"'é\n", min_size=1, max_size=5).filter(lambda text: bool(text.strip()))
_events: Final = st.lists(
    st.builds(
        Sent,
        event_id=_plain,
        name=_plain,
        customer=_plain,
        at=st.integers(0, 5 * 10**14).map(lambda us: datetime(2010, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)),
        model=st.none() | _texts,
        tokens=st.none() | st.decimals(-(10**12), 10**12, places=6),
        cached=st.none() | st.booleans(),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda event: event.event_id,
)


# --- Shapes -----------------------------------------------------------------------------------------------------------


def _json(value: Any) -> str:
    """JSON with exact numbers."""
    match value:
        case Decimal():
            return str(value)
        case dict():
            return "{" + ", ".join(f"{json.dumps(name)}: {_json(held)}" for name, held in value.items()) + "}"
        case _:
            return json.dumps(value)


def _nested(event: Sent) -> dict[str, Any]:
    flat = event.properties()
    inner = {"cached": flat.pop("use.cached")} if "use.cached" in flat else {}
    return flat | ({"use": inner} if inner else {})


def _seconds(at: datetime) -> Decimal:
    whole = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return Decimal(whole).scaleb(-6)


def _meterhouse(event: Sent) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "name": event.name,
        "external_customer_id": event.customer,
        "timestamp": event.at.isoformat(),
        "metadata": _nested(event),
    }


SHAPES: Final[dict[str, Callable[[Sent], dict[str, Any]]]] = {
    "meterhouse": _meterhouse,
    "polar": lambda event: {
        "external_id": event.event_id,
        "name": event.name,
        "external_customer_id": event.customer,
        "timestamp": event.at.isoformat(),
        "metadata": _nested(event),
    },
    "dodo": lambda event: {
        "event_id": event.event_id,
        "event_name": event.name,
        "external_customer_id": event.customer,
        "timestamp": event.at.isoformat(),
        "metadata": _nested(event),
    },
    "cloudevents": lambda event: {
        "specversion": "1.0",
        "id": event.event_id,
        "source": "user",
        "type": event.name,
        "subject": event.customer,
        "time": event.at.isoformat(),
        "data": _nested(event),
    },
    "stripe": lambda event: {
        "identifier": event.event_id,
        "event_name": event.name,
        "timestamp": _seconds(event.at),
        "payload": {"stripe_customer_id": event.customer, **_nested(event)},
    },
    "lago": lambda event: {
        "transaction_id": event.event_id,
        "code": event.name,
        "external_customer_id": event.customer,
        "timestamp": str(_seconds(event.at)),
        "properties": _nested(event),
    },
}


# --- Formats ----------------------------------------------------------------------------------------------------------


def _lines(folder: Path, events: list[Sent]) -> None:
    (folder / "e.jsonl").write_text("\n".join(_json(_meterhouse(event)) for event in events))


def _array(folder: Path, events: list[Sent]) -> None:
    (folder / "e.json").write_text("[" + ",\n".join(_json(_meterhouse(event)) for event in events) + "]")


def _csv(folder: Path, events: list[Sent]) -> None:
    with (folder / "e.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["event_id", "name", "external_customer_id", "timestamp", "metadata.model", "tokens", "metadata.use.cached"]
        )
        for event in events:
            cached = "" if event.cached is None else str(event.cached).lower()
            tokens = "" if event.tokens is None else str(event.tokens)
            at = event.at.isoformat()
            writer.writerow([event.event_id, event.name, event.customer, at, event.model or "", tokens, cached])


def _fields(events: list[Sent]) -> dict[str, pa.Array]:
    return {
        "event_id": pa.array([event.event_id for event in events]),
        "name": pa.array([event.name for event in events]),
        "external_customer_id": pa.array([event.customer for event in events]),
        "timestamp": pa.array([event.at for event in events], pa.timestamp("us", "UTC")),
    }


_TOKENS: Final = pa.decimal128(38, 6)


def _parquet_text(folder: Path, events: list[Sent]) -> None:
    texts = pa.array([_json(_nested(event)) for event in events])
    pq.write_table(pa.table({**_fields(events), "metadata": texts}), folder / "e.parquet")


def _parquet_struct(folder: Path, events: list[Sent]) -> None:
    inner = pa.struct({"model": pa.string(), "tokens": _TOKENS, "use": pa.struct({"cached": pa.bool_()})})
    held = [{"model": event.model, "tokens": event.tokens, "use": {"cached": event.cached}} for event in events]
    pq.write_table(pa.table({**_fields(events), "metadata": pa.array(held, inner)}), folder / "e.parquet")


def _parquet_columns(folder: Path, events: list[Sent]) -> None:
    columns = {
        "metadata.model": pa.array([event.model for event in events], pa.string()),
        "metadata.tokens": pa.array([event.tokens for event in events], _TOKENS),
        "metadata.use.cached": pa.array([event.cached for event in events], pa.bool_()),
    }
    pq.write_table(pa.table({**_fields(events), **columns}), folder / "e.parquet")


FORMATS: Final = (_lines, _array, _csv, _parquet_text, _parquet_struct, _parquet_columns)

SOURCES: Final = {
    "rows": {"files": "*.csv", "properties": {"tokens": {"type": "number"}, "use.cached": {"type": "flag"}}}
}


def _landed(write: Callable[[Path], None]) -> list[dict[str, Any]]:
    """Events without where they lay and how their metadata is spelled, their properties by name."""
    store = DyingStore()
    with TemporaryDirectory() as folder:
        write(Path(folder))
        land_folder(Path(folder), store, Settings.model_validate({"name": "test", "sources": SOURCES}), CLOCK)
    assert store.table("rejected_events").is_empty(), store.table("rejected_events")["explanation"].to_list()
    events = store.table("events").sort("event_id")
    columns = {name: name for name in ("source", "event_id", "name", "external_customer_id", "timestamp")}
    columns |= {f"{kind} {name}": column for (kind, name), column in property_columns(events.columns).items()}
    columns.pop("text stripe_customer_id", None)
    return [
        {name: row[column] for name, column in columns.items() if row[column] is not None}
        for row in events.iter_rows(named=True)
    ]


def _expected(events: list[Sent]) -> list[dict[str, Any]]:
    return [
        {
            "source": "user",
            "event_id": event.event_id,
            "name": event.name,
            "external_customer_id": event.customer,
            "timestamp": event.at,
        }
        | ({"text model": event.model} if event.model is not None else {})
        | ({"number tokens": event.tokens} if event.tokens is not None else {})
        | ({"flag use.cached": event.cached} if event.cached is not None else {})
        for event in sorted(events, key=lambda event: event.event_id)
    ]


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=25, deadline=None)
@given(_events)
def test_in_any_shape(shape: str, events: list[Sent]) -> None:
    def write(folder: Path) -> None:
        (folder / "e.jsonl").write_text("\n".join(_json(SHAPES[shape](event)) for event in events))

    assert _landed(write) == _expected(events)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.__name__.strip("_"))
@settings(max_examples=25, deadline=None)
@given(_events)
def test_in_any_format(form: Callable[[Path, list[Sent]], None], events: list[Sent]) -> None:
    assert _landed(lambda folder: form(folder, events)) == _expected(events)
