-- One row per month of issue, status (finalized or draft), currency and meter; fixed fees have no meter.
-- `amount_minor` is in minor units, `amount` in major units, both exact.
WITH billed AS (
    SELECT i.month, i.status, i.customer_id, l.*
    FROM invoice_lines AS l JOIN invoices AS i USING (invoice_id)
    UNION ALL
    SELECT i.month, i.status, i.customer_id, l.*
    FROM draft_invoice_lines AS l JOIN draft_invoices AS i USING (invoice_id)
)
SELECT
    month,
    status,
    currency,
    kind,
    meter,
    count(DISTINCT customer_id) AS customers,
    count(DISTINCT invoice_id) AS invoices,
    sum(quantity) AS quantity,
    sum(credited) AS credited,
    sum(billed) AS billed,
    sum(amount_minor)::BIGINT AS amount_minor,
    sum(amount_minor)::DECIMAL(28, 0) * any_value(minor_unit) AS amount
FROM billed JOIN currencies USING (currency)
GROUP BY month, status, currency, kind, meter
ORDER BY month, status DESC, currency, kind, meter
