-- Every event stands once, under its own day.
SELECT source, event_id, count(*) AS times, min(date) AS date, min(timestamp) AS timestamp,
    count(*) > 1 OR min(date) <> CAST(min(timestamp) AS DATE) AS differs
FROM events
GROUP BY source, event_id
