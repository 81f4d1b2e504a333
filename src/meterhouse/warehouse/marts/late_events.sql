-- One row per day (UTC) of events: how many were received after that day was over, and how many days after at most.
SELECT
    date,
    count(*) AS events,
    count(*) FILTER (received_on > date) AS late,
    coalesce(max(received_on - date) FILTER (received_on > date), 0) AS days_late_at_most
FROM (SELECT date, (received_at AT TIME ZONE 'UTC')::DATE AS received_on FROM events)
GROUP BY date
ORDER BY date
