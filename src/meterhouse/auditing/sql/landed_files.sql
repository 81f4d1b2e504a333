-- Records read from a file = events + rejected + duplicates + conflicts + voids, and as many rows of each are stored.
SELECT
    file_id, path, records, events, rejected, duplicates, conflicts, voids,
    stored_events, stored_rejected, stored_duplicates, stored_conflicts, stored_voids,
    records IS DISTINCT FROM events + rejected + duplicates + conflicts + voids
    OR events IS DISTINCT FROM coalesce(stored_events, 0)
    OR rejected IS DISTINCT FROM coalesce(stored_rejected, 0)
    OR duplicates IS DISTINCT FROM coalesce(stored_duplicates, 0)
    OR conflicts IS DISTINCT FROM coalesce(stored_conflicts, 0)
    OR voids IS DISTINCT FROM coalesce(stored_voids, 0) AS differs
FROM landed_files LEFT JOIN stored_of_files USING (file_id)
