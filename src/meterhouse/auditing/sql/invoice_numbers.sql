-- Numbers are gapless and unique in their series, and rise in the order in which invoices became final.
WITH numbered AS (
    SELECT
        invoice_id, number, sequence, finalized_at,
        CAST(regexp_extract(number, '[0-9]+$') AS BIGINT) AS number_sequence,
        row_number() OVER series AS place,
        lag(finalized_at) OVER series AS previous_finalized_at
    FROM invoices
    WINDOW series AS (PARTITION BY regexp_replace(number, '-[0-9]+$', '') ORDER BY sequence, number, invoice_id)
)
SELECT
    *,
    sequence IS DISTINCT FROM place
    OR sequence IS DISTINCT FROM number_sequence
    OR coalesce(previous_finalized_at > finalized_at, false) AS differs
FROM numbered
