-- One row per day (UTC) of events: how many were received after that day was over, and how many days after at most.
-- Only events that say when they were received can be late: the others bear the clock of their landing.
WITH received AS (
    SELECT
        e.date,
        f.file_id IS NULL AS says_when,
        greatest((e.received_at AT TIME ZONE 'UTC')::DATE - e.date, 0) AS days_late
    FROM events AS e LEFT JOIN landed_files AS f ON f.file_id = e.file_id AND f.landed_at = e.received_at
)
SELECT
    date,
    count(*) AS events,
    count(*) FILTER (says_when) AS with_received_at,
    count(*) FILTER (says_when AND days_late > 0) AS late,
    coalesce(max(days_late) FILTER (says_when), 0) AS days_late_at_most
FROM received
GROUP BY date
ORDER BY date
