-- One row per meter, customer and reason why usage is not billed; units above the last tier have a row per invoice line.
-- `quantity` is null where the meter is neither a count nor a sum.
WITH used AS (
    SELECT
        CASE
            WHEN NOT u.attributed AND u.customer_id = '' THEN 'no customer was sent'
            WHEN NOT u.attributed THEN 'unknown customer'
            WHEN NOT EXISTS (FROM subscriptions AS s WHERE s.customer_id = u.customer_id)
                THEN 'customer without subscription'
            WHEN NOT EXISTS (
                FROM subscriptions AS s JOIN metered_prices AS p USING (product)
                WHERE s.customer_id = u.customer_id AND p.meter = u.meter
            ) THEN 'no price for this meter'
            WHEN NOT EXISTS (
                FROM billing_periods AS b JOIN metered_prices AS p USING (product)
                WHERE b.customer_id = u.customer_id AND p.meter = u.meter
                    AND b.period_start <= u.slice_start AND u.slice_start < b.period_end
            ) THEN 'outside every billing period'
        END AS reason,
        u.*
    FROM usage_daily AS u
    WHERE u.events > 0
),
lines AS (
    SELECT i.customer_id, l.* FROM invoice_lines AS l JOIN invoices AS i USING (invoice_id)
    UNION ALL
    SELECT i.customer_id, l.* FROM draft_invoice_lines AS l JOIN draft_invoices AS i USING (invoice_id)
),
unbilled AS (
    SELECT
        reason,
        meter,
        customer_id,
        NULL AS invoice_id,
        min(date) AS first_day,
        max(date) AS last_day,
        sum(events)::BIGINT AS events,
        CASE any_value(aggregation)
            WHEN 'count' THEN sum(events)::DECIMAL(38, 12)
            WHEN 'sum' THEN coalesce(sum(sum), 0::DECIMAL(38, 12))
        END AS quantity
    FROM used LEFT JOIN meters USING (meter)
    WHERE reason IS NOT NULL
    GROUP BY reason, meter, customer_id
    UNION ALL
    SELECT
        'above the last tier',
        meter,
        customer_id,
        invoice_id,
        (period_start AT TIME ZONE 'UTC')::DATE,
        ((period_end - INTERVAL 1 MICROSECOND) AT TIME ZONE 'UTC')::DATE,
        NULL,
        unpriced
    FROM lines
    WHERE unpriced > 0
)
SELECT u.reason, u.meter, u.customer_id, c.external_id, u.invoice_id, u.first_day, u.last_day, u.events, u.quantity
FROM unbilled AS u LEFT JOIN customers AS c USING (customer_id)
ORDER BY u.reason, u.meter, u.customer_id, u.first_day, u.invoice_id
