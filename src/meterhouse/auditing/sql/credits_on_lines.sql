-- Units used from credits are the credited units of the invoice line of the same subscription, cycle and meter.
SELECT
    subscription_id, cycle, meter, l.invoice_id, l.line_no, l.credited, coalesce(k.units, 0) AS used,
    l.credited IS DISTINCT FROM coalesce(k.units, 0) AS differs
FROM usage_lines AS l LEFT JOIN units_used AS k USING (subscription_id, cycle, meter)
