-- A record that was refused and retried stands once where its outcome says; a file as a whole was read to its end.
WITH kept AS (
    SELECT file_id, position, count(*) AS times, any_value(kind) AS kind FROM retried_places GROUP BY file_id, position
    UNION ALL
    SELECT file_id, 0, 1, 'file' FROM files_read_again
)
SELECT
    r.file_id, r.position, r.outcome, k.kind, k.times, e.reason,
    e.file_id IS NULL OR k.kind IS DISTINCT FROM r.outcome OR k.times <> 1 AS differs
FROM retried_records AS r
LEFT JOIN kept AS k USING (file_id, position)
LEFT JOIN rejected_events AS e USING (file_id, position)
