-- Every usage line of a draft, and every estimate, follows from usage, prices, tiers and credits.
WITH stored AS (
    SELECT
        subscription_id, cycle, price_id, meter, currency, quantity, included, credited, billed, unpriced,
        uncapped_minor_unrounded, amount_minor_unrounded, amount_minor, true AS is_line
    FROM usage_lines WHERE NOT is_final
    UNION ALL
    -- An estimate does not say what is included, above the last tier, or before rounding.
    SELECT
        e.subscription_id, c.cycle, e.price_id, e.meter, e.currency, e.quantity, NULL, e.credited, e.billed, NULL,
        NULL, NULL, e.amount_minor, false
    FROM estimates AS e LEFT JOIN open_cycles AS c
        ON c.subscription_id = e.subscription_id AND c.period_start = e.period_start AND c.period_end = e.period_end
)
SELECT
    subscription_id, cycle, price_id, s.is_line,
    s.quantity AS stored_quantity, a.quantity,
    s.included AS stored_included, a.included,
    s.credited AS stored_credited, a.credited,
    s.billed AS stored_billed, a.billed,
    s.unpriced AS stored_unpriced, a.unpriced,
    s.uncapped_minor_unrounded AS stored_uncapped_minor_unrounded, a.uncapped_minor_unrounded,
    s.amount_minor_unrounded AS stored_amount_minor_unrounded, a.amount_minor_unrounded,
    s.amount_minor AS stored_amount_minor, a.amount_minor,
    s.is_line IS DISTINCT FROM a.is_closed
    OR s.meter IS DISTINCT FROM a.meter
    OR s.currency IS DISTINCT FROM a.currency
    OR s.quantity IS DISTINCT FROM a.quantity
    OR s.credited IS DISTINCT FROM a.credited
    OR s.billed IS DISTINCT FROM a.billed
    OR s.amount_minor IS DISTINCT FROM a.amount_minor
    OR s.is_line AND (
        s.included IS DISTINCT FROM a.included
        OR s.unpriced IS DISTINCT FROM a.unpriced
        OR s.uncapped_minor_unrounded IS DISTINCT FROM a.uncapped_minor_unrounded
        OR s.amount_minor_unrounded IS DISTINCT FROM a.amount_minor_unrounded
    ) AS differs
FROM stored AS s FULL JOIN (FROM charges_again WHERE NOT is_final) AS a USING (subscription_id, cycle, price_id)
