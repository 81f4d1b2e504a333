-- No two events of a source are alike in all but their id: name, customer, time and metadata. If such are one event
-- that was sent twice, void all of its ids but one.
SELECT
    source, name, coalesce(customer_id, external_customer_id, subscription_id) AS customer, timestamp, count(*) AS times,
    list(event_id ORDER BY event_id)[:5] AS event_ids, metadata
FROM repeated_contents
GROUP BY source, name, customer_id, external_customer_id, subscription_id, timestamp, metadata
HAVING count(DISTINCT event_id) > 1 AND NOT bool_and(has_no_id)
