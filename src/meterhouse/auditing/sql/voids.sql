-- An event is marked as taken back exactly where both it and a void that names it have landed, whichever came first.
WITH of_events AS (
    SELECT
        e.source, e.event_id, e.date, any_value(e.file_id) AS event_file, any_value(v.file_id) AS void_file,
        -- What a landing or a retry that was cut short left is marked by the next one.
        bool_or(
            e.file_id IN (SELECT file_id FROM landed_files) AND v.file_id IN (SELECT file_id FROM landed_files)
            AND (e.file_id, e.position) NOT IN (SELECT (file_id, position) FROM unfinished_retries)
            AND (v.file_id, v.position) NOT IN (SELECT (file_id, position) FROM unfinished_retries)
        ) AS has_landed
    FROM events AS e JOIN voids AS v USING (source, event_id)
    GROUP BY e.source, e.event_id, e.date
)
SELECT
    source, event_id, date, o.event_file, o.void_file, s.event_id IS NOT NULL AS is_marked,
    CASE WHEN s.event_id IS NULL THEN o.has_landed ELSE o.event_id IS NULL END AS differs
FROM of_events AS o FULL JOIN voided_events AS s USING (source, event_id, date)
