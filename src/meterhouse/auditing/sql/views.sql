-- What the checks share. Drafts and final tables are one here; `is_final` tells them apart.
CREATE OR REPLACE TEMP VIEW kept_places AS
SELECT file_id, position, 'event' AS kind FROM events
UNION ALL SELECT file_id, position, 'duplicate' FROM event_duplicates
UNION ALL SELECT file_id, position, 'conflict' FROM event_conflicts
UNION ALL SELECT file_id, position, 'void' FROM voids;

CREATE OR REPLACE TEMP VIEW stored_of_files AS
SELECT
    file_id,
    count(*) FILTER (kind = 'event') AS stored_events,
    count(*) FILTER (kind = 'rejected') AS stored_rejected,
    count(*) FILTER (kind = 'duplicate') AS stored_duplicates,
    count(*) FILTER (kind = 'conflict') AS stored_conflicts,
    count(*) FILTER (kind = 'void') AS stored_voids
FROM (
    SELECT file_id, kind FROM kept_places ANTI JOIN rejected_events USING (file_id, position)
    UNION ALL SELECT file_id, 'rejected' FROM rejected_events
)
GROUP BY file_id;

-- Records that were refused and then landed by a retry stand in two tables, and count as refused.
CREATE OR REPLACE TEMP VIEW retried_places AS
SELECT file_id, position, kind FROM kept_places SEMI JOIN rejected_events USING (file_id, position);

CREATE OR REPLACE TEMP VIEW unfinished_retries AS
SELECT file_id, position FROM retried_places ANTI JOIN retried_records USING (file_id, position);

-- What a file held: as it was landed, or as it was read again after it broke off.
CREATE OR REPLACE TEMP VIEW noted_files AS
SELECT
    f.file_id, f.path,
    coalesce(a.records, f.records) AS records,
    coalesce(a.events, f.events) AS events,
    coalesce(a.rejected, f.rejected) AS rejected,
    coalesce(a.duplicates, f.duplicates) AS duplicates,
    coalesce(a.conflicts, f.conflicts) AS conflicts,
    coalesce(a.voids, f.voids) AS voids,
    f.records = f.events + f.rejected + f.duplicates + f.conflicts + f.voids AS landed_adds_up,
    -- Until it is read to its end, a retry that was cut short may have left more of it.
    b.file_id IS NOT NULL AS is_open
FROM landed_files AS f
LEFT JOIN files_read_again AS a USING (file_id)
LEFT JOIN (
    SELECT file_id FROM rejected_events ANTI JOIN retried_records USING (file_id, position) WHERE position = 0
) AS b USING (file_id);

-- A file is noted when all of it is stored: what a landing that was cut short left is metered by no run yet.
CREATE OR REPLACE TEMP VIEW landed_events AS SELECT e.* FROM events AS e SEMI JOIN landed_files USING (file_id);

-- The check `voids` compares these marks with what voids name.
CREATE OR REPLACE TEMP VIEW landed_marks AS SELECT v.* FROM voided_events AS v SEMI JOIN landed_files USING (file_id);

-- An event that was taken back stays, and counts nowhere.
CREATE OR REPLACE TEMP VIEW counting_events AS
SELECT e.* FROM landed_events AS e ANTI JOIN landed_marks USING (source, event_id, date);

CREATE OR REPLACE TEMP VIEW events_of_customers AS
SELECT
    e.* REPLACE (coalesce(
        by_id.customer_id, by_external.customer_id, by_subscription.customer_id,
        e.customer_id, e.external_customer_id, e.subscription_id, ''
    ) AS customer_id),
    coalesce(by_id.customer_id, by_external.customer_id, by_subscription.customer_id) IS NOT NULL AS attributed,
    v.event_id IS NOT NULL AS is_voided
FROM landed_events AS e
LEFT JOIN customers AS by_id ON by_id.customer_id = e.customer_id
LEFT JOIN customers AS by_external ON by_external.external_id = e.external_customer_id
LEFT JOIN subscriptions AS by_subscription ON by_subscription.subscription_id = e.subscription_id
LEFT JOIN landed_marks AS v ON v.source = e.source AND v.event_id = e.event_id AND v.date = e.date
WHERE is_metered(e.date);

CREATE OR REPLACE TEMP VIEW attributed_events AS
SELECT * EXCLUDE (is_voided) FROM events_of_customers WHERE NOT is_voided;

CREATE OR REPLACE TEMP VIEW all_invoices AS
SELECT *, true AS is_final FROM invoices UNION ALL SELECT *, false FROM draft_invoices;

CREATE OR REPLACE TEMP VIEW all_lines AS
SELECT *, true AS is_final FROM invoice_lines UNION ALL SELECT *, false FROM draft_invoice_lines;

CREATE OR REPLACE TEMP VIEW all_steps AS
SELECT *, true AS is_final FROM rated_lines UNION ALL SELECT *, false FROM draft_rated_lines;

