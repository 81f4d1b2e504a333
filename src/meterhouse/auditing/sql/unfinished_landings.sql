-- Every stored row is of a file that was landed to its end. Otherwise a landing was cut short or is going on: run again,
-- and the next run lands the rest. Until then nothing counts the events of such a file.
SELECT
    s.file_id, stored_events, stored_rejected, stored_duplicates, stored_conflicts, stored_voids,
    f.file_id IS NULL AS differs
FROM stored_of_files AS s LEFT JOIN landed_files AS f USING (file_id)
