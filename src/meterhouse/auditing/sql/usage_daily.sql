-- Every state of every meter, customer, day, slice and group follows from the events.
WITH bounds AS (
    SELECT customer_id, unnest([period_start, period_end]) AS bound FROM billing_periods
),
-- A list per day, as most days have no cut: joining all events with their last cut takes far longer.
cuts AS (
    SELECT customer_id, CAST(bound AS DATE) AS date, list(bound) AS bounds FROM bounds GROUP BY ALL
),
sliced AS (
    SELECT
        e.*,
        greatest(
            list_max(list_filter(c.bounds, lambda bound: bound <= e.timestamp)), CAST(e.date AS TIMESTAMPTZ), e.valid_from
        ) AS slice_start,
        epoch_us(e.timestamp) - epoch_us(CAST(e.date AS TIMESTAMPTZ)) AS since_midnight
    FROM matched_events AS e LEFT JOIN cuts AS c ON e.attributed AND c.customer_id = e.customer_id AND c.date = e.date
),
again AS (
    SELECT
        meter, customer_id, date, slice_start, attributed, group_json,
        count(*) FILTER (counted) AS events,
        count(*) FILTER (NOT counted) AS skipped,
        CASE WHEN aggregation IN ('sum', 'avg', 'weighted_sum') THEN coalesce(sum(number), 0) END AS "sum",
        CASE
            WHEN aggregation = 'weighted_sum' THEN coalesce(sum(number * CAST(since_midnight // 1000000 AS DECIMAL(5, 0))), 0)
        END AS sum_by_seconds,
        CASE
            WHEN aggregation = 'weighted_sum' THEN coalesce(sum(number * CAST(since_midnight % 1000000 AS DECIMAL(6, 0))), 0)
        END AS sum_by_microseconds,
        CASE WHEN aggregation = 'min' THEN min(number) END AS "min",
        CASE WHEN aggregation = 'max' THEN max(number) END AS "max",
        max({'moment': moment, 'number': number}) FILTER (aggregation = 'last' AND counted) AS last_event,
        CASE
            WHEN aggregation = 'unique' THEN coalesce(list_sort(list(DISTINCT text) FILTER (text IS NOT NULL)), [])
        END AS distinct_values,
        CASE
            WHEN aggregation = 'percentile' THEN coalesce(list_sort(list(number) FILTER (counted)), [])
        END AS sorted_values
    FROM sliced
    GROUP BY meter, aggregation, customer_id, date, slice_start, attributed, group_json
),
compared AS (
    SELECT
        meter, customer_id, date, slice_start, attributed, group_json,
        s.events AS stored_events, a.events,
        s.skipped AS stored_skipped, a.skipped,
        {'sum': s."sum", 'sum_by_seconds': s.sum_by_seconds, 'sum_by_microseconds': s.sum_by_microseconds,
            'min': s."min", 'max': s."max", 'last': s."last", 'last_timestamp': s.last_timestamp,
            'last_received_at': s.last_received_at, 'last_event_id': s.last_event_id, 'last_source': s.last_source,
            'distinct_values': s.distinct_values, 'sorted_values': s.sorted_values} AS stored_state,
        {'sum': a."sum", 'sum_by_seconds': a.sum_by_seconds, 'sum_by_microseconds': a.sum_by_microseconds,
            'min': a."min", 'max': a."max", 'last': a.last_event.number,
            'last_timestamp': a.last_event.moment.timestamp, 'last_received_at': a.last_event.moment.received_at,
            'last_event_id': a.last_event.moment.event_id, 'last_source': a.last_event.moment.source,
            'distinct_values': a.distinct_values, 'sorted_values': a.sorted_values} AS state
    FROM (FROM usage_daily WHERE is_metered(date)) AS s FULL JOIN again AS a USING (meter, customer_id, date, slice_start, attributed, group_json)
)
SELECT
    *,
    stored_events IS DISTINCT FROM events
    OR stored_skipped IS DISTINCT FROM skipped
    OR stored_state IS DISTINCT FROM state AS differs
FROM compared
