-- Every step of a final line keeps to its own bounds: a graduated price splits what is billed over tiers that follow one
-- another from 0, a volume price puts all of it into the one tier that holds it; a flat amount is paid once a tier.
WITH steps AS (
    SELECT
        s.*, l.billed,
        row_number() OVER in_line AS place,
        lag(s.up_to, 1, 0) OVER in_line AS reached,
        count(*) OVER (PARTITION BY s.invoice_id, s.line_no) AS steps
    FROM rated_lines AS s
    LEFT JOIN usage_lines AS l ON l.invoice_id = s.invoice_id AND l.line_no = s.line_no AND l.is_final
    WINDOW in_line AS (PARTITION BY s.invoice_id, s.line_no ORDER BY s.step)
)
SELECT
    *,
    NOT coalesce(
        step = place
        AND amount_minor_unrounded = quantity * unit_amount_minor + flat_amount_minor
        AND (
            over = reached
            AND quantity = units_within(billed, over, up_to)
            -- Only the flat amount of a first tier is paid for no units.
            AND (over < billed OR billed = 0 AND step = 1 AND flat_amount_minor <> 0)
            OR steps = 1 AND quantity = billed AND over < billed AND billed <= coalesce(up_to, billed)
        ),
        false
    ) AS differs
FROM steps
