-- No two records without an id that are alike came in different files. If a file was sent again with more or less in it,
-- void the ids that its records were given.
SELECT
    source, name, coalesce(customer_id, external_customer_id, subscription_id) AS customer, timestamp, count(*) AS times,
    list(event_id ORDER BY event_id)[:5] AS event_ids, metadata
FROM repeated_contents
GROUP BY source, name, customer_id, external_customer_id, subscription_id, timestamp, metadata
HAVING count(DISTINCT file_id) > 1 AND bool_and(has_no_id)
