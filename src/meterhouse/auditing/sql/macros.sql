-- Exact arithmetic. DuckDB divides decimals as floats, so division is done on whole numbers of the 12th place.
CREATE OR REPLACE TEMP MACRO parts(quantity) AS CAST(replace(CAST(quantity AS VARCHAR), '.', '') AS HUGEINT);

CREATE OR REPLACE TEMP MACRO from_parts(whole) AS
    CAST(whole // 1000000000000 AS DECIMAL(38, 12))
    + CAST(whole % 1000000000000 AS DECIMAL(13, 0)) * CAST(0.000000000001 AS DECIMAL(13, 12));

-- Half away from zero, in the 12th place; null without events. The remainder has the sign of the total.
CREATE OR REPLACE TEMP MACRO mean_of_parts(total, events) AS
    from_parts(total // events + CASE WHEN 2 * abs(total % events) >= events THEN sign(total) ELSE 0 END);

CREATE OR REPLACE TEMP MACRO mean(total, events) AS mean_of_parts(parts(total), nullif(events, 0));

CREATE OR REPLACE TEMP MACRO half_away_from_zero(amount) AS
    CAST(trunc(amount) AS BIGINT) + CASE WHEN abs(amount - trunc(amount)) >= 0.5 THEN sign(amount) ELSE 0 END;

CREATE OR REPLACE TEMP MACRO half_even(amount) AS
    CAST(trunc(amount) AS BIGINT)
    + CASE
        WHEN abs(amount - trunc(amount)) > 0.5 THEN sign(amount)
        WHEN abs(amount - trunc(amount)) = 0.5 AND CAST(trunc(amount) AS BIGINT) % 2 <> 0 THEN sign(amount)
        ELSE 0
    END;

CREATE OR REPLACE TEMP MACRO number_text(number) AS rtrim(rtrim(CAST(number AS VARCHAR), '0'), '.');

CREATE OR REPLACE TEMP MACRO unix_seconds(instant) AS
    CAST(CAST(epoch_us(instant) AS DECIMAL(19, 0)) * CAST(0.000001 AS DECIMAL(7, 6)) AS DECIMAL(38, 12));

-- Days that the clock has not seen end are not metered; without a clock, all days are.
CREATE OR REPLACE TEMP MACRO is_metered(day) AS day < coalesce(CAST(clock() AS DATE), DATE 'infinity');

-- Units of `quantity` that lie above `over` and up to `up_to`.
CREATE OR REPLACE TEMP MACRO units_within(quantity, over, up_to) AS
    greatest(least(quantity, coalesce(up_to, quantity)) - over, 0);

-- What is left of `wanted` for one of several that are taken in turn, when those before it took `taken`.
CREATE OR REPLACE TEMP MACRO share(wanted, taken, units) AS greatest(least(wanted - taken, units), 0);
