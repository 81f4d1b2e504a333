"""Whose an event is (rule 1.5)."""

from __future__ import annotations

import polars as pl


def attribute(events: pl.LazyFrame, customers: pl.LazyFrame) -> pl.LazyFrame:
    """Replace the customer ids as sent by the customer's own id, and say whether it is known: `attributed`.

    The customer's id decides, then the id in the sender's books. An unknown customer keeps the id that was sent,
    empty where none was.
    """
    by_id = customers.select("customer_id", _by_id="customer_id")
    by_external_id = customers.select(external_customer_id="external_id", _by_external_id="customer_id")
    known = pl.coalesce("_by_id", "_by_external_id")
    as_sent = pl.coalesce("customer_id", "external_customer_id", pl.lit(""))
    return (
        events.join(by_id, on="customer_id", how="left")
        .join(by_external_id, on="external_customer_id", how="left")
        .with_columns(customer_id=pl.coalesce(known, as_sent), attributed=known.is_not_null())
        .drop("_by_id", "_by_external_id", "external_customer_id")
    )
