-- Usage on a final invoice counts the events that there are by now: none came late, no customer was removed.
SELECT
    u.subscription_id, u.cycle, u.meter,
    u.quantity AS billed_quantity, a.quantity,
    u.events + u.skipped AS billed_events, a.events + a.skipped AS events,
    a.events + a.skipped <> u.events + u.skipped AS differs
FROM usage AS u
JOIN usage_again AS a USING (subscription_id, cycle, meter)
JOIN billed_cycles AS b USING (subscription_id, cycle)
WHERE b.is_final
