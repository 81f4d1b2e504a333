-- The events that count, without their properties. A record without an id got one from its file and position.
CREATE OR REPLACE TEMP VIEW suspected_events AS
SELECT
    e.source, e.event_id, e.name, e.customer_id, e.external_customer_id, e.subscription_id, e.timestamp, e.metadata,
    e.file_id, e.position, e.event_id = sha256(e.file_id || ':' || e.position) AS has_no_id
FROM counting_events AS e;
