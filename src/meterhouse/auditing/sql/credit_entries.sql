-- What a cycle wants is taken from its grants in the order of their rank; of what is left when it is over, whole units
-- of grants that roll over are carried on and the rest is forfeited.
WITH demand AS (
    SELECT
        g.subscription_id, g.cycle, g.meter,
        b.subscription_id IS NOT NULL AS is_closed,
        coalesce(b.is_final, false) AS is_final,
        coalesce(l.credited + l.billed, greatest(coalesce(u.quantity, 0) - coalesce(p.included, 0), 0)) AS wanted,
        coalesce(c.is_last, false) AS is_last
    FROM (SELECT DISTINCT subscription_id, cycle, meter FROM all_entries) AS g
    -- A meter that the catalog has no more is not measured, but what is left of its credits passes on.
    LEFT JOIN usage AS u USING (subscription_id, cycle, meter)
    LEFT JOIN billed_cycles AS b USING (subscription_id, cycle)
    LEFT JOIN usage_lines AS l USING (subscription_id, cycle, meter)
    LEFT JOIN billing_periods AS c USING (subscription_id, cycle)
    LEFT JOIN metered_prices AS p ON p.product = c.product AND p.meter = g.meter AND b.is_final IS DISTINCT FROM true
),
grants AS (
    SELECT
        g.*, d.is_closed, d.wanted,
        -- A subscription may be ended after a cycle became final: what that cycle rolled over then was right.
        g.rollover AND CASE WHEN d.is_final THEN EXISTS (
            FROM all_entries AS r
            WHERE r.kind = 'rolled_over' AND r.subscription_id = g.subscription_id AND r.cycle = g.cycle
                AND r.meter = g.meter
        ) ELSE NOT d.is_last END AS rolls,
        sum(g.units) OVER in_rank - g.units AS units_before
    FROM all_entries AS g LEFT JOIN demand AS d USING (subscription_id, cycle, meter)
    WHERE g.kind = 'granted'
    WINDOW in_rank AS (PARTITION BY g.subscription_id, g.cycle, g.meter ORDER BY g.rank, g.entry_id)
),
used AS (SELECT *, share(wanted, units_before, units) AS used FROM grants),
rolling AS (
    SELECT *, CASE WHEN is_closed AND rolls THEN units - used ELSE CAST(0 AS DECIMAL(38, 12)) END AS rolling FROM used
),
rolled AS (
    SELECT
        *,
        share(
            floor(sum(rolling) OVER (PARTITION BY subscription_id, cycle, meter)),
            sum(rolling) OVER (PARTITION BY subscription_id, cycle, meter ORDER BY rank, entry_id) - rolling,
            rolling
        ) AS rolled_over
    FROM rolling
),
again AS (
    SELECT grant_id, kind, units
    FROM (
        SELECT grant_id, 'used' AS kind, -used AS units FROM rolled
        UNION ALL SELECT grant_id, 'rolled_over', -rolled_over FROM rolled
        UNION ALL SELECT grant_id, 'forfeited', used + rolled_over - units FROM rolled WHERE is_closed
    )
    WHERE units <> 0
),
stored AS (SELECT grant_id, kind, sum(units) AS units, any_value(cycle) AS cycle FROM all_entries GROUP BY grant_id, kind)
SELECT
    grant_id, kind, s.cycle, s.units AS stored_units, a.units, s.units IS DISTINCT FROM a.units AS differs
FROM (FROM stored WHERE kind <> 'granted') AS s FULL JOIN again AS a USING (grant_id, kind)
