"""What the engine finds: usage, rated lines, credits, invoices."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from meterhouse.tables import columns as column


class BillingPeriods(dy.Schema):
    """One row per cycle of a subscription that has begun."""

    subscription_id = column.identifier("The subscription.", key=True)
    cycle = column.count("0 for the first.", key=True)
    customer_id = column.identifier("Who pays.")
    product = column.identifier("What is subscribed to.")
    period_start = column.instant("First instant.")
    period_end = column.instant("First instant after it.")
    is_last = column.flag("The subscription ends with this cycle.")

    @dy.rule()
    def period_is_not_empty(cls) -> pl.Expr:
        return cls.period_start.col < cls.period_end.col


class UsageDaily(dy.Schema):
    """Mergeable states of a meter: one row per meter, customer, day, slice and group."""

    meter = column.identifier("The meter.", key=True)
    customer_id = column.identifier("The customer; as sent where unknown, empty where none was sent.", key=True)
    date = column.day("Day in UTC; the partition.", key=True)
    slice_start = column.instant(
        "Start of the slice: the day's start, or a boundary of a period or a meter's change within the day.", key=True
    )
    attributed = column.flag("The customer is known; a stranger's id may look like a customer's (rule 1.5).", key=True)
    group_json = column.identifier(
        "The values that the meter is grouped by, as canonical JSON: `{}` for a meter without groups (rule 2.3).",
        key=True,
    )
    events = column.count("Events that matched the filter and counted.")
    skipped = column.count("Events that matched, but whose value is missing or of the wrong type (rule 2.2).")
    sum = column.quantity("Sum of the values.", nullable=True)
    sum_by_seconds = column.quantity(
        "Sum of each value x the whole seconds from the day's start to its event; for `weighted_sum`.", nullable=True
    )
    sum_by_microseconds = column.quantity(
        "Sum of each value x the microseconds of its event beyond the whole second; for `weighted_sum`.", nullable=True
    )
    min = column.quantity("Least value.", nullable=True)
    max = column.quantity("Greatest value.", nullable=True)
    last = column.quantity("Value of the last event.", nullable=True)
    last_timestamp = column.instant("Its time.", nullable=True)
    last_received_at = column.instant("When it was received.", nullable=True)
    last_event_id = column.identifier("Its id.", nullable=True)
    last_source = column.identifier("Its source.", nullable=True)
    distinct_values = dy.List(
        dy.String(), nullable=True, description="The distinct values as text, sorted; for `unique`."
    )
    sorted_values = dy.List(
        dy.Decimal(38, 12), nullable=True, description="Every value, sorted, equal ones as often; for `percentile`."
    )


class SentIds(dy.Schema):
    """The ids that the events of a day were sent with: a change of customers makes only the days of their ids stale."""

    date = column.day("Day in UTC; the partition.", key=True)
    customer_id = column.identifier("The customer's id, as sent; empty where none was.", key=True)
    external_customer_id = column.identifier("The customer's id in the sender's books, likewise.", key=True)
    subscription_id = column.identifier("The subscription, likewise.", key=True)


class Usage(dy.Schema):
    """What a meter measured for a subscription in one period."""

    subscription_id = column.identifier("The subscription.", key=True)
    cycle = column.count("The cycle.", key=True)
    meter = column.identifier("The meter.", key=True)
    customer_id = column.identifier("Who used.")
    period_start = column.instant("First instant.")
    period_end = column.instant("First instant after it.")
    definition = column.identifier(
        "Of the meter that measured it; null where the catalog had it no more.", nullable=True
    )
    quantity = column.quantity(
        "The quantity; null where max, min, avg, last or percentile had no event.", nullable=True
    )
    events = column.count("Events counted.")
    skipped = column.count("Events skipped.")


class UsageByGroup(dy.Schema):
    """A quantity of `usage` split by the groups of its meter (rule 2.3). Only groups that had events have a row."""

    subscription_id = column.identifier("The subscription.", key=True)
    cycle = column.count("The cycle.", key=True)
    meter = column.identifier("The meter.", key=True)
    group_json = column.identifier("The group: its properties' values as canonical JSON.", key=True)
    customer_id = column.identifier("Who used.")
    period_start = column.instant("First instant.")
    period_end = column.instant("First instant after it.")
    quantity = column.quantity("The group's own quantity, not rounded; null where no value counted.", nullable=True)
    events = column.count("Events counted.")
    skipped = column.count("Events skipped.")


class Billables(dy.Schema):
    """What of a usage is to be priced, per metered price: quantity, less included units, less credits (rule 4.6).

    Stands between the stages and is not stored.
    """

    subscription_id = column.identifier("The subscription.", key=True)
    cycle = column.count("The cycle.", key=True)
    price_id = column.identifier("The metered price.", key=True)
    product = column.identifier("The product that the price belongs to.")
    meter = column.identifier("The meter.")
    quantity = column.quantity("What was measured; null where there is nothing to bill.", nullable=True)
    included = column.quantity("Of it, covered by included units.")
    credited = column.quantity("Of it, covered by credits.")
    billed = column.quantity("Of it, to be priced; never negative (rule 4.3).")


class RatedSteps(dy.Schema):
    """One step of pricing, before it has an invoice. Stands between the stages and is not stored."""

    subscription_id = column.identifier("The subscription.", key=True)
    cycle = column.count("The cycle.", key=True)
    price_id = column.identifier("The metered price.", key=True)
    step = column.count("The step, from 1.", key=True)
    over = column.quantity("Units below the tier.")
    up_to = column.quantity("Last unit of the tier; null where it has no end.", nullable=True)
    quantity = column.quantity("Units priced here.")
    unit_amount_minor = column.unit_amount_minor("Price of one unit.")
    flat_amount_minor = column.unit_amount_minor("Paid once for reaching the tier.")
    amount_minor_unrounded = column.amount_minor_unrounded("quantity x unit amount + flat amount, exact.")


class Charges(dy.Schema):
    """What a metered price costs in one cycle: its billable, its steps added up, the cap. Not stored."""

    subscription_id = column.identifier("The subscription.", key=True)
    cycle = column.count("The cycle.", key=True)
    price_id = column.identifier("The metered price.", key=True)
    product = column.identifier("The product that the price belongs to.")
    meter = column.identifier("The meter.")
    currency = column.text("ISO 4217 code.")
    quantity = column.quantity("What was measured; null where there is nothing to bill.", nullable=True)
    included = column.quantity("Of it, covered by included units.")
    credited = column.quantity("Of it, covered by credits.")
    billed = column.quantity("Of it, to be priced.")
    unpriced = column.quantity("Of it, above the last tier, so that no price bills it (rule 8.6).")
    uncapped_minor_unrounded = column.amount_minor_unrounded("Sum of the steps, before the cap.")
    amount_minor_unrounded = column.amount_minor_unrounded("After the cap.")


class BilledFees(dy.Schema):
    """Fees on final invoices, one row per fee; an invoice without one has a row of nulls. Not stored."""

    subscription_id = column.identifier("The subscription.")
    invoice_cycle = column.count("The invoice's cycle.")
    price_id = column.identifier("The fixed price.", nullable=True)
    period_start = column.instant("Service period.", nullable=True)
    period_end = column.instant("Its end.", nullable=True)


class CreditDemand(dy.Schema):
    """What a cycle wants from the credits of one meter. Stands between the stages and is not stored."""

    subscription_id = column.identifier("The subscription.", key=True)
    cycle = column.count("The cycle.", key=True)
    meter = column.identifier("The meter.", key=True)
    customer_id = column.identifier("Whose.")
    product = column.identifier("The product, whose benefits grant the units.")
    period_start = column.instant("First instant of the cycle.")
    period_end = column.instant("First instant after it.")
    is_closed = column.flag("The cycle is over: what is left is carried over or forfeited.")
    is_last = column.flag("The subscription ends with this cycle: nothing is carried over.")
    wanted = column.quantity("Units that credits may cover; never negative.")


class CreditsCarried(dy.Schema):
    """Units carried over into a cycle from one that is already final. Stands between the stages and is not stored."""

    subscription_id = column.identifier("The subscription.", key=True)
    meter = column.identifier("The meter.", key=True)
    cycle = column.count("The cycle that they are carried into.")
    units = column.quantity("How many; whole units (rule 5.5).")


class RatedLines(dy.Schema):
    """One step of pricing: so many units at one tier's price."""

    invoice_id = column.identifier("The invoice.", key=True)
    line_no = column.count("The invoice line.", key=True)
    step = column.count("The step, from 1.", key=True)
    over = column.quantity("Units below the tier.")
    up_to = column.quantity("Last unit of the tier; null where it has no end.", nullable=True)
    quantity = column.quantity("Units priced here.")
    unit_amount_minor = column.unit_amount_minor("Price of one unit.")
    flat_amount_minor = column.unit_amount_minor("Paid once for reaching the tier.")
    amount_minor_unrounded = column.amount_minor_unrounded("quantity x unit amount + flat amount, exact.")


