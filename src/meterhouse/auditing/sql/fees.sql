-- Every fee of a draft is the fixed price of a cycle: billed where the cycle begins, or where it ended, and only once.
WITH due AS (
    SELECT
        c.subscription_id,
        CASE WHEN p.in_advance THEN c.cycle ELSE c.cycle + 1 END AS invoice_cycle,
        p.price_id, c.period_start, c.period_end, p.currency, p.amount_minor
    FROM billing_periods AS c JOIN fixed_prices AS p USING (product)
    LEFT JOIN billed_cycles AS b USING (subscription_id, cycle)
    WHERE p.in_advance OR b.subscription_id IS NOT NULL
),
billed AS (
    SELECT i.subscription_id, l.price_id, l.period_start, l.period_end
    FROM invoice_lines AS l JOIN invoices AS i USING (invoice_id) WHERE l.kind = 'fixed'
),
last_final AS (SELECT subscription_id, max(cycle) AS cycle FROM invoices GROUP BY ALL),
billed_until AS (SELECT subscription_id, price_id, max(period_end) AS instant FROM billed GROUP BY ALL),
-- A fee that goes on where the last one ends, but whose own invoice is final, is on the next invoice.
on_invoice AS (
    SELECT
        d.* REPLACE (
            CASE WHEN d.invoice_cycle <= f.cycle AND d.period_start = u.instant THEN f.cycle + 1 ELSE d.invoice_cycle END
            AS invoice_cycle
        ),
        f.cycle AS last_final
    FROM due AS d
    ANTI JOIN billed AS b USING (subscription_id, price_id, period_start)
    LEFT JOIN last_final AS f USING (subscription_id)
    LEFT JOIN billed_until AS u USING (subscription_id, price_id)
),
-- A fee in advance that a product gets later starts no invoice before one that is final.
again AS (
    SELECT o.* EXCLUDE (last_final)
    FROM on_invoice AS o
    SEMI JOIN all_invoices AS i ON i.subscription_id = o.subscription_id AND i.cycle = o.invoice_cycle
    WHERE o.invoice_cycle > coalesce(o.last_final, -1)
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
