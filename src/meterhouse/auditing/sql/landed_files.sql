-- Records read from a file = events + rejected + duplicates + conflicts + voids, and as many rows of each are stored.
SELECT
    file_id, path, records, events, rejected, duplicates, conflicts, voids,
    stored_events, stored_rejected, stored_duplicates, stored_conflicts, stored_voids,
    NOT landed_adds_up
    OR records IS DISTINCT FROM events + rejected + duplicates + conflicts + voids
    OR differs_from(events, stored_events, is_open)
    OR differs_from(rejected, stored_rejected, is_open)
    OR differs_from(duplicates, stored_duplicates, is_open)
    OR differs_from(conflicts, stored_conflicts, is_open)
    OR differs_from(voids, stored_voids, is_open) AS differs
FROM noted_files LEFT JOIN stored_of_files USING (file_id)
