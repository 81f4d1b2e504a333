"""Text that is spelled as a number of JSON, as that number (rule 1.7)."""

from __future__ import annotations

from typing import Final

import polars as pl

from meterhouse.metering.parts import PLACES, from_parts
from meterhouse.tables.columns import QUANTITY

_SPELLED: Final = (
    r"^(?P<sign>-?)(?P<whole>0|[1-9][0-9]*)(?:\.(?P<fraction>[0-9]+))?"
    r"(?:[eE](?P<power_sign>[+-]?)0*(?P<power>[0-9]+))?$"
)
_MOST_DIGITS: Final = 15
"""Before the point: numbers are below 10^15 in size."""

_DECISIVE: Final = 9
"""An exponent of more digits is beyond whatever the digits before it say."""


def number_of_text(text: pl.Expr) -> pl.Expr:
    """The number that a text spells, to 12 places, half away from zero; null where it spells none or one out of range.

    Done on digits: text may spell more of them than any type holds.
    """
    part = text.str.extract_groups(_SPELLED).struct
    whole = part.field("whole")
    spelled = pl.concat_str(whole, part.field("fraction").fill_null(""))
    digits = spelled.str.strip_chars_start("0")
    leading = spelled.str.len_bytes().cast(pl.Int64) - digits.str.len_bytes()
    # The number is 0.DIGITS x 10^point.
    point = whole.str.len_bytes().cast(pl.Int64) - leading + _power(part.field("power_sign"), part.field("power"))
    kept = (point + PLACES).clip(-1, PLACES + _MOST_DIGITS)
    padded = pl.concat_str(digits, pl.lit("0" * (PLACES + _MOST_DIGITS + 1)))
    parts = pl.concat_str(pl.lit("0"), padded.str.slice(0, kept.clip(0))).cast(pl.Int128)
    rounds_up = (kept >= 0) & (padded.str.slice(kept.clip(0), 1) >= "5")
    rounded = (parts + rounds_up.cast(pl.Int128)) * pl.when(part.field("sign") == "-").then(-1).otherwise(1)
    fits = (point <= _MOST_DIGITS) & (rounded.abs() < 10 ** (PLACES + _MOST_DIGITS))
    return pl.when(digits == "").then(pl.lit(0, dtype=QUANTITY)).when(fits).then(from_parts(rounded))


def _power(sign: pl.Expr, digits: pl.Expr) -> pl.Expr:
    size = (
        pl.when(digits.str.len_bytes() > _DECISIVE)
        .then(pl.lit(10**_DECISIVE, dtype=pl.Int64))
        .otherwise(digits.str.slice(0, _DECISIVE).cast(pl.Int64))
    )
    return (pl.when(sign == "-").then(-size).otherwise(size)).fill_null(0)
