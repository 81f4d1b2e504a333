-- Every line adds up, draft or final: its usage less included and credited units is billed, its steps make its amount,
-- only a cap of whole minor units lowers that, and it is rounded once.
WITH steps AS (
    SELECT
        invoice_id, line_no, is_final,
        sum(quantity) AS priced,
        sum(amount_minor_unrounded) AS amount,
        bool_and(amount_minor_unrounded = quantity * unit_amount_minor + flat_amount_minor) AS steps_are_exact
    FROM all_steps GROUP BY ALL
),
compared AS (
    SELECT
        l.*, u.quantity AS usage_quantity, u.subscription_id IS NOT NULL AS has_usage, s.priced, s.amount,
        s.steps_are_exact
    FROM (
        SELECT * FROM usage_lines
        UNION ALL BY NAME
        SELECT * FROM all_lines WHERE kind = 'fixed'
    ) AS l
    FULL JOIN steps AS s ON s.invoice_id = l.invoice_id AND s.line_no = l.line_no AND s.is_final = l.is_final
    LEFT JOIN usage AS u ON u.subscription_id = l.subscription_id AND u.cycle = l.cycle AND u.meter = l.meter
        AND u.period_start = l.period_start AND u.period_end = l.period_end
)
SELECT
    invoice_id, line_no, kind, quantity, usage_quantity, included, credited, billed, unpriced, priced,
    uncapped_minor_unrounded, amount AS steps_minor_unrounded, amount_minor_unrounded, amount_minor,
    NOT coalesce(
        CASE
            -- The setting may have changed since a line became final.
            WHEN is_final THEN
                amount_minor IN (half_away_from_zero(amount_minor_unrounded), half_even(amount_minor_unrounded))
            ELSE amount_minor = round_minor(amount_minor_unrounded)
        END
        AND (
            amount_minor_unrounded = uncapped_minor_unrounded
            OR amount_minor_unrounded < uncapped_minor_unrounded
            AND amount_minor_unrounded = trunc(amount_minor_unrounded)
        )
        AND CASE kind
            WHEN 'usage' THEN
                has_usage
                AND quantity IS NOT DISTINCT FROM usage_quantity
                AND billed = greatest(coalesce(quantity, 0), 0) - included - credited
                AND least(included, credited, billed, unpriced) >= 0
                AND billed = coalesce(priced, 0) + unpriced
                AND uncapped_minor_unrounded = coalesce(amount, 0)
                AND coalesce(steps_are_exact, true)
            ELSE amount IS NULL AND amount_minor_unrounded = amount_minor
        END,
        false
    ) AS differs
FROM compared
