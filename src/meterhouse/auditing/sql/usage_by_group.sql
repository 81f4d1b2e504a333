-- Every quantity of a group follows from the events of the group, and the groups of a cycle have all its events.
-- Where an invoice is final and events or definitions are no more what it billed, only their number can be compared.
WITH voided AS (
    SELECT DISTINCT u.subscription_id, u.cycle, u.meter
    FROM usage AS u JOIN events_of_customers AS e
        ON e.is_voided AND e.attributed AND e.customer_id = u.customer_id AND e.timestamp >= u.period_start AND e.timestamp < u.period_end
),
whole AS (
    SELECT
        u.*,
        b.is_final IS DISTINCT FROM true OR (
            u.quantity IS NOT DISTINCT FROM a.quantity AND u.events = a.events AND u.skipped = a.skipped
            AND u.definition IS NOT DISTINCT FROM m.definition
            AND v.meter IS NULL
        ) AS is_as_billed
    FROM usage AS u
    LEFT JOIN usage_again AS a USING (subscription_id, cycle, meter)
    LEFT JOIN billed_cycles AS b USING (subscription_id, cycle)
    LEFT JOIN voided AS v USING (subscription_id, cycle, meter)
    LEFT JOIN meters AS m ON m.meter = u.meter
),
summed AS (
    SELECT subscription_id, cycle, meter, sum(events) AS events, sum(skipped) AS skipped
    FROM usage_by_group GROUP BY subscription_id, cycle, meter
)
SELECT
    subscription_id, cycle, meter, group_json,
    g.customer_id AS stored_customer_id, w.customer_id,
    g.period_start AS stored_period_start, w.period_start,
    g.period_end AS stored_period_end, w.period_end,
    g.quantity AS stored_quantity, a.quantity,
    g.events AS stored_events, a.events,
    g.skipped AS stored_skipped, a.skipped,
    s.events AS events_of_groups, w.events AS events_of_cycle,
    s.skipped AS skipped_of_groups, w.skipped AS skipped_of_cycle,
    g.meter IS NOT NULL AND (
        g.customer_id IS DISTINCT FROM w.customer_id
        OR g.period_start IS DISTINCT FROM w.period_start
        OR g.period_end IS DISTINCT FROM w.period_end
        OR s.events IS DISTINCT FROM w.events
        OR s.skipped IS DISTINCT FROM w.skipped
    )
    OR w.is_as_billed AND (
        g.quantity IS DISTINCT FROM a.quantity OR g.events IS DISTINCT FROM a.events OR g.skipped IS DISTINCT FROM a.skipped
    ) AS differs
FROM usage_by_group AS g
FULL JOIN groups_of_usage_again AS a USING (subscription_id, cycle, meter, group_json)
LEFT JOIN whole AS w USING (subscription_id, cycle, meter)
LEFT JOIN summed AS s USING (subscription_id, cycle, meter)
