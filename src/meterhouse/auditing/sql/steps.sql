-- Every priced step of a draft follows from the tiers.
WITH stored AS (
    SELECT l.subscription_id, l.cycle, l.price_id, s.*
    FROM all_steps AS s LEFT JOIN usage_lines AS l
        ON l.invoice_id = s.invoice_id AND l.line_no = s.line_no AND NOT l.is_final
    WHERE NOT s.is_final
),
again AS (SELECT * FROM steps_again WHERE is_closed AND NOT is_final)
SELECT
    s.invoice_id, s.line_no, subscription_id, cycle, price_id, step,
    s.over AS stored_over, a.over,
    s.up_to AS stored_up_to, a.up_to,
    s.quantity AS stored_quantity, a.quantity,
    s.unit_amount_minor AS stored_unit_amount_minor, a.unit_amount_minor,
    s.flat_amount_minor AS stored_flat_amount_minor, a.flat_amount_minor,
    s.amount_minor_unrounded AS stored_amount_minor_unrounded, a.amount_minor_unrounded,
    s.over IS DISTINCT FROM a.over
    OR s.up_to IS DISTINCT FROM a.up_to
    OR s.quantity IS DISTINCT FROM a.quantity
    OR s.unit_amount_minor IS DISTINCT FROM a.unit_amount_minor
    OR s.flat_amount_minor IS DISTINCT FROM a.flat_amount_minor
    OR s.amount_minor_unrounded IS DISTINCT FROM a.amount_minor_unrounded AS differs
FROM stored AS s FULL JOIN again AS a USING (subscription_id, cycle, price_id, step)
