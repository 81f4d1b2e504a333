"""What the engine finds: usage, rated lines, credits, invoices."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from meterhouse.tables.columns import (
    amount_minor,
    amount_minor_unrounded,
    count,
    day,
    flag,
    identifier,
    instant,
    quantity,
    text,
    unit_amount_minor,
)


class BillingPeriods(dy.Schema):
    """One row per cycle of a subscription that has begun."""

    subscription_id = identifier("The subscription.", key=True)
    cycle = count("0 for the first.", key=True)
    customer_id = identifier("Who pays.")
    product = identifier("What is subscribed to.")
    period_start = instant("First instant.")
    period_end = instant("First instant after it.")
    is_last = flag("The subscription ends with this cycle.")

    @dy.rule()
    def period_is_not_empty(cls) -> pl.Expr:
        return cls.period_start.col < cls.period_end.col


class UsageDaily(dy.Schema):
    """Mergeable states of a meter: one row per meter, customer, day and slice."""

    meter = identifier("The meter.", key=True)
    customer_id = identifier("The customer; as sent where unknown, empty where none was sent.", key=True)
    date = day("Day in UTC; the partition.", key=True)
    slice_start = instant("Start of the slice: the day's start, or a period boundary within the day.", key=True)
    attributed = flag("The customer is known (rule 1.5).")
    events = count("Events that matched the filter and counted.")
    skipped = count("Events that matched, but whose value is missing or of the wrong type (rule 2.2).")
    sum = quantity("Sum of the values.", nullable=True)
    min = quantity("Least value.", nullable=True)
    max = quantity("Greatest value.", nullable=True)
    last = quantity("Value of the last event.", nullable=True)
    last_timestamp = instant("Its time.", nullable=True)
    last_received_at = instant("When it was received.", nullable=True)
    last_event_id = identifier("Its id.", nullable=True)
    distinct_values = dy.List(
        dy.String(), nullable=True, description="The distinct values as text, sorted; for `unique`."
    )


class Usage(dy.Schema):
    """What a meter measured for a subscription in one period."""

    subscription_id = identifier("The subscription.", key=True)
    cycle = count("The cycle.", key=True)
    meter = identifier("The meter.", key=True)
    customer_id = identifier("Who used.")
    period_start = instant("First instant.")
    period_end = instant("First instant after it.")
    quantity = quantity("The quantity; null where max, min, avg or last had no event.", nullable=True)
    events = count("Events counted.")
    skipped = count("Events skipped.")


class Billables(dy.Schema):
    """What of a usage is to be priced, per metered price: quantity, less included units, less credits (rule 4.6).

    Stands between the stages and is not stored.
    """

    subscription_id = identifier("The subscription.", key=True)
    cycle = count("The cycle.", key=True)
    price_id = identifier("The metered price.", key=True)
    product = identifier("The product that the price belongs to.")
    meter = identifier("The meter.")
    quantity = quantity("What was measured; null where there is nothing to bill.", nullable=True)
    included = quantity("Of it, covered by included units.")
    credited = quantity("Of it, covered by credits.")
    billed = quantity("Of it, to be priced; never negative (rule 4.3).")


class RatedSteps(dy.Schema):
    """One step of pricing, before it has an invoice. Stands between the stages and is not stored."""

    subscription_id = identifier("The subscription.", key=True)
    cycle = count("The cycle.", key=True)
    price_id = identifier("The metered price.", key=True)
    step = count("The step, from 1.", key=True)
    over = quantity("Units below the tier.")
    up_to = quantity("Last unit of the tier; null where it has no end.", nullable=True)
    quantity = quantity("Units priced here.")
    unit_amount_minor = unit_amount_minor("Price of one unit.")
    flat_amount_minor = unit_amount_minor("Paid once for reaching the tier.")
    amount_minor_unrounded = amount_minor_unrounded("quantity x unit amount + flat amount, exact.")


class Charges(dy.Schema):
    """What a metered price costs in one cycle: its billable, its steps added up, the cap. Not stored."""

    subscription_id = identifier("The subscription.", key=True)
    cycle = count("The cycle.", key=True)
    price_id = identifier("The metered price.", key=True)
    product = identifier("The product that the price belongs to.")
    meter = identifier("The meter.")
    currency = text("ISO 4217 code.")
    quantity = quantity("What was measured; null where there is nothing to bill.", nullable=True)
    included = quantity("Of it, covered by included units.")
    credited = quantity("Of it, covered by credits.")
    billed = quantity("Of it, to be priced.")
    unpriced = quantity("Of it, above the last tier, so that no price bills it (rule 8.6).")
    uncapped_minor_unrounded = amount_minor_unrounded("Sum of the steps, before the cap.")
    amount_minor_unrounded = amount_minor_unrounded("After the cap.")


class CreditDemand(dy.Schema):
    """What a cycle wants from the credits of one meter. Stands between the stages and is not stored."""

    subscription_id = identifier("The subscription.", key=True)
    cycle = count("The cycle.", key=True)
    meter = identifier("The meter.", key=True)
    customer_id = identifier("Whose.")
    product = identifier("The product, whose benefits grant the units.")
    period_start = instant("First instant of the cycle.")
    period_end = instant("First instant after it.")
    is_closed = flag("The cycle is over: what is left is carried over or forfeited.")
    is_last = flag("The subscription ends with this cycle: nothing is carried over.")
    wanted = quantity("Units that credits may cover; never negative.")


class CreditsCarried(dy.Schema):
    """Units carried over into a cycle from one that is already final. Stands between the stages and is not stored."""

    subscription_id = identifier("The subscription.", key=True)
    meter = identifier("The meter.", key=True)
    cycle = count("The cycle that they are carried into.")
    units = quantity("How many; whole units (rule 5.5).")


class RatedLines(dy.Schema):
    """One step of pricing: so many units at one tier's price."""

    invoice_id = identifier("The invoice.", key=True)
    line_no = count("The invoice line.", key=True)
    step = count("The step, from 1.", key=True)
    over = quantity("Units below the tier.")
    up_to = quantity("Last unit of the tier; null where it has no end.", nullable=True)
    quantity = quantity("Units priced here.")
    unit_amount_minor = unit_amount_minor("Price of one unit.")
    flat_amount_minor = unit_amount_minor("Paid once for reaching the tier.")
    amount_minor_unrounded = amount_minor_unrounded("quantity x unit amount + flat amount, exact.")


