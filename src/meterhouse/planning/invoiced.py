"""What final invoices say against rows of subscriptions: an invoiced cycle does not move, and is not billed again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from meterhouse.catalog import spans_of
from meterhouse.invoicing import billing_periods
from meterhouse.tables.columns import INSTANT

if TYPE_CHECKING:
    from meterhouse.warehouse import Warehouse

_INSTANT: Final = "%Y-%m-%dT%H:%M:%SZ"
_BOUNDS: Final = ("period_start", "period_end")
_CLASH: Final = ("subscription_id", "subscription_id_other", *_BOUNDS, "open_from", "open_to")


def at_odds(subscriptions: pl.DataFrame, metered: pl.DataFrame, warehouse: Warehouse) -> dict[str, str]:
    """Subscriptions whose rows contradict what was invoiced, each with what is wrong and how to mend it.

    Billed as they say, usage or fees would be billed twice or never. `metered` are (product, meter).
    """
    invoices = warehouse.scan("invoices").collect()
    if invoices.is_empty():
        return {}
    lines = warehouse.scan("invoice_lines").collect().join(invoices, on="invoice_id", suffix="_of_invoice")
    return {
        **_billed_by_another(subscriptions, metered, lines),
        **_moved(subscriptions, invoices, lines),
        **_changed(subscriptions, invoices),
    }


def _changed(subscriptions: pl.DataFrame, invoices: pl.DataFrame) -> dict[str, str]:
    """Rows with another customer or product than their last final invoice has."""
    last = invoices.sort("cycle").unique("subscription_id", keep="last")
    differ = pl.any_horizontal(pl.col(name) != pl.col(f"{name}_invoiced") for name in ("customer_id", "product"))
    changed = subscriptions.join(last, on="subscription_id", suffix="_invoiced").filter(differ)
    return {
        row["subscription_id"]: (
            f"'{row['subscription_id']}' was invoiced to '{row['customer_id_invoiced']}' for product "
            f"'{row['product_invoiced']}'; this row says '{row['customer_id']}' and '{row['product']}'. "
            "Restore the row, end the subscription, and start another"
        )
        for row in changed.iter_rows(named=True)
    }


def _moved(subscriptions: pl.DataFrame, invoices: pl.DataFrame, lines: pl.DataFrame) -> dict[str, str]:
    """Rows that put a cycle elsewhere than a final invoice has it."""
    key = ["subscription_id", "cycle"]
    invoiced = pl.concat([_ended(invoices, lines), _begun(lines)])
    known = subscriptions.join(invoiced, on="subscription_id", how="semi")
    now = billing_periods(known.lazy(), invoices["issued_at"].max()).select(*key, "period_start", "period_end")  # type: ignore[arg-type]
    elsewhere = pl.any_horizontal(pl.col(bound) != pl.col(f"{bound}_now") for bound in ("period_start", "period_end"))
    moved = (
        invoiced.join(known, on="subscription_id", how="semi")
        .join(now.collect(), on=key, how="left", suffix="_now")
        .filter(elsewhere | pl.col("period_end_now").is_null())
        .sort(key)
        .unique("subscription_id", keep="first", maintain_order=True)
    )
    return {row["subscription_id"]: _explain_move(row) for row in moved.iter_rows(named=True)}


def _ended(invoices: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Cycles that ended with a final invoice; `period_start` is null where no line of it says so."""
    starts = lines.filter(pl.col("period_end") == pl.col("issued_at")).select("invoice_id", "period_start").unique()
    return (
        invoices.filter(pl.col("cycle") > 0)
        .join(starts, on="invoice_id", how="left")
        .select("subscription_id", "period_start", cycle=pl.col("cycle") - 1, period_end="issued_at")
    )


def _begun(lines: pl.DataFrame) -> pl.DataFrame:
    """Cycles that a final invoice bills in advance; their end may still be cut, so it is null."""
    ahead = lines.filter(pl.col("period_start") == pl.col("issued_at"))
    end = pl.lit(None, INSTANT)
    return ahead.select("subscription_id", "period_start", "cycle", period_end=end).unique()


def _explain_move(row: dict[str, object]) -> str:
    end = "on" if row["period_end"] is None else f"to {row['period_end']:{_INSTANT}}"
    start = "a period" if row["period_start"] is None else f"{row['period_start']:{_INSTANT}}"
    now = "ends before that"
    if row["period_end_now"] is not None:
        now = f"says {row['period_start_now']:{_INSTANT}} to {row['period_end_now']:{_INSTANT}}"
    return (
        f"'{row['subscription_id']}' was invoiced for {start} {end}; this row {now}. A final invoice does not move: "
        "restore the row, or end the subscription after that period and start another"
    )


def _billed_by_another(subscriptions: pl.DataFrame, metered: pl.DataFrame, lines: pl.DataFrame) -> dict[str, str]:
    """Rows that would bill what another subscription of the customer was invoiced for.

    Fees count too where the other has no row any more and this one was never invoiced, as after a change of its id.
    Else a customer may well pay the same fee for two subscriptions.
    """
    open_spans = _open_spans(subscriptions, lines)
    usage = lines.filter(pl.col("kind") == "usage").select("subscription_id", "customer_id", "meter", *_BOUNDS)
    of_usage = open_spans.join(metered, on="product").join(usage, on=["customer_id", "meter"], suffix="_other")
    gone = lines.join(subscriptions, on="subscription_id", how="anti")
    of_fees = open_spans.filter("is_new").join(gone, on=["customer_id", "product"], suffix="_other")
    found = pl.concat([clash.select(*_CLASH) for clash in (of_usage, of_fees)]).filter(
        pl.col("subscription_id") != pl.col("subscription_id_other"),
        pl.col("open_from") < pl.col("period_end"),
        pl.col("open_to").is_null() | (pl.col("open_to") > pl.col("period_start")),
    )
    first = found.sort(_CLASH).unique("subscription_id", keep="first", maintain_order=True)
    return {
        row["subscription_id"]: (
            f"'{row['subscription_id']}' would bill what was invoiced under '{row['subscription_id_other']}' for "
            f"{row['period_start']:{_INSTANT}} to {row['period_end']:{_INSTANT}}. Restore that row, or start this one "
            "where the other's invoices end"
        )
        for row in first.iter_rows(named=True)
    }


def _open_spans(subscriptions: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """What of each subscription is not invoiced yet: `[open_from, open_to)`."""
    spans = spans_of(subscriptions)
    ends = pl.Series("open_to", [spans[name].end for name in subscriptions["subscription_id"]], INSTANT)
    until = lines.group_by("subscription_id").agg(invoiced_until=pl.col("issued_at").max())
    return (
        subscriptions.with_columns(ends)
        .join(until, on="subscription_id", how="left")
        .select(
            "subscription_id",
            "customer_id",
            "product",
            "open_to",
            open_from=pl.max_horizontal("started_at", "invoiced_until"),
            is_new=pl.col("invoiced_until").is_null(),
        )
    )
