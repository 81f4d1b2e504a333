-- One row per meter, customer and reason why usage is not billed; units above the last tier have a row per invoice line.
-- So has usage that came after its invoice was final, and usage that went: its events were voided, or are another
-- customer's by now, but stay billed; their numbers are negative. `quantity` is null where the meter is neither a count nor a sum.
WITH lines AS (
    SELECT i.customer_id, i.number, l.* FROM invoice_lines AS l JOIN invoices AS i USING (invoice_id)
    UNION ALL
    SELECT i.customer_id, i.number, l.* FROM draft_invoice_lines AS l JOIN draft_invoices AS i USING (invoice_id)
),
-- What a final invoice bills, whatever its product is priced by now. Several prices may be on one meter.
final AS (
    SELECT u.*, i.invoice_id, i.number
    FROM usage AS u JOIN invoices AS i ON i.subscription_id = u.subscription_id AND i.cycle = u.cycle + 1
    SEMI JOIN invoice_lines AS l ON l.invoice_id = i.invoice_id AND l.meter = u.meter
),
used AS (
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
    ANTI JOIN final AS f ON u.attributed AND f.customer_id = u.customer_id AND f.meter = u.meter
        AND f.period_start <= u.slice_start AND u.slice_start < f.period_end
    WHERE u.events > 0
),
-- Under a changed definition a meter would count other events: those did not come late.
changed AS (
    SELECT
        f.invoice_id, f.number, f.meter, f.customer_id, f.period_start, f.period_end,
        coalesce(sum(u.events), 0)::BIGINT - f.events AS events,
        CASE m.aggregation
            WHEN 'count' THEN coalesce(sum(u.events), 0)::DECIMAL(38, 12) - f.quantity
            WHEN 'sum' THEN coalesce(sum(u.sum), 0::DECIMAL(38, 12)) - f.quantity
        END AS quantity
    FROM final AS f
    JOIN meters AS m USING (meter, definition)
    LEFT JOIN usage_daily AS u ON u.attributed AND u.customer_id = f.customer_id AND u.meter = f.meter
        AND f.period_start <= u.slice_start AND u.slice_start < f.period_end
    GROUP BY
        f.invoice_id, f.number, f.meter, f.customer_id, f.period_start, f.period_end, f.events, f.quantity,
        m.aggregation
),
unbilled AS (
    SELECT
        reason,
        meter,
        customer_id,
        NULL AS invoice_id,
        NULL AS number,
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
        CASE
            WHEN events > 0 THEN 'came after the invoice was final'
            WHEN events < 0 THEN 'went after the invoice was final'
            ELSE 'came and went after the invoice was final'
        END,
        meter,
        customer_id,
        invoice_id,
        number,
        (period_start AT TIME ZONE 'UTC')::DATE,
        ((period_end - INTERVAL 1 MICROSECOND) AT TIME ZONE 'UTC')::DATE,
        events,
        quantity
    FROM changed
    WHERE events <> 0 OR quantity <> 0
    UNION ALL
    SELECT
        'above the last tier',
        meter,
        customer_id,
        invoice_id,
        number,
        (period_start AT TIME ZONE 'UTC')::DATE,
        ((period_end - INTERVAL 1 MICROSECOND) AT TIME ZONE 'UTC')::DATE,
        NULL,
        unpriced
    FROM lines
    WHERE unpriced > 0
)
SELECT
    u.reason, u.meter, u.customer_id, c.external_id, u.invoice_id, u.number, u.first_day, u.last_day, u.events, u.quantity
FROM unbilled AS u LEFT JOIN customers AS c ON c.customer_id = u.customer_id AND u.reason <> 'unknown customer'
ORDER BY u.reason, u.meter, u.customer_id, u.first_day, u.invoice_id
