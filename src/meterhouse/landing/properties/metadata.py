"""Metadata to typed columns: a scalar property becomes a number, a text or a flag; no number passes through a float.

A name that one object has twice is refused: nothing says which value counts.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Final, TypeAlias

import msgspec
import polars as pl

from meterhouse.catalog.settings import Limits
from meterhouse.landing.reasons import TOO_DEEP, Fault, Faults
from meterhouse.tables.columns import QUANTITY
from meterhouse.tables.properties import TYPES, Kind

LIMIT: Final = 10**15
"""Numbers are below this in size, so that sums cannot overflow (rule 1.7)."""

PLACES: Final = Decimal("1e-12")

ROUNDING: Final = Context(prec=60, rounding=ROUND_HALF_UP)
"""`ROUND_HALF_UP` of the decimal module is half away from zero."""

PLAIN_NUMBER: Final = r"^-?[0-9]{1,15}(\.[0-9]{1,12})?$"
"""A number that fits as it is spelled; Polars reads these exactly, and much faster than Python."""

NAME_END: Final = re.compile(r'"\s*:')
"""What every name of an object ends with; inside text it may stand too."""


UNLIMITED: Final = Limits(max_record_depth=200, max_record_properties=100_000)
"""What the settings may allow at most, and so what metadata that was accepted keeps within."""


class Spelled(str):
    """A number with a point or an exponent, as the sender spelled it."""

    __slots__ = ()


Properties: TypeAlias = dict[str, object]

_decode: Final = msgspec.json.Decoder(Properties, float_hook=Spelled).decode


@dataclass
class CarefullyTyped:
    """The properties of some records as columns; `rounded` has the place of each number that was rounded."""

    columns: dict[tuple[Kind, str], pl.Series] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    rounded: list[int] = field(default_factory=list)


def type_with_care(texts: Sequence[str], limits: Limits = UNLIMITED) -> CarefullyTyped:
    """Type the metadata of records one by one, and say what is wrong with those that cannot be used.

    Nested objects are flattened with `.`; arrays and nulls have no column.
    """
    typed = CarefullyTyped()
    objects = [_object(text, place, typed.faults, limits) for place, text in enumerate(texts)]
    columns = dict(_columns(objects))
    if any(dict in map(type, values) for values in columns.values()):
        objects = [_flattened(properties, place, typed.faults) for place, properties in enumerate(objects)]
        columns = dict(_columns(objects))
    nameless = [place for place, value in enumerate(columns.pop("", ())) if value is not None]
    typed.faults |= {place: Fault("bad_metadata", "a property has an empty name") for place in nameless}
    for name, values in columns.items():
        _add(name, values, typed)
    return typed


def _object(text: str, place: int, faults: Faults, limits: Limits) -> Properties:
    try:
        properties = _decode(text)
        # Counting is quick, and says of nearly all that they are not deep and repeat no name.
        deepest, most = limits.max_record_depth, limits.max_record_properties
        if text.count("{") + text.count("[") > deepest and _is_deep(properties, deepest):
            faults[place] = TOO_DEEP
        elif text.count(":") > most and (names := _names(properties)) > most:
            faults[place] = Fault("too_many_properties", f"{names:,} names, more than the {most:,}")
        elif text.count(":") != len(properties) and (name := _repeated(text, properties)) is not None:
            faults[place] = Fault("bad_metadata", f"the name '{_short(name)}' is there twice in one object")
        else:
            return properties
    except RecursionError:
        faults[place] = TOO_DEEP
    except msgspec.DecodeError as error:
        # The one thing that is out of range while decoding is a whole number of thousands of digits.
        faults[place] = Fault("number_out_of_range" if "out of range" in str(error) else "bad_metadata", str(error))
    return {}


def _is_deep(properties: Properties, deepest: int) -> bool:
    level: list[object] = [properties]
    for _ in range(deepest):
        level = [inner for value in level for inner in _inside(value)]
    return any(isinstance(value, dict | list) for value in level)


def _inside(value: object) -> Iterable[object]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case _:
            return ()


def _repeated(text: str, properties: Properties) -> str | None:
    """A name that an object has twice, of which decoding keeps the last value only."""
    names = _names(properties)
    if text.count(":") == names or len(NAME_END.findall(text)) == names:
        return None
    repeated: list[str] = []

    def note(members: list[tuple[str, object]]) -> None:
        names = Counter(name for name, _ in members)
        repeated.extend(name for name, times in names.items() if times > 1)

    # Numbers stay text: Python refuses to read whole numbers of thousands of digits.
    json.loads(text, object_pairs_hook=note, parse_int=str, parse_float=str)
    return next(iter(repeated), None)


def _names(value: object) -> int:
    own = len(value) if isinstance(value, dict) else 0
    return own + sum(_names(inner) for inner in _inside(value) if type(inner) in {dict, list})


def _flattened(properties: Properties, place: int, faults: Faults) -> Properties:
    """Flat names to values. Two properties of one flat name are a fault, since nothing says which of them counts."""
    flat = list(_flat(properties))
    together = {".".join(path): value for path, value in flat}
    if len(together) == len(flat):
        return together
    first: dict[str, tuple[str, ...]] = {}
    for path, _ in flat:
        name = ".".join(path)
        if first.setdefault(name, path) is not path:
            both = " and ".join(_spelled(spelling) for spelling in (first[name], path))
            faults.setdefault(place, Fault("bad_metadata", f"property '{_short(name)}' is there twice, as {both}"))
    return {}


def _spelled(path: tuple[str, ...]) -> str:
    return _short(": ".join(msgspec.json.encode(name).decode() for name in path))


def _flat(properties: Properties, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, value in properties.items():
        if isinstance(value, dict):
            yield from _flat(value, (*prefix, name))
        else:
            yield (*prefix, name), value


def _columns(objects: list[Properties]) -> Iterator[tuple[str, list[object]]]:
    for name in sorted(set[str]().union(*objects)):
        yield name, [properties.get(name) for properties in objects]


def _add(name: str, values: list[object], typed: CarefullyTyped) -> None:
    types = set(map(type, values))
    if str in types:
        typed.columns["text", name] = pl.Series(_only(values, types, {str}), dtype=TYPES["text"])
    if bool in types:
        typed.columns["flag", name] = pl.Series(_only(values, types, {bool}), dtype=TYPES["flag"])
    if int in types or Spelled in types:
        typed.columns["number", name] = _numbers(name, _only(values, types, {int, Spelled}), Spelled in types, typed)


def _only(values: list[object], types: set[type], wanted: set[type]) -> list[object]:
    if types <= wanted | {type(None)}:
        return values
    return [value if type(value) in wanted else None for value in values]


def _numbers(name: str, values: list[object], has_points: bool, typed: CarefullyTyped) -> pl.Series:  # noqa: FBT001
    if not has_points:
        try:
            whole = pl.Series(values, dtype=pl.Int64())
        except (OverflowError, TypeError, pl.exceptions.PolarsError):
            pass
        else:
            if whole.is_between(-LIMIT, LIMIT, closed="none").all():
                return whole.cast(QUANTITY)
    spelled = pl.Series([None if value is None else str(value) for value in values], dtype=pl.String())
    is_plain = spelled.str.contains(PLAIN_NUMBER)
    numbers = spelled.set(~is_plain, None).cast(QUANTITY)
    odd = (~is_plain).fill_null(value=False).arg_true()
    if odd.is_empty():
        return numbers
    exact = {place: _exact(name, spelled[place], place, typed) for place in odd}
    return numbers.scatter(odd, pl.Series(list(exact.values()), dtype=QUANTITY))


def _exact(name: str, spelled: str, place: int, typed: CarefullyTyped) -> Decimal | None:
    try:
        number = Decimal(spelled)
    except InvalidOperation:
        number = Decimal("Infinity")
    # `abs` would itself overflow where the exponent is beyond what arithmetic allows.
    if number.copy_abs() >= LIMIT:
        typed.faults.setdefault(place, Fault("number_out_of_range", f"property '{name}' is {_short(spelled)}"))
        return None
    rounded = number.quantize(PLACES, context=ROUNDING)
    if abs(rounded) >= LIMIT:
        typed.faults.setdefault(place, Fault("number_out_of_range", f"property '{name}' is {_short(spelled)}"))
        return None
    if rounded != number:
        typed.rounded.append(place)
    return rounded


def _short(spelled: str) -> str:
    return spelled if len(spelled) <= 40 else f"{spelled[:20]}... ({len(spelled)} characters)"  # noqa: PLR2004
