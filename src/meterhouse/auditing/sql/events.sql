-- Every event stands once, under its own day; with a setting `dedupe_window_days` no two of one id so near to each other.
WITH keys AS (
    SELECT source, event_id, count(*) AS times, min(date) AS date, min(timestamp) AS timestamp
    FROM events
    GROUP BY source, event_id
),
nearest AS (
    SELECT source, event_id, min(apart) AS days_apart
    FROM (
        SELECT source, event_id, date - lag(date) OVER (PARTITION BY source, event_id ORDER BY date) AS apart
        FROM events SEMI JOIN (FROM keys WHERE times > 1) AS repeated USING (source, event_id)
    )
    GROUP BY source, event_id
)
SELECT k.*, n.days_apart,
    coalesce(n.days_apart <= dedupe_window_days(), times > 1) OR k.date <> CAST(k.timestamp AS DATE) AS differs
FROM keys AS k LEFT JOIN nearest AS n USING (source, event_id)
