"""What is billed and how, as rows: customers, subscriptions, prices with their tiers, benefits."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from meterhouse.tables import columns as column


class Meters(dy.Schema):
    """One row per meter: what is measured."""

    meter = column.identifier("The meter.", key=True)
    name = column.text("What it is called on an invoice.")
    unit = column.text("What one of its quantity is called.")
    unit_multiplier = column.quantity("For how many prices are shown; changes no amount (rule 2.4).")
    aggregation = column.text(
        "`count`, `sum`, `max`, `min`, `avg`, `unique`, `last`, `weighted_sum` or `percentile` (rule 2.2)."
    )
    property = column.text("The property aggregated; null for `count`.", nullable=True)
    percent = column.quantity("Of `percentile`: part of the values at or below the quantity.", nullable=True)
    numeric_text = column.flag("Text spelled as a number counts as that number (rule 1.7).")
    carry_over = column.flag("A period begins with what all earlier ones left.")
    rounding = column.text("`up`, `down` or `half`; null where quantities are not rounded (rule 4.6).", nullable=True)
    rounding_to = column.quantity("Quantities are rounded to multiples of this.", nullable=True)
    filter_json = column.text("Which events count, as canonical JSON (rule 2.1).")
    definition = column.identifier("Digest of aggregation, its options, property and filter: what the meter measures.")


class MeterVersions(dy.Schema):
    """One row per stretch of time of every definition that a meter ever had: what it measured then (rule 2.5)."""

    meter = column.identifier("The meter.", key=True)
    definition = column.identifier("Digest of all that the meter measures: that of `meters`.", key=True)
    version = column.count("Place in the order of time, from 1.", key=True)
    valid_from = column.instant("First instant of it; null where it holds from the beginning.", nullable=True)
    valid_until = column.instant("First instant after it; null where it has no end.", nullable=True)
    aggregation = column.text("As in `meters`.")
    property = column.text("The property aggregated; null for `count`.", nullable=True)
    numeric_text = column.flag("Text spelled as a number counts as that number (rule 1.7).")
    filter_json = column.text("Which events count, as canonical JSON (rule 2.1).")
    group_by_json = column.text("Properties whose values split the quantity, as a JSON array (rule 2.3).")
    measures = column.identifier("Digest of what its daily states follow from.")
    first_used_at = column.instant("Clock of the first run that had this definition; it never changes.")


class Customers(dy.Schema):
    """One row per customer."""

    customer_id = column.identifier("The customer's id.", key=True)
    external_id = column.identifier("The customer's id in the sender's books; the same id where none is given.")
    name = column.text("What the customer is called on an invoice.")


class Subscriptions(dy.Schema):
    """One row per subscription: one customer on one product (rule 3.1)."""

    subscription_id = column.identifier("The subscription's id.", key=True)
    customer_id = column.identifier("Who pays.")
    product = column.identifier("What is subscribed to.")
    started_at = column.instant("First instant.")
    ends_at = column.instant("Asked end; null where there is none.", nullable=True)
    end = column.text("`at_once`: at `ends_at`. `period_end`: with the period that holds `ends_at` (rule 3.4).")
    interval = column.text("`day`, `week`, `month`, `quarter` or `year`.")
    interval_count = column.count("How many intervals make a period.")
    anchor = column.instant("Where the boundaries are counted from (rule 3.2).")
    timezone = column.text("Where the boundaries are local (rule 3.2).")

    @dy.rule()
    def ends_after_it_starts(cls) -> pl.Expr:
        return cls.ends_at.col.is_null() | (cls.ends_at.col > cls.started_at.col)


class Products(dy.Schema):
    """One row per product: what is sold."""

    product = column.identifier("The product.", key=True)
    name = column.text("What it is called on an invoice.")
    currency = column.text("ISO 4217 code of all its prices.")


class FixedPrices(dy.Schema):
    """One row per fixed price of a product: an amount a period."""

    product = column.identifier("The product.", key=True)
    price_id = column.identifier("The price.", key=True)
    currency = column.text("ISO 4217 code.")
    amount_minor = column.amount_minor("Amount a period.")
    in_advance = column.flag("Billed when the period starts; else when it ends.")


class MeteredPrices(dy.Schema):
    """One row per metered price of a product."""

    product = column.identifier("The product.", key=True)
    price_id = column.identifier("The price.", key=True)
    meter = column.identifier("What is measured.")
    currency = column.text("ISO 4217 code.")
    volume = column.flag("All units at the price of the tier of the total; else each unit at its own tier's price.")
    included = column.quantity("Units that cost nothing, each period.")
    cap_minor = column.amount_minor("Most that a period can cost; null where there is no cap.", nullable=True)


class Tiers(dy.Schema):
    """One row per tier of a metered price: the units above `over`, up to and with `up_to` (rule 4.2)."""

    product = column.identifier("The product.", key=True)
    price_id = column.identifier("The price.", key=True)
    over = column.quantity("Units below this tier.", key=True)
    up_to = column.quantity("Last unit of this tier; null where it has no end.", nullable=True)
    unit_amount_minor = column.unit_amount_minor("Price of one unit.")
    flat_amount_minor = column.unit_amount_minor("Paid once when the tier is reached.")

    @dy.rule()
    def tier_is_not_empty(cls) -> pl.Expr:
        return cls.up_to.col.is_null() | (cls.over.col < cls.up_to.col)


class Benefits(dy.Schema):
    """One row per meter credits benefit of a product: units granted at the start of every cycle."""

    product = column.identifier("The product.", key=True)
    benefit_id = column.identifier("The benefit.", key=True)
    meter = column.identifier("Whose units are granted.")
    units = column.quantity("Units a cycle.")
    rollover = column.flag("Unused units pass to the next cycle, truncated to whole units (rule 5.5).")
    priority = column.count("Lower is used first (rule 5.3).")


class RejectedRows(dy.Schema):
    """One row per customer or subscription that cannot be used, as it was in its file."""

    path = column.text("The file.")
    row = column.count("Row in the file, from 1; in JSONL its line.")
    explanation = column.text("What was wrong, what was expected, how to mend it.")
    record = column.text("The row as JSON.")
