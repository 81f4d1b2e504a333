-- The usage of every stored cycle and meter, and of its groups, straight from the events. A table, since three checks
-- read it. The whole has no group: an event of a meter with groups counts twice, for the whole and for its group.
CREATE OR REPLACE TEMP TABLE measured_again AS
WITH used AS (
    SELECT
        u.subscription_id, u.cycle, u.meter, m.aggregation, m.percent, m.rounding, m.rounding_to,
        epoch_us(u.period_end) - epoch_us(u.period_start) AS length,
        -- How long what the event changed was so within the period; what came before it was so from its start.
        epoch_us(u.period_end) - epoch_us(greatest(e.timestamp, u.period_start)) AS lasted,
        e.counted, e.number, e.text, e.moment,
        unnest(CASE WHEN e.group_json <> '{}' THEN [NULL, e.group_json] ELSE [NULL] END) AS group_json
    FROM usage AS u
    JOIN meters AS m USING (meter)
    LEFT JOIN matched_events AS e
        ON e.meter = u.meter AND e.customer_id = u.customer_id AND e.attributed
        AND (e.timestamp >= u.period_start OR m.carry_over) AND e.timestamp < u.period_end
),
summed AS (
    SELECT
        subscription_id, cycle, meter, group_json, aggregation, percent, rounding, rounding_to, length,
        count(*) FILTER (counted) AS events,
        count(*) FILTER (NOT counted) AS skipped,
        sum(number) AS total,
        min(number) AS least,
        max(number) AS greatest,
        count(DISTINCT text) AS distinct_texts,
        arg_max(number, moment) FILTER (aggregation = 'last' AND counted) AS latest,
        list_sort(list(number) FILTER (aggregation = 'percentile' AND counted)) AS sorted,
        coalesce(sum(parts(number) * (lasted // 1000000)) FILTER (aggregation = 'weighted_sum'), 0) AS by_seconds,
        coalesce(sum(parts(number) * (lasted % 1000000)) FILTER (aggregation = 'weighted_sum'), 0) AS by_microseconds
    FROM used
    GROUP BY ALL
),
measured AS (
    SELECT
        subscription_id, cycle, meter, group_json, events, skipped, rounding, rounding_to,
        CASE aggregation
            WHEN 'count' THEN CAST(events AS DECIMAL(38, 12))
            WHEN 'sum' THEN coalesce(total, 0)
            WHEN 'min' THEN least
            WHEN 'max' THEN greatest
            WHEN 'avg' THEN mean(total, events)
            WHEN 'last' THEN latest
            WHEN 'unique' THEN CAST(distinct_texts AS DECIMAL(38, 12))
            WHEN 'weighted_sum' THEN mean_level(by_seconds, by_microseconds, length)
            WHEN 'percentile' THEN nearest_rank(sorted, percent)
        END AS quantity
    FROM summed
)
FROM measured;

CREATE OR REPLACE TEMP VIEW usage_again AS
SELECT
    subscription_id, cycle, meter, events, skipped,
    CASE rounding
        WHEN 'down' THEN from_parts(floor_div(parts(quantity), parts(rounding_to)) * parts(rounding_to))
        WHEN 'up' THEN -from_parts(floor_div(-parts(quantity), parts(rounding_to)) * parts(rounding_to))
        WHEN 'half'
            THEN sign(quantity) * from_parts(
                (2 * abs(parts(quantity)) + parts(rounding_to)) // (2 * parts(rounding_to)) * parts(rounding_to)
            )
        ELSE quantity
    END AS quantity
FROM measured_again WHERE group_json IS NULL;

-- Groups are not rounded: they add up to what is rounded once.
CREATE OR REPLACE TEMP VIEW groups_of_usage_again AS
SELECT subscription_id, cycle, meter, group_json, events, skipped, quantity
FROM measured_again WHERE group_json IS NOT NULL;