class InvoiceLines(dy.Schema):
    """What the customer sees: a sum of rated lines, capped, rounded once (rule 6.2)."""

    invoice_id = column.identifier("The invoice.", key=True)
    line_no = column.count("From 1.", key=True)
    kind = column.text("`fixed` or `usage`.")
    price_id = column.identifier("The price.")
    meter = column.identifier("The meter; null for a fixed price.", nullable=True)
    description = column.text("In words.")
    period_start = column.instant("Service period.")
    period_end = column.instant("Its end.")
    quantity = column.quantity("What was measured.", nullable=True)
    included = column.quantity("Of it, covered by included units.")
    credited = column.quantity("Of it, covered by credits.")
    billed = column.quantity("Of it, priced.")
    unpriced = column.quantity("Of it, above the last tier, so that no price bills it (rule 8.6).")
    uncapped_minor_unrounded = column.amount_minor_unrounded("Sum of the rated lines, before the cap.")
    amount_minor_unrounded = column.amount_minor_unrounded("After the cap.")
    amount_minor = column.amount_minor("Rounded once.")
    currency = column.text("ISO 4217 code.")


class Invoices(dy.Schema):
    """One row per invoice: the usage of the cycle that ended and the fees of the cycle that begins."""

    invoice_id = column.identifier("Derived from subscription, cycle and revision (rule 7.2).", key=True)
    subscription_id = column.identifier("The subscription.")
    customer_id = column.identifier("Who pays.")
    customer_name = column.text("What the customer is called; on a final invoice, was called when it became final.")
    external_id = column.identifier("The customer's id in the sender's books, likewise.")
    product = column.identifier("What is subscribed to.")
    cycle = column.count("0 at the start of the subscription, n at the end of its n-th cycle.")
    revision = column.count("0 for the first.")
    status = column.text("`draft` or `finalized`.")
    number = column.identifier("Gapless in its series; null for a draft.", nullable=True)
    sequence = dy.Int64(nullable=True, min=1, description="The number's place in its series.")
    issued_at = column.instant("The instant that it bills: the boundary between the two cycles.")
    finalized_at = column.instant("Clock of the run that finalized it.", nullable=True)
    due_at = column.instant("When it is due; null for a draft.", nullable=True)
    currency = column.text("ISO 4217 code.")
    lines = column.count("How many lines.")
    total_minor = column.amount_minor("Sum of the lines.")
    is_zero = column.flag("The total is 0 (rule 7.5).")
    month = column.text("Month of issue in the project's timezone, `YYYY-MM`; the partition.")

    @dy.rule()
    def finalized_invoice_has_a_number(cls) -> pl.Expr:
        return (cls.status.col == "finalized") == cls.number.col.is_not_null()