class InvoiceLines(dy.Schema):
    """What the customer sees: a sum of rated lines, capped, rounded once (rule 6.2)."""

    invoice_id = identifier("The invoice.", key=True)
    line_no = count("From 1.", key=True)
    kind = text("`fixed` or `usage`.")
    price_id = identifier("The price.")
    meter = identifier("The meter; null for a fixed price.", nullable=True)
    description = text("In words.")
    period_start = instant("Service period.")
    period_end = instant("Its end.")
    quantity = quantity("What was measured.", nullable=True)
    included = quantity("Of it, covered by included units.")
    credited = quantity("Of it, covered by credits.")
    billed = quantity("Of it, priced.")
    unpriced = quantity("Of it, above the last tier, so that no price bills it (rule 8.6).")
    uncapped_minor_unrounded = amount_minor_unrounded("Sum of the rated lines, before the cap.")
    amount_minor_unrounded = amount_minor_unrounded("After the cap.")
    amount_minor = amount_minor("Rounded once.")
    currency = text("ISO 4217 code.")


class Invoices(dy.Schema):
    """One row per invoice: the usage of the cycle that ended and the fees of the cycle that begins."""

    invoice_id = identifier("Derived from subscription, cycle and revision (rule 7.2).", key=True)
    subscription_id = identifier("The subscription.")
    customer_id = identifier("Who pays.")
    product = identifier("What is subscribed to.")
    cycle = count("0 at the start of the subscription, n at the end of its n-th cycle.")
    revision = count("0 for the first.")
    status = text("`draft` or `finalized`.")
    number = identifier("Gapless in its series; null for a draft.", nullable=True)
    sequence = dy.Int64(nullable=True, min=1, description="The number's place in its series.")
    issued_at = instant("The instant that it bills: the boundary between the two cycles.")
    finalized_at = instant("Clock of the run that finalized it.", nullable=True)
    due_at = instant("When it is due; null for a draft.", nullable=True)
    currency = text("ISO 4217 code.")
    lines = count("How many lines.")
    total_minor = amount_minor("Sum of the lines.")
    is_zero = flag("The total is 0 (rule 7.5).")
    month = text("Month of issue, `YYYY-MM`; the partition.")

    @dy.rule()
    def finalized_invoice_has_a_number(cls) -> pl.Expr:
        return (cls.status.col == "finalized") == cls.number.col.is_not_null()


