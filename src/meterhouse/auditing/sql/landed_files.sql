-- Records read from a file = events + rejected + duplicates + conflicts, and as many rows of each are stored.
WITH stored AS (
    SELECT
        file_id,
        count(*) FILTER (kind = 'event') AS stored_events,
        count(*) FILTER (kind = 'rejected') AS stored_rejected,
        count(*) FILTER (kind = 'duplicate') AS stored_duplicates,
        count(*) FILTER (kind = 'conflict') AS stored_conflicts
    FROM (
        SELECT file_id, 'event' AS kind FROM events
        UNION ALL SELECT file_id, 'rejected' FROM rejected_events
        UNION ALL SELECT file_id, 'duplicate' FROM event_duplicates
        UNION ALL SELECT file_id, 'conflict' FROM event_conflicts
    )
    GROUP BY file_id
)
SELECT
    file_id, path, records, events, rejected, duplicates, conflicts,
    stored_events, stored_rejected, stored_duplicates, stored_conflicts,
    records IS DISTINCT FROM events + rejected + duplicates + conflicts
    OR events IS DISTINCT FROM coalesce(stored_events, 0)
    OR rejected IS DISTINCT FROM coalesce(stored_rejected, 0)
    OR duplicates IS DISTINCT FROM coalesce(stored_duplicates, 0)
    OR conflicts IS DISTINCT FROM coalesce(stored_conflicts, 0) AS differs
FROM landed_files FULL JOIN stored USING (file_id)