class CreditLedger(dy.Schema):
    """The append-only list of credit entries: balances are sums of `units` (rule 5.7)."""

    entry_id = column.identifier("Derived from grant, kind and cycle.", key=True)
    grant_id = column.identifier("The grant.")
    customer_id = column.identifier("Whose.")
    subscription_id = column.identifier("The subscription that granted it.")
    meter = column.identifier("Whose units.")
    cycle = column.count("The cycle.")
    kind = column.text("`granted`, `used`, `rolled_over`, `forfeited`.")
    origin = column.text("Where the grant came from: `benefit` or `rollover`.")
    benefit_id = column.identifier("The benefit; `rollover` for units carried over.")
    units = column.quantity("Signed: granted is positive, the others negative.")
    balance_before = column.quantity("Of the customer's cycle and meter, before the entry.")
    balance_after = column.quantity("After it.")
    rank = column.count("Place in the order of burn-down (rule 5.3).")
    rollover = column.flag("What is left of the grant passes to the next cycle.")
    occurred_at = column.instant("When it takes effect.")
    period_start = column.instant("First instant of the cycle.")
    period_end = column.instant("First instant after it.")
    invoice_id = column.identifier("The invoice of the cycle, with which the entry becomes final.", nullable=True)


class Estimates(dy.Schema):
    """The same computation on the cycle that is still open (rule 7.4)."""

    subscription_id = column.identifier("The subscription.", key=True)
    price_id = column.identifier("The price.", key=True)
    customer_id = column.identifier("Who pays.")
    meter = column.identifier("The meter.")
    period_start = column.instant("First instant of the open cycle.")
    period_end = column.instant("First instant after it.")
    quantity = column.quantity("Measured so far.", nullable=True)
    credited = column.quantity("Of it, covered by credits.")
    billed = column.quantity("Of it, priced.")
    amount_minor = column.amount_minor("What it would cost if the cycle ended now.")
    currency = column.text("ISO 4217 code.")


class Runs(dy.Schema):
    """One row per clock and inputs that were billed; the same run again adds none."""

    run_id = column.identifier("Derived from clock and inputs.", key=True)
    as_of = column.instant("The run's clock.")
    inputs = column.text("SHA-256 of everything that was read: files landed, definitions, settings.")
    events = column.count("Events in the warehouse.")
    drafts = column.count("Drafts after the run.")
    finalized = column.count("Invoices that were finalized with this clock.")
    engine = column.text("Version of meterhouse.")


class Fingerprints(dy.Schema):
    """What each stored part was made from: equal inputs need no second computation."""

    part_table = column.identifier("The table.", key=True)
    part = column.identifier("The partition, or `all`.", key=True)
    inputs = column.text("SHA-256 of the inputs.")


class Exports(dy.Schema):
    """One row per export batch (rule 9)."""

    batch_id = column.identifier("Derived from the content.", key=True)
    sequence = column.count("Place in the order of batches, from 1.")
    month = column.text("Month of issue of its invoices, `YYYY-MM`.")
    supersedes = column.identifier("The batch of the same month before it; null for the first.", nullable=True)
    through = column.instant("When the last of its invoices became final.")
    invoices = column.count("How many invoices.")
    manifest_sha256 = column.text("Checksum of its manifest.")
