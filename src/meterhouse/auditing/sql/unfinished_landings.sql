-- Every stored row is of a file that was landed to its end, and every record that a retry landed is noted as retried.
-- Otherwise a landing was cut short or is going on: run it again, and it lands the rest. Until then nothing counts the
-- events of a file that has not landed.
WITH retries AS (SELECT file_id, count(*) AS retried FROM unfinished_retries GROUP BY file_id)
SELECT
    s.file_id, stored_events, stored_rejected, stored_duplicates, stored_conflicts, stored_voids,
    coalesce(r.retried, 0) AS retried_and_not_noted,
    f.file_id IS NULL OR r.file_id IS NOT NULL AS differs
FROM stored_of_files AS s
LEFT JOIN landed_files AS f USING (file_id)
LEFT JOIN retries AS r USING (file_id)
