"""Whose an event is (rule 1.5)."""

from __future__ import annotations

from typing import Final

import polars as pl

SENT_IDS: Final = ("customer_id", "external_customer_id", "subscription_id")
"""Columns of an event that say whose it is, as sent. Nothing else of it does, so that groups can be attributed."""


def attribute(events: pl.LazyFrame, customers: pl.LazyFrame, subscriptions: pl.LazyFrame) -> pl.LazyFrame:
    """Replace the ids as sent by the customer's own id, and say whether it is known: `attributed`.

    The customer's id decides, then the id in the sender's books, then the subscription, which is its customer's. An
    unknown customer keeps the id that was sent, empty where none was.
    """
    by_id = customers.select("customer_id", _by_id="customer_id")
    by_external_id = customers.select(external_customer_id="external_id", _by_external_id="customer_id")
    by_subscription = subscriptions.select("subscription_id", _by_subscription="customer_id")
    known = pl.coalesce("_by_id", "_by_external_id", "_by_subscription")
    as_sent = pl.coalesce("customer_id", "external_customer_id", "subscription_id", pl.lit(""))
    return (
        events.join(by_id, on="customer_id", how="left")
        .join(by_external_id, on="external_customer_id", how="left")
        .join(by_subscription, on="subscription_id", how="left")
        .with_columns(customer_id=pl.coalesce(known, as_sent), attributed=known.is_not_null())
        .drop("_by_id", "_by_external_id", "_by_subscription", "external_customer_id", "subscription_id")
    )


def may_be_of(customers: pl.DataFrame, subscriptions: pl.DataFrame) -> pl.Expr:
    """Whether an event has an id of one of these customers or subscriptions; it may still be another's."""
    ids = {
        "customer_id": customers["customer_id"],
        "external_customer_id": customers["external_id"],
        "subscription_id": subscriptions["subscription_id"],
    }
    return pl.any_horizontal(pl.col(sent).is_in(known.implode()).fill_null(value=False) for sent, known in ids.items())
