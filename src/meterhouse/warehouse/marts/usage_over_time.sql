-- One row per meter, customer and day (UTC). A stranger whose id looks like a customer's has rows of his own.
-- `quantity` is the meter's own aggregation over the day; for `avg` and `weighted_sum` it is null, as a quotient is not exact:
-- take `sum` and `events`, or ask `meterhouse usage`.
WITH daily AS (
    SELECT
        meter,
        customer_id,
        date,
        attributed,
        sum(events)::BIGINT AS events,
        sum(skipped)::BIGINT AS skipped,
        sum(sum) AS sum,
        min(min) AS min,
        max(max) AS max,
        arg_max(last, (last_timestamp, last_received_at, last_event_id, last_source)) FILTER (last IS NOT NULL) AS last,
        len(list_distinct(flatten(list(distinct_values) FILTER (distinct_values IS NOT NULL)))) AS distinct_values,
        list_sort(flatten(list(sorted_values) FILTER (sorted_values IS NOT NULL))) AS sorted_values
    FROM usage_daily
    GROUP BY meter, customer_id, date, attributed
)
SELECT
    d.meter,
    d.customer_id,
    c.external_id,
    d.date,
    d.attributed,
    CASE m.aggregation
        WHEN 'count' THEN d.events::DECIMAL(38, 12)
        WHEN 'sum' THEN coalesce(d.sum, 0::DECIMAL(38, 12))
        WHEN 'min' THEN d.min
        WHEN 'max' THEN d.max
        WHEN 'last' THEN d.last
        WHEN 'unique' THEN coalesce(d.distinct_values, 0)::DECIMAL(38, 12)
        WHEN 'percentile'
            THEN d.sorted_values[((m.percent * 1000000)::BIGINT * len(d.sorted_values) + 99999999) // 100000000]
    END AS quantity,
    m.unit,
    d.events,
    d.skipped,
    d.sum
FROM daily AS d
LEFT JOIN meters AS m USING (meter)
LEFT JOIN customers AS c ON d.attributed AND c.customer_id = d.customer_id
ORDER BY d.meter, d.customer_id, d.date, d.attributed
