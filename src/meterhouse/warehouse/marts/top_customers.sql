-- One row per customer and currency, largest first: what finalized invoices billed, and what drafts would.
WITH billed AS (
    SELECT customer_id, currency, status, total_minor FROM invoices
    UNION ALL
    SELECT customer_id, currency, status, total_minor FROM draft_invoices
),
totals AS (
    SELECT
        customer_id,
        currency,
        count(*) FILTER (status = 'finalized') AS invoices,
        coalesce(sum(total_minor) FILTER (status = 'finalized'), 0)::BIGINT AS amount_minor,
        coalesce(sum(total_minor) FILTER (status = 'draft'), 0)::BIGINT AS draft_amount_minor
    FROM billed
    GROUP BY customer_id, currency
)
SELECT
    rank() OVER (PARTITION BY t.currency ORDER BY t.amount_minor DESC) AS place,
    t.customer_id,
    c.external_id,
    c.name,
    t.currency,
    t.invoices,
    t.amount_minor,
    t.amount_minor::DECIMAL(28, 0) * u.minor_unit AS amount,
    t.draft_amount_minor,
    t.draft_amount_minor::DECIMAL(28, 0) * u.minor_unit AS draft_amount
FROM totals AS t
JOIN currencies AS u USING (currency)
LEFT JOIN customers AS c USING (customer_id)
ORDER BY t.currency, place, t.customer_id
