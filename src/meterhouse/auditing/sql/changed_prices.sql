-- Every final line is what today's price makes of its quantity and credits: its included units, steps and cap. A price
-- that was changed or dropped since is no fault: a final line stays as it was billed.
WITH stored_steps AS (
    SELECT
        invoice_id, line_no,
        list({'step': step, 'over': over, 'up_to': up_to, 'quantity': quantity, 'unit_amount_minor': unit_amount_minor,
            'flat_amount_minor': flat_amount_minor, 'amount_minor_unrounded': amount_minor_unrounded} ORDER BY step)
            AS steps
    FROM rated_lines GROUP BY ALL
),
steps AS (
    SELECT
        subscription_id, cycle, price_id,
        list({'step': step, 'over': over, 'up_to': up_to, 'quantity': quantity, 'unit_amount_minor': unit_amount_minor,
            'flat_amount_minor': flat_amount_minor, 'amount_minor_unrounded': amount_minor_unrounded} ORDER BY step)
            AS steps
    FROM steps_again WHERE is_final GROUP BY ALL
)
SELECT
    l.invoice_id, l.line_no, l.price_id,
    l.included AS stored_included, a.included,
    l.credited AS stored_credited, a.credited,
    l.unpriced AS stored_unpriced, a.unpriced,
    l.uncapped_minor_unrounded AS stored_uncapped_minor_unrounded, a.uncapped_minor_unrounded,
    l.amount_minor_unrounded AS stored_amount_minor_unrounded, a.amount_minor_unrounded,
    l.included IS DISTINCT FROM a.included
    OR l.credited IS DISTINCT FROM a.credited
    OR l.unpriced IS DISTINCT FROM a.unpriced
    OR l.uncapped_minor_unrounded IS DISTINCT FROM a.uncapped_minor_unrounded
    OR l.amount_minor_unrounded IS DISTINCT FROM a.amount_minor_unrounded
    OR s.steps IS DISTINCT FROM n.steps AS differs
FROM usage_lines AS l
LEFT JOIN (FROM charges_again WHERE is_final) AS a USING (subscription_id, cycle, price_id)
LEFT JOIN stored_steps AS s ON s.invoice_id = l.invoice_id AND s.line_no = l.line_no
LEFT JOIN steps AS n ON n.subscription_id = l.subscription_id AND n.cycle = l.cycle AND n.price_id = l.price_id
WHERE l.is_final