class CreditLedger(dy.Schema):
    """The append-only list of credit entries: balances are sums of `units` (rule 5.7)."""

    entry_id = identifier("Derived from grant, kind and cycle.", key=True)
    grant_id = identifier("The grant.")
    customer_id = identifier("Whose.")
    subscription_id = identifier("The subscription that granted it.")
    meter = identifier("Whose units.")
    cycle = count("The cycle.")
    kind = text("`granted`, `used`, `rolled_over`, `forfeited`.")
    origin = text("Where the grant came from: `benefit` or `rollover`.")
    benefit_id = identifier("The benefit; `rollover` for units carried over.")
    units = quantity("Signed: granted is positive, the others negative.")
    balance_before = quantity("Of the customer's cycle and meter, before the entry.")
    balance_after = quantity("After it.")
    rank = count("Place in the order of burn-down (rule 5.3).")
    rollover = flag("What is left of the grant passes to the next cycle.")
    occurred_at = instant("When it takes effect.")
    period_start = instant("First instant of the cycle.")
    period_end = instant("First instant after it.")
    invoice_id = identifier("The invoice whose line it lowered; for `used`.", nullable=True)


class Estimates(dy.Schema):
    """The same computation on the cycle that is still open (rule 7.4)."""

    subscription_id = identifier("The subscription.", key=True)
    price_id = identifier("The price.", key=True)
    customer_id = identifier("Who pays.")
    meter = identifier("The meter.")
    period_start = instant("First instant of the open cycle.")
    period_end = instant("First instant after it.")
    quantity = quantity("Measured so far.", nullable=True)
    credited = quantity("Of it, covered by credits.")
    billed = quantity("Of it, priced.")
    amount_minor = amount_minor("What it would cost if the cycle ended now.")
    currency = text("ISO 4217 code.")


class Runs(dy.Schema):
    """One row per run that changed something."""

    run_id = identifier("Derived from clock and inputs.", key=True)
    as_of = instant("The run's clock.")
    inputs = text("Fingerprint of everything that was read.")
    days_metered = count("Days metered again.")
    drafts = count("Drafts after the run.")
    finalized = count("Invoices finalized by the run.")
    engine = text("Version of meterhouse.")


class Fingerprints(dy.Schema):
    """What each stored part was made from: equal inputs need no second computation."""

    part_table = identifier("The table.", key=True)
    part = identifier("The partition, or `all`.", key=True)
    inputs = text("SHA-256 of the inputs.")


class Exports(dy.Schema):
    """One row per export batch."""

    batch_id = identifier("Derived from the content.", key=True)
    sequence = count("Place in the order of batches.")
    previous_batch = identifier("The batch before; null for the first.", nullable=True)
    through = instant("Clock of the tables exported.")
    manifest_sha256 = text("Checksum of the manifest.")
