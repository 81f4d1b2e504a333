-- Per day and meter, events = counted + skipped + filtered out + voided, those of unknown customers among them.
WITH days AS (SELECT date, count(*) AS events FROM landed_events WHERE is_metered(date) GROUP BY date),
taken_back AS (
    SELECT date, count(*) AS voided FROM landed_events SEMI JOIN landed_marks USING (source, event_id, date) GROUP BY date
),
metered AS (
    SELECT
        meter,
        date,
        sum(events) AS counted,
        sum(skipped) AS skipped,
        coalesce(sum(events + skipped) FILTER (NOT attributed), 0) AS of_unknown_customers
    FROM usage_daily WHERE is_metered(date)
    GROUP BY meter, date
),
expected AS (
    SELECT m.meter, d.date, d.events, coalesce(f.events, 0) AS filtered_out, coalesce(t.voided, 0) AS voided
    FROM meters AS m CROSS JOIN days AS d LEFT JOIN taken_back AS t USING (date) LEFT JOIN filtered_events AS f ON f.meter = m.meter AND f.date = d.date
)
SELECT
    meter, date, events,
    coalesce(counted, 0) AS counted, coalesce(skipped, 0) AS skipped, filtered_out, voided,
    coalesce(of_unknown_customers, 0) AS of_unknown_customers,
    events IS DISTINCT FROM coalesce(counted, 0) + coalesce(skipped, 0) + filtered_out + voided AS differs
FROM expected FULL JOIN metered USING (meter, date)
