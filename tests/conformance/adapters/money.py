"""Rounding to the minor unit (rule 6)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from meterhouse.money import AMOUNT_UNROUNDED, currencies, round_minor, to_major, to_minor
from tests.conformance.cases import Case, NotCovered

if TYPE_CHECKING:
    from collections.abc import Callable


def rounded(amount_minor: Decimal) -> int:
    """Round an amount in minor units, by the product."""
    amount = pl.Series("amount", [amount_minor], dtype=AMOUNT_UNROUNDED)
    whole: int = amount.to_frame().select(round_minor(pl.col("amount"))).item()
    return whole


def currency_with(digits: int) -> str:
    """Return a currency with so many digits after the point, for peers that name the digits alone."""
    return next(code for code, minor_digits in sorted(currencies().items()) if minor_digits == digits)


def _round_minor(case: Case) -> dict[str, Any]:
    return {"amount_minor": rounded(Decimal(case.given["amount_minor"]))}


def _round(case: Case) -> dict[str, Any]:
    currency = case.given.get("currency") or currency_with(case.given["precision"])
    return {"amount": to_major(rounded(to_minor(Decimal(case.given["amount"]), currency)), currency)}


def lago_rounding(case: Case) -> dict[str, Any]:
    """Round an amount as a case of Lago asks."""
    given, config = case.given["input"], case.given["config"]
    match case.given.get("model"):
        case "to_subunits":
            return {"amount_cents": rounded(to_minor(Decimal(given["amount"]), config["currency"]))}
        case "pricing_unit_normalise":
            currency = currency_with(len(str(config["pricing_unit_subunit"])) - 1)
            precise = to_minor(Decimal(given["amount"]), currency)
            unit = to_minor(Decimal(given["unit_amount"]), currency)
            return {
                "amount_cents": rounded(precise),
                "precise_amount_cents": precise,
                "unit_amount_cents": rounded(unit),
            }
        case "wallet_credit":
            missing = "money credits (wallets)"
        case "credit_note_termination":
            missing = "credit notes"
        case model:
            missing = f"rounding of {model}"
    raise NotCovered(missing)


ADAPTERS: Final[dict[tuple[str, str], Callable[[Case], Any]]] = {
    ("polar", "money.round_minor"): _round_minor,
    ("flexprice", "money.round"): _round,
    ("openmeter", "money.round"): _round,
}
