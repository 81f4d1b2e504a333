-- One row per customer and meter with credits: units granted (with those carried over), used, rolled over and forfeited.
-- `balance` adds up the final entries; `balance_with_drafts` also those of cycles that are not final yet.
WITH entries AS (
    SELECT customer_id, meter, kind, units, true AS is_final FROM credit_ledger
    UNION ALL
    SELECT customer_id, meter, kind, units, false AS is_final FROM draft_credit_entries
)
SELECT
    e.customer_id,
    any_value(c.external_id) AS external_id,
    e.meter,
    coalesce(sum(e.units) FILTER (e.is_final AND e.kind = 'granted'), 0) AS granted,
    coalesce(-sum(e.units) FILTER (e.is_final AND e.kind = 'used'), 0) AS used,
    coalesce(-sum(e.units) FILTER (e.is_final AND e.kind = 'rolled_over'), 0) AS rolled_over,
    coalesce(-sum(e.units) FILTER (e.is_final AND e.kind = 'forfeited'), 0) AS forfeited,
    coalesce(sum(e.units) FILTER (e.is_final), 0) AS balance,
    sum(e.units) AS balance_with_drafts
FROM entries AS e
LEFT JOIN customers AS c USING (customer_id)
GROUP BY e.customer_id, e.meter
ORDER BY e.customer_id, e.meter
