-- Every invoice is the sum of its lines, counts them from 1, and no line is without an invoice.
WITH lines AS (
    SELECT
        invoice_id, is_final,
        count(*) AS lines,
        sum(amount_minor) AS total_minor,
        list_sort(list(line_no)) = range(1, count(*) + 1) AS counts_from_1,
        bool_and(currency IS NOT NULL) AND count(DISTINCT currency) = 1 AS has_one_currency,
        any_value(currency) AS currency
    FROM all_lines GROUP BY ALL
)
SELECT
    invoice_id, is_final, i.status,
    i.lines AS stored_lines, l.lines,
    i.total_minor AS stored_total_minor, l.total_minor,
    i.lines IS DISTINCT FROM coalesce(l.lines, 0)
    OR i.total_minor IS DISTINCT FROM coalesce(l.total_minor, 0)
    OR i.is_zero IS DISTINCT FROM (i.total_minor = 0)
    OR i.status IS DISTINCT FROM CASE WHEN is_final THEN 'finalized' ELSE 'draft' END
    OR CASE
        WHEN is_final THEN i.number IS NULL OR i.sequence IS NULL OR i.finalized_at IS NULL OR i.due_at IS NULL
        ELSE i.number IS NOT NULL OR i.sequence IS NOT NULL OR i.finalized_at IS NOT NULL OR i.due_at IS NOT NULL
    END
    OR NOT coalesce(l.counts_from_1 AND l.has_one_currency AND l.currency = i.currency, i.lines = 0) AS differs
FROM all_invoices AS i FULL JOIN lines AS l USING (invoice_id, is_final)
