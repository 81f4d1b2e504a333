-- Per grant, granted = used + rolled over + forfeited + balance, and no balance is ever negative; each entry's balance
-- before and after is the sum of the entries of its cycle and meter.
WITH running AS (
    SELECT
        *,
        sum(units) OVER (
            PARTITION BY subscription_id, cycle, meter
            ORDER BY array_position(['granted', 'used', 'rolled_over', 'forfeited'], kind), rank, entry_id
        ) AS balance
    FROM all_entries
),
grants AS (
    SELECT
        grant_id, subscription_id, cycle, meter,
        coalesce(sum(units) FILTER (kind = 'granted'), 0) AS granted,
        -coalesce(sum(units) FILTER (kind = 'used'), 0) AS used,
        -coalesce(sum(units) FILTER (kind = 'rolled_over'), 0) AS rolled_over,
        -coalesce(sum(units) FILTER (kind = 'forfeited'), 0) AS forfeited,
        sum(units) AS balance,
        bool_and(balance_after = balance AND balance_before = balance - units AND balance >= 0) AS balances_are_right,
        bool_and((units > 0) = (kind = 'granted') AND units <> 0) AS signs_are_right,
        count(*) = count(DISTINCT kind) AS each_kind_once
    FROM running GROUP BY grant_id, subscription_id, cycle, meter
)
SELECT
    g.*,
    granted IS DISTINCT FROM used + rolled_over + forfeited + balance
    OR balance < 0
    OR b.subscription_id IS NOT NULL AND balance <> 0
    OR NOT coalesce(balances_are_right AND signs_are_right AND each_kind_once, false) AS differs
FROM grants AS g LEFT JOIN billed_cycles AS b USING (subscription_id, cycle)
