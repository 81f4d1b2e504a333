-- The usage of every stored cycle and meter, straight from the events. A table, since two checks read it.
CREATE OR REPLACE TEMP TABLE usage_again AS
SELECT
    u.subscription_id,
    u.cycle,
    u.meter,
    count(*) FILTER (e.counted) AS events,
    count(*) FILTER (NOT e.counted) AS skipped,
    CASE any_value(m.aggregation)
        WHEN 'count' THEN CAST(count(*) FILTER (e.counted) AS DECIMAL(38, 12))
        WHEN 'sum' THEN coalesce(sum(e.number), 0)
        WHEN 'min' THEN min(e.number)
        WHEN 'max' THEN max(e.number)
        WHEN 'avg' THEN mean(sum(e.number), count(e.number))
        WHEN 'last' THEN arg_max(e.number, e.moment) FILTER (e.aggregation = 'last' AND e.counted)
        WHEN 'unique' THEN CAST(count(DISTINCT e.text) AS DECIMAL(38, 12))
    END AS quantity
FROM usage AS u
JOIN meters AS m USING (meter)
LEFT JOIN matched_events AS e
    ON e.meter = u.meter AND e.customer_id = u.customer_id AND e.attributed
    AND e.timestamp >= u.period_start AND e.timestamp < u.period_end
GROUP BY u.subscription_id, u.cycle, u.meter;
