-- Every fee of a draft is the fixed price of a cycle: billed where the cycle begins, or where it ended.
WITH due AS (
    SELECT
        c.subscription_id,
        CASE WHEN p.in_advance THEN c.cycle ELSE c.cycle + 1 END AS invoice_cycle,
        p.price_id, c.period_start, c.period_end, p.currency, p.amount_minor
    FROM billing_periods AS c JOIN fixed_prices AS p USING (product)
    LEFT JOIN billed_cycles AS b USING (subscription_id, cycle)
    WHERE p.in_advance OR b.subscription_id IS NOT NULL
),
-- A fee in advance that a product gets later starts no invoice before one that is final.
again AS (
    SELECT d.*
    FROM due AS d ANTI JOIN invoices AS i ON i.subscription_id = d.subscription_id AND i.cycle >= d.invoice_cycle
),
stored AS (
    SELECT i.subscription_id, i.cycle AS invoice_cycle, l.*
    FROM all_lines AS l LEFT JOIN draft_invoices AS i USING (invoice_id)
    WHERE l.kind = 'fixed' AND NOT l.is_final
)
SELECT
    s.invoice_id, s.line_no, subscription_id, invoice_cycle, price_id, period_start,
    s.period_end AS stored_period_end, a.period_end,
    s.amount_minor AS stored_amount_minor, a.amount_minor,
    s.period_end IS DISTINCT FROM a.period_end
    OR s.currency IS DISTINCT FROM a.currency
    OR s.amount_minor IS DISTINCT FROM a.amount_minor
    OR s.amount_minor_unrounded IS DISTINCT FROM a.amount_minor AS differs
FROM stored AS s FULL JOIN again AS a USING (subscription_id, invoice_cycle, price_id, period_start)
