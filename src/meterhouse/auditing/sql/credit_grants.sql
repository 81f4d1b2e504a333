-- Every open cycle is granted the units of its product's benefits and what the cycle before rolled over, in the order
-- of burn-down; of a final cycle, what was rolled over arrived in the next one.
WITH stored AS (
    SELECT subscription_id, cycle, meter, origin, benefit_id, units, rank, rollover, is_final
    FROM all_entries WHERE kind = 'granted'
),
carried AS (
    SELECT subscription_id, cycle + 1 AS cycle, meter, -sum(units) AS units
    FROM all_entries WHERE kind = 'rolled_over' GROUP BY ALL
),
owed AS (
    SELECT c.subscription_id, c.cycle, b.meter, 'benefit' AS origin, b.benefit_id, b.units, b.rollover, b.priority
    FROM open_cycles AS c JOIN benefits AS b USING (product)
    UNION ALL
    SELECT
        k.subscription_id, k.cycle, k.meter, 'rollover', 'rollover', k.units, true,
        -- Carried units have no priority of their own: they are used right before fresh units that roll over.
        coalesce(min(b.priority) FILTER (b.rollover), max(b.priority), 0)
    FROM carried AS k
    JOIN open_cycles AS c USING (subscription_id, cycle)
    LEFT JOIN benefits AS b ON b.product = c.product AND b.meter = k.meter
    GROUP BY ALL
),
again AS (
    SELECT
        subscription_id, cycle, meter, origin, benefit_id, units, rollover, false AS is_final,
        row_number() OVER (
            PARTITION BY subscription_id, cycle, meter ORDER BY priority, rollover, origin DESC, benefit_id
        ) AS rank
    FROM owed
    UNION ALL
    SELECT
        subscription_id, cycle, meter, origin, benefit_id,
        CASE WHEN s.origin = 'rollover' THEN coalesce(k.units, 0) ELSE s.units END, s.rollover, true, s.rank
    FROM stored AS s LEFT JOIN carried AS k USING (subscription_id, cycle, meter)
    WHERE s.is_final
)
SELECT
    subscription_id, cycle, meter, origin, benefit_id, is_final,
    s.units AS stored_units, a.units,
    s.rank AS stored_rank, a.rank,
    s.units IS DISTINCT FROM a.units
    OR s.rank IS DISTINCT FROM a.rank
    OR s.rollover IS DISTINCT FROM a.rollover AS differs
FROM stored AS s FULL JOIN again AS a USING (subscription_id, cycle, meter, origin, benefit_id, is_final)
