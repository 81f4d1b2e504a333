-- Usage on a final invoice is what it would be now: no event came late, no meter was changed, no customer was removed.
SELECT
    u.subscription_id, u.cycle, u.meter,
    u.quantity AS billed_quantity, a.quantity,
    u.events + u.skipped AS billed_events, a.events + a.skipped AS events,
    a.events + a.skipped <> u.events + u.skipped OR a.quantity IS DISTINCT FROM u.quantity AS differs
FROM usage AS u
JOIN usage_again AS a USING (subscription_id, cycle, meter)
JOIN billed_cycles AS b USING (subscription_id, cycle)
WHERE b.is_final
