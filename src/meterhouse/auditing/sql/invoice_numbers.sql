-- Numbers are gapless and unique, and rise in the order in which invoices became final and, within a run, were issued.
WITH numbered AS (
    SELECT
        invoice_id, number, sequence, finalized_at, issued_at,
        CAST(regexp_extract(number, '[0-9]+$') AS BIGINT) AS number_sequence,
        row_number() OVER (ORDER BY finalized_at, issued_at, invoice_id) AS place
    FROM invoices
)
SELECT *, sequence IS DISTINCT FROM place OR sequence IS DISTINCT FROM number_sequence AS differs
FROM numbered
