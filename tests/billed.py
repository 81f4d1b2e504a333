"""Bills one clock after another for tests: what became final stays, as in a warehouse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.bill import Bill, Billed, Books, bill
from meterhouse.invoicing import Numbering
from meterhouse.tables import CreditLedger, InvoiceLines, Invoices, RatedLines, Usage, empty, verify

if TYPE_CHECKING:
    from datetime import datetime

    import dataframely as dy

    from meterhouse.money import Rounding

FINAL: Final[dict[str, type[dy.Schema]]] = {
    "invoices": Invoices,
    "invoice_lines": InvoiceLines,
    "rated_lines": RatedLines,
    "credit_ledger": CreditLedger,
}


def nothing() -> dict[str, pl.DataFrame]:
    return {name: empty(table).collect() for name, table in FINAL.items()}


@dataclass
class History:
    """Runs that follow one another."""

    grace_days: int = 0
    rounding: Rounding = "half_away_from_zero"
    final: dict[str, pl.DataFrame] = field(default_factory=nothing)
    usage: pl.DataFrame = field(default_factory=lambda: empty(Usage).collect())

    def run(self, books: Books, usage_daily: pl.LazyFrame, as_of: datetime) -> Bill:
        """What a run finds. Usage is that of days before the clock, as far as it has landed by then."""
        # Numbers have no gaps, so that the last one is how many there are.
        numbering = Numbering("INV", self.final["invoices"].height, self.grace_days, 30)
        stored = {**self.final, "usage": self.usage}
        before = Billed(*(stored[name].lazy() for name in ("invoices", "invoice_lines", "usage", "credit_ledger")))
        landed = usage_daily.filter(pl.col("slice_start") < as_of)
        found = bill(books, landed, before, numbering, as_of, self.rounding)
        self.final = {
            name: verify(pl.concat([self.final[name], found.finalized[name]]), table) for name, table in FINAL.items()
        }
        for name, table in FINAL.items():
            verify(found.drafts[name], table)
        self.usage = verify(found.usage, Usage)
        return found

    def show(self, table: str) -> pl.LazyFrame:
        """A table of what is final."""
        return self.final[table].lazy()
