-- Every quantity of a cycle follows from the events of its customer within the cycle; no cycle and no meter is left out.
-- Where an invoice is final, what came or went later does not count: `late_usage` shows it.
WITH of_product AS (SELECT product, meter FROM metered_prices UNION SELECT product, meter FROM benefits),
-- Credits carried out of a final cycle live on, also where the product has their meter no more.
of_credits AS (
    SELECT subscription_id, meter
    FROM credit_ledger SEMI JOIN meters USING (meter)
    GROUP BY subscription_id, meter
    HAVING max(cycle) = max(cycle) FILTER (kind = 'rolled_over')
),
expected AS (
    SELECT c.subscription_id, c.cycle, m.meter, c.customer_id, c.period_start, c.period_end
    FROM open_cycles AS c JOIN of_product AS m USING (product)
    UNION
    SELECT c.subscription_id, c.cycle, m.meter, c.customer_id, c.period_start, c.period_end
    FROM open_cycles AS c JOIN of_credits AS m USING (subscription_id)
    UNION
    -- A meter whose credits were used up by now may have been measured for their sake.
    SELECT c.subscription_id, c.cycle, u.meter, c.customer_id, c.period_start, c.period_end
    FROM open_cycles AS c JOIN usage AS u USING (subscription_id, cycle)
    SEMI JOIN all_entries AS k ON k.subscription_id = u.subscription_id AND k.meter = u.meter
    UNION ALL
    SELECT u.subscription_id, u.cycle, u.meter, u.customer_id, u.period_start, u.period_end
    FROM usage AS u JOIN billed_cycles AS b USING (subscription_id, cycle) WHERE b.is_final
),
-- An event may be voided after its invoice was final: then less is left than was billed, but no less than by those.
voided AS (
    SELECT u.subscription_id, u.cycle, u.meter, count(*) AS voided
    FROM usage AS u JOIN events_of_customers AS e
        ON e.is_voided AND e.attributed AND e.customer_id = u.customer_id AND e.timestamp >= u.period_start AND e.timestamp < u.period_end
    GROUP BY ALL
),
compared AS (
    SELECT
        subscription_id, cycle, meter,
        u.customer_id AS stored_customer_id, e.customer_id,
        u.period_start AS stored_period_start, e.period_start,
        u.period_end AS stored_period_end, e.period_end,
        u.quantity AS stored_quantity, a.quantity,
        u.events AS stored_events, a.events,
        u.skipped AS stored_skipped, a.skipped,
        coalesce(
            b.is_final AND (
                a.events + a.skipped > u.events + u.skipped
                OR v.voided > 0 AND a.events + a.skipped + v.voided >= u.events + u.skipped
                OR m.definition IS DISTINCT FROM u.definition
                OR k.customer_id IS NULL
                OR u.period_end > clock()
            ),
            false
        ) AS is_late
    FROM usage AS u
    FULL JOIN expected AS e USING (subscription_id, cycle, meter)
    LEFT JOIN usage_again AS a USING (subscription_id, cycle, meter)
    LEFT JOIN billed_cycles AS b USING (subscription_id, cycle)
    LEFT JOIN voided AS v USING (subscription_id, cycle, meter)
    LEFT JOIN meters AS m ON m.meter = u.meter
    LEFT JOIN customers AS k ON k.customer_id = u.customer_id
)
SELECT
    * EXCLUDE (is_late),
    stored_customer_id IS DISTINCT FROM customer_id
    OR stored_period_start IS DISTINCT FROM period_start
    OR stored_period_end IS DISTINCT FROM period_end
    OR NOT is_late AND (
        stored_quantity IS DISTINCT FROM quantity
        OR stored_events IS DISTINCT FROM events
        OR stored_skipped IS DISTINCT FROM skipped
    ) AS differs
FROM compared
