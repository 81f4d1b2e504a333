-- One row per finding and reason: what came in and did not count as sent, with the days it came in or happened.
SELECT 'record rejected' AS finding, reason, count(*) AS records, min(landed_on) AS first_day, max(landed_on) AS last_day
FROM rejected_events GROUP BY reason
UNION ALL
SELECT 'resent with other content', reason, count(*), min(landed_on), max(landed_on)
FROM event_conflicts GROUP BY reason
UNION ALL
SELECT 'resent with the same content', 'source ' || source, count(*), min(landed_on), max(landed_on)
FROM event_duplicates GROUP BY source
UNION ALL
SELECT 'event voided', 'source ' || source, count(*), min(date), max(date)
FROM voided_events GROUP BY source
UNION ALL
SELECT 'void without event', 'source ' || source, count(*), min(landed_on), max(landed_on)
FROM voids ANTI JOIN voided_events USING (source, event_id) GROUP BY source
UNION ALL
SELECT 'value skipped', 'meter ' || meter, sum(skipped)::BIGINT, min(date), max(date)
FROM usage_daily WHERE skipped > 0 GROUP BY meter
UNION ALL
SELECT
    'number rounded',
    'more than 12 places',
    sum(rounded_numbers)::BIGINT,
    min((landed_at AT TIME ZONE 'UTC')::DATE),
    max((landed_at AT TIME ZONE 'UTC')::DATE)
FROM landed_files WHERE rounded_numbers > 0 HAVING count(*) > 0
UNION ALL
SELECT 'row refused', path, count(*), NULL, NULL
FROM rejected_rows GROUP BY path
ORDER BY finding, reason
