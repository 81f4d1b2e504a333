-- A subscription has one invoice per boundary, none is missing, and it bears the boundary's instant and owner.
WITH boundaries AS (
    SELECT subscription_id, cycle, period_start AS instant FROM billing_periods WHERE cycle > 0
    UNION
    SELECT subscription_id, cycle + 1, period_end FROM billing_periods WHERE period_end <= clock()
),
ends AS (
    SELECT subscription_id, cycle + 1 AS cycle, period_end AS instant, customer_id, product FROM billing_periods
    UNION
    SELECT subscription_id, cycle, period_start, customer_id, product FROM billing_periods WHERE cycle = 0
),
billed AS (
    SELECT
        subscription_id, cycle,
        count(*) AS invoices,
        min(issued_at) AS issued_at,
        any_value(customer_id) AS customer_id,
        any_value(product) AS product,
        bool_or(is_final) AS is_final
    FROM all_invoices GROUP BY ALL
)
SELECT
    subscription_id, cycle, coalesce(i.invoices, 0) AS invoices, i.issued_at, coalesce(b.instant, e.instant) AS boundary,
    i.invoices IS DISTINCT FROM 1
    OR NOT i.is_final AND (
        i.issued_at IS DISTINCT FROM e.instant
        OR i.customer_id IS DISTINCT FROM e.customer_id
        OR i.product IS DISTINCT FROM e.product
    ) AS differs
FROM boundaries AS b
FULL JOIN billed AS i USING (subscription_id, cycle)
LEFT JOIN ends AS e USING (subscription_id, cycle)
