-- No id is there twice. Where `dedupe_window_days` let a resend in, both count: void that id, and send the event again
-- under a new one.
SELECT source, event_id, count(*) AS times, min(timestamp) AS first, max(timestamp) AS last, count(DISTINCT file_id) AS files
FROM repeated_ids
GROUP BY source, event_id
HAVING count(*) > 1
