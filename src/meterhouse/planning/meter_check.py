"""Meters against the events that landed: names that no event has, values that never match, filters that match nothing.

What is found is a guess at what the meter's owner meant: the events may still come.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from meterhouse.catalog import FIXED_PROPERTIES, Clause, Filter, FixedPrice, filter_json
from meterhouse.catalog.faults import near_to
from meterhouse.catalog.wording import clause_words, filter_words
from meterhouse.metering import EventProperties, matches, value_of
from meterhouse.planning.events import counting_events
from meterhouse.planning.untyped import with_properties_of
from meterhouse.tables.properties import property_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meterhouse.catalog import Aggregation, Catalog, Meter
    from meterhouse.catalog.meters import MeterVersion
    from meterhouse.tables.properties import Kind
    from meterhouse.warehouse import Warehouse

Oddity = Literal[
    "unknown_property",
    "unknown_event",
    "type_never_matches",
    "compares_digits",
    "matches_nothing",
    "all_skipped",
    "skipped",
    "no_price",
]

NOTICES: Final[frozenset[Oddity]] = frozenset({"skipped", "no_price"})
"""Findings that may well be meant."""

_TYPE_WORDS: Final[dict[Kind, str]] = {"number": "a number", "text": "a text", "flag": "true or false"}
_NO_PRICE: Final = "No product prices it or grants credits of it: it is measured, and not billed."
_ORDERS: Final = ("gt", "gte", "lt", "lte")
_LIKENESS: Final = ("eq", "in", "like")
_MOST_VALUES: Final = 10_000
_FEW: Final = 10


@dataclass(frozen=True)
class MeterFinding:
    """What is odd about a meter, and how to mend it."""

    meter: str
    kind: Oddity
    says: str

    @property
    def is_notice(self) -> bool:
        """Whether it may well be meant."""
        return self.kind in NOTICES


def check_meters(catalog: Catalog, warehouse: Warehouse, only: str | None = None) -> list[MeterFinding]:
    """Findings of all meters of the catalog, or of one; those that may well be meant last."""
    meters = {name: meter for name, meter in sorted(catalog.meters.items()) if only in (None, name)}
    priced = _priced(catalog)
    unpriced = [MeterFinding(name, "no_price", _NO_PRICE) for name in meters if name not in priced]
    return sorted(
        [*compare_meters(meters, warehouse), *unpriced], key=lambda finding: (finding.is_notice, finding.meter)
    )


def compare_meters(meters: Mapping[str, Meter], warehouse: Warehouse) -> list[MeterFinding]:
    """What is odd about meters where they are compared with the events; nothing as long as there are no events."""
    events = counting_events(warehouse, pl.lit(value=True))
    landed = _Landed(with_properties_of(meters.values(), events, warehouse), meters)
    if not landed.events:
        return []
    found = (finding for name, meter in meters.items() for finding in _findings(name, meter, landed))
    # Versions of a meter share most of their clauses.
    return list(dict.fromkeys(found))


def _priced(catalog: Catalog) -> set[str]:
    products = catalog.products.values()
    priced = {price.meter for product in products for price in product.prices if not isinstance(price, FixedPrice)}
    return priced | {benefit.meter for product in products for benefit in product.benefits}


class _Landed:
    """What the events have, read once for all meters."""

    def __init__(self, events: pl.LazyFrame, meters: Mapping[str, Meter]) -> None:
        self._events = events
        columns = property_columns(events.collect_schema().names())
        self.properties = EventProperties(columns.values())
        # Named by its JSON: as values of Python, true and 1 would be the same filter.
        versions = [version for meter in meters.values() for version in meter.versions()]
        rules = {filter_json(rule): matches(rule, self.properties) for rule in _rules(versions)}
        valued = [
            matches(version.rule, self.properties) & value_of(version.aggregation, self.properties).is_not_null()
            for version in versions
        ]
        held = [pl.col(column).is_not_null() for column in columns.values()]
        conditions = {str(place): found for place, found in enumerate([*held, *rules.values(), *valued])}
        # First as columns: the sum of a condition without a column, as of an empty filter, would be that of one row.
        counted = events.with_columns(**conditions).select(
            pl.len().alias("events"), *(pl.col(name).sum() for name in conditions)
        )
        counts = iter(map(int, counted.collect(engine="streaming").row(0)))
        self.events = next(counts)
        self.kinds: dict[str, list[Kind]] = {}
        for kind, name in columns:
            if next(counts):
                self.kinds.setdefault(name, []).append(kind)
        self._matched = {rule: next(counts) for rule in rules}
        self.valued = {name: [next(counts) for _ in meter.versions()] for name, meter in meters.items()}

    def matched(self, rule: Filter) -> int:
        """How many events a filter matches."""
        return self._matched[filter_json(rule)]

    def values(self, name: str) -> list[str]:
        """Texts that a property has; none of them where it has very many."""
        column = self.properties.operands(name).text
        found = self._events.select(column.alias("text").drop_nulls().unique()).head(_MOST_VALUES + 1).collect()
        return found["text"].sort().to_list() if found.height <= _MOST_VALUES else []


def _rules(versions: Iterable[MeterVersion]) -> Iterator[Filter]:
    """Every filter, each clause of it alone, and each `and` without one of its parts."""
    for whole in (version.rule for version in versions):
        yield whole
        yield from map(_alone, _clauses(whole))
        yield from (rest for _, rest in _without_one(whole))


def _alone(part: Clause | Filter) -> Filter:
    return Filter(clauses=(part,))


def _clauses(rule: Filter) -> Iterator[Clause]:
    for part in rule.clauses:
        if isinstance(part, Filter):
            yield from _clauses(part)
        else:
            yield part


def _without_one(rule: Filter) -> list[tuple[Clause | Filter, Filter]]:
    """Each part of an `and`, with the filter that is left without it; filters within filters are taken as they are."""
    parts = _flat(rule)
    return [(part, Filter(clauses=(*parts[:place], *parts[place + 1 :]))) for place, part in enumerate(parts)]


def _flat(rule: Filter) -> tuple[Clause | Filter, ...]:
    """The parts that must all match: those of an `and` within an `and` are its own."""
    if rule.conjunction == "or" and len(rule.clauses) > 1:
        return (rule,)
    return tuple(inner for part in rule.clauses for inner in (_flat(part) if isinstance(part, Filter) else (part,)))


def _findings(name: str, meter: Meter, landed: _Landed) -> Iterator[MeterFinding]:
    """Every version is compared with all events: a change that holds from tomorrow on would find none yet."""
    for held in meter.group_by:
        if held not in FIXED_PROPERTIES and held not in landed.kinds:
            yield MeterFinding(name, "unknown_property", _no_event_has(held, landed))
    for version, valued in zip(meter.versions(), landed.valued[name], strict=True):
        yield from _of_version(name, version, valued, landed)


def _of_version(name: str, version: MeterVersion, valued: int, landed: _Landed) -> Iterator[MeterFinding]:
    """What is wrong with the parts first: it explains what is wrong with the whole."""
    whole = version.rule
    of_clauses = [found for clause in _clauses(whole) for found in _of_clause(name, clause, landed)]
    yield from of_clauses
    if landed.matched(whole):
        yield from _of_value(name, version, valued, landed)
    elif not of_clauses:
        yield MeterFinding(name, "matches_nothing", _which_part(whole, landed))


def _of_clause(name: str, clause: Clause, landed: _Landed) -> Iterator[MeterFinding]:
    """Why a clause matches no event at all, or others than it seems to."""
    words, held = f"`{clause_words(clause)}`", clause.property
    kinds: list[Kind] = ["text"] if held in ("name", "source") else landed.kinds.get(held, [])
    matched = landed.matched(_alone(clause))
    if matched == 0 and held == "name":
        says = f"{words}: no event has such a name.{_near(clause, landed.values(held))}"
        yield MeterFinding(name, "unknown_event", says)
    elif not kinds and held not in FIXED_PROPERTIES:
        yield MeterFinding(name, "unknown_property", _no_event_has(held, landed))
    elif kinds == ["text"] and clause.operator in _ORDERS and isinstance(clause.values()[0], Decimal):
        says = f"{words}: '{held}' is always a text, so that digits are compared and not numbers: \"9\" is above 10."
        yield MeterFinding(name, "compares_digits", f"{says} Have senders write it without quotes.")
    elif matched == 0 and "text" not in kinds:
        has = " or ".join(_TYPE_WORDS[kind] for kind in kinds) or "a number"
        says = f"{words} matches no event: '{held}' is always {has}, and compares only with that."
        yield MeterFinding(name, "type_never_matches", says)
    elif matched == 0:
        says = f"{words} matches no event.{_near(clause, landed.values(held))}"
        yield MeterFinding(name, "matches_nothing", says)


def _of_value(name: str, version: MeterVersion, valued: int, landed: _Landed) -> Iterator[MeterFinding]:
    """Whether the events that match have a value that counts."""
    held = version.aggregation.property
    matched = landed.matched(version.rule)
    if held is None or valued == matched:
        return
    if held not in FIXED_PROPERTIES and held not in landed.kinds:
        yield MeterFinding(name, "unknown_property", _no_event_has(held, landed))
    elif valued:
        says = f"{matched - valued:,} of the {matched:,} events that match have no value '{held}' that counts."
        yield MeterFinding(name, "skipped", f"{says} `meterhouse meter preview {name}` shows why.")
    elif landed.kinds.get(held, ["text"]) == ["text"]:
        yield MeterFinding(name, "type_never_matches", _only_text(held, version.aggregation))
    else:
        says = f"None of the {matched:,} events that match has a value '{held}' that counts: nothing is measured."
        yield MeterFinding(name, "all_skipped", f"{says} `meterhouse meter preview {name}` shows what they have.")


def _no_event_has(named: str, landed: _Landed) -> str:
    near = _nearest(named, landed.kinds)
    meant = f" Did you mean '{near}'?" if near else f" Properties: {', '.join(sorted(landed.kinds)) or 'none'}."
    return f"No event has a property '{named}' with a text, a number, true or false.{meant}"


def _only_text(held: str, aggregation: Aggregation) -> str:
    if aggregation.numeric_text == "count":
        return f"'{held}' is always a text, and never spelled as a number: nothing is measured."
    says = f"'{held}' is always a text, and `{aggregation.func}` counts only numbers: nothing is measured."
    return f"{says} Have senders write it without quotes, or let the meter take text: `numeric_text: count`."


def _near(clause: Clause, known: list[str]) -> str:
    """What a text was probably meant to be, or the few that there are."""
    near = next(filter(None, (_nearest(str(value), known) for value in clause.values())), "")
    if near and clause.operator in _LIKENESS:
        return f" Did you mean '{near}'?"
    return f" Events have: {', '.join(known)}." if 0 < len(known) <= _FEW else ""


def _nearest(named: str, known: Iterable[str]) -> str:
    """The known name that is meant, also where only the case of its letters differs."""
    others = [other for other in known if other != named]
    return next((other for other in others if other.lower() == named.lower()), "") or near_to(named, others)


def _which_part(whole: Filter, landed: _Landed) -> str:
    """Which part of an `and` takes the last event away."""
    told = "No event matches, though each clause alone matches some."
    left = [(part, landed.matched(rest)) for part, rest in _without_one(whole)]
    guilty = [f"`{filter_words(_alone(part))}` {count:,}" for part, count in left if count]
    if not guilty:
        return f"{told} Mend the filter: {filter_words(whole)}."
    return f"{told} Without {', without '.join(guilty)} would match."