CREATE OR REPLACE TEMP VIEW all_entries AS
SELECT *, true AS is_final FROM credit_ledger UNION ALL SELECT *, false FROM draft_credit_entries;

-- The invoice of cycle n bills what cycle n - 1 used.
CREATE OR REPLACE TEMP VIEW billed_cycles AS
SELECT subscription_id, cycle - 1 AS cycle, bool_or(is_final) AS is_final FROM all_invoices GROUP BY ALL;

CREATE OR REPLACE TEMP VIEW usage_lines AS
SELECT l.*, i.subscription_id, i.product, i.cycle - 1 AS cycle
FROM all_lines AS l JOIN all_invoices AS i ON i.invoice_id = l.invoice_id AND i.is_final = l.is_final
WHERE l.kind = 'usage';

-- Cycles that may still change: their usage, credits and amounts follow from the definitions of today.
CREATE OR REPLACE TEMP VIEW open_cycles AS
SELECT p.*, b.subscription_id IS NOT NULL AS is_closed
FROM billing_periods AS p LEFT JOIN billed_cycles AS b USING (subscription_id, cycle)
WHERE b.is_final IS DISTINCT FROM true;

CREATE OR REPLACE TEMP VIEW units_used AS
SELECT subscription_id, cycle, meter, -sum(units) AS units FROM all_entries WHERE kind = 'used' GROUP BY ALL;

-- What each cycle owes per metered price: included units, then credits, are taken from the quantity. Of an open cycle
-- all of it follows from usage and credits; of a final one quantity and credits are the line's own.
CREATE OR REPLACE TEMP VIEW billed_again AS
WITH used AS (
    SELECT
        c.subscription_id, c.cycle, c.is_closed, false AS is_final, p.product, p.price_id,
        u.quantity, coalesce(k.units, 0) AS units
    FROM open_cycles AS c
    JOIN metered_prices AS p USING (product)
    JOIN usage AS u USING (subscription_id, cycle, meter)
    LEFT JOIN units_used AS k USING (subscription_id, cycle, meter)
    UNION ALL
    SELECT l.subscription_id, l.cycle, true, true, p.product, p.price_id, l.quantity, l.credited
    FROM usage_lines AS l JOIN metered_prices AS p USING (product, price_id, meter, currency)
    WHERE l.is_final
)
SELECT
    u.* EXCLUDE (units), p.meter, p.currency, p.volume, p.cap_minor,
    least(greatest(coalesce(u.quantity, 0), 0), p.included) AS included,
    least(greatest(coalesce(u.quantity, 0) - p.included, 0), u.units) AS credited,
    greatest(greatest(coalesce(u.quantity, 0) - p.included, 0) - u.units, 0) AS billed
FROM used AS u JOIN metered_prices AS p USING (product, price_id);

-- A graduated price splits the units over its tiers; a volume price puts all of them into the tier of their total.
-- A tier's flat amount is due once the tier is reached, and that of the first tier for no units at all.
CREATE OR REPLACE TEMP VIEW steps_again AS
WITH tier AS (
    SELECT *, row_number() OVER (PARTITION BY product, price_id ORDER BY over) AS place FROM tiers
),
reached AS (
    SELECT
        b.subscription_id, b.cycle, b.is_closed, b.is_final, b.price_id, t.over, t.up_to, t.unit_amount_minor, t.flat_amount_minor,
        CASE WHEN b.volume THEN 1 ELSE t.place END AS step,
        CASE WHEN b.volume THEN b.billed ELSE units_within(b.billed, t.over, t.up_to) END AS quantity
    FROM billed_again AS b JOIN tier AS t USING (product, price_id)
    WHERE b.quantity IS NOT NULL
        AND CASE
            WHEN b.billed = 0 THEN t.place = 1 AND t.flat_amount_minor > 0
            WHEN b.volume THEN t.over < b.billed AND b.billed <= coalesce(t.up_to, b.billed)
            ELSE t.over < b.billed
        END
)
SELECT *, quantity * unit_amount_minor + flat_amount_minor AS amount_minor_unrounded FROM reached;

CREATE OR REPLACE TEMP VIEW charges_again AS
WITH summed AS (
    SELECT subscription_id, cycle, is_final, price_id, sum(quantity) AS priced, sum(amount_minor_unrounded) AS uncapped
    FROM steps_again GROUP BY ALL
),
charged AS (
    SELECT
        b.*,
        b.billed - coalesce(s.priced, 0) AS unpriced,
        coalesce(s.uncapped, 0) AS uncapped_minor_unrounded,
        least(coalesce(s.uncapped, 0), b.cap_minor) AS amount_minor_unrounded
    FROM billed_again AS b LEFT JOIN summed AS s USING (subscription_id, cycle, is_final, price_id)
)
SELECT *, round_minor(amount_minor_unrounded) AS amount_minor FROM charged;
