-- Exact arithmetic. DuckDB divides decimals as floats, so division is done on whole numbers of the 12th place.
CREATE OR REPLACE TEMP MACRO parts(quantity) AS CAST(replace(CAST(quantity AS VARCHAR), '.', '') AS HUGEINT);

CREATE OR REPLACE TEMP MACRO from_parts(whole) AS
    CAST(whole // 1000000000000 AS DECIMAL(38, 12))
    + CAST(whole % 1000000000000 AS DECIMAL(13, 0)) * CAST(0.000000000001 AS DECIMAL(13, 12));

-- Half away from zero, in the 12th place; null without events. The remainder has the sign of the total.
CREATE OR REPLACE TEMP MACRO mean_of_parts(total, events) AS
    from_parts(total // events + CASE WHEN 2 * abs(total % events) >= events THEN sign(total) ELSE 0 END);

CREATE OR REPLACE TEMP MACRO mean(total, events) AS mean_of_parts(parts(total), nullif(events, 0));

-- Rounded down, where DuckDB rounds towards zero; and what is left, which is never negative.
CREATE OR REPLACE TEMP MACRO floor_mod(number, by_) AS (number % by_ + by_) % by_;

CREATE OR REPLACE TEMP MACRO floor_div(number, by_) AS (number - floor_mod(number, by_)) // by_;

-- (seconds x 10^6 + microseconds) / length, in parts of the 12th place: half away from zero. The whole product may not
-- fit, so the seconds are divided first, and their rest goes on with the microseconds.
CREATE OR REPLACE TEMP MACRO rest_of_level(seconds, microseconds, length) AS
    floor_mod(seconds, length) * 1000000 + microseconds;

CREATE OR REPLACE TEMP MACRO floor_of_level(seconds, microseconds, length) AS
    floor_div(seconds, length) * 1000000 + floor_div(rest_of_level(seconds, microseconds, length), length);

CREATE OR REPLACE TEMP MACRO mean_level(seconds, microseconds, length) AS from_parts(
    floor_of_level(seconds, microseconds, length)
    + CASE
        WHEN 2 * floor_mod(rest_of_level(seconds, microseconds, length), length) > length THEN 1
        WHEN 2 * floor_mod(rest_of_level(seconds, microseconds, length), length) = length
            AND floor_of_level(seconds, microseconds, length) >= 0 THEN 1
        ELSE 0
    END
);

-- The least of the sorted values that so many percent of them do not exceed.
CREATE OR REPLACE TEMP MACRO nearest_rank(sorted, percent) AS
    sorted[CAST((parts(percent) * len(sorted) + 99999999999999) // 100000000000000 AS BIGINT)];

-- Text that is spelled as a number of JSON. Its digits are written with the point behind the 15th of them: the next 12 are
-- the places, and the one after them decides on rounding, half away from zero. A lambda over a list of one keeps what would
-- be written out again wherever it is used.
CREATE OR REPLACE TEMP MACRO power_of_ten(text) AS CASE
    WHEN regexp_matches(text, '[eE]-0*[1-9][0-9]{9}') THEN -1000000000
    WHEN regexp_matches(text, '[eE][+]?0*[1-9][0-9]{9}') THEN 1000000000
    ELSE coalesce(TRY_CAST(regexp_extract(text, '[eE](.+)$', 1) AS BIGINT), 0)
END;

CREATE OR REPLACE TEMP MACRO number_of_text(text) AS
    list_transform(list_transform(list_transform(
        [{
            'whole': regexp_extract(text, '^-?([0-9]+)', 1),
            'spelled': regexp_replace(regexp_extract(text, '^-?([0-9.]+)', 1), '[.]', ''),
            'power': power_of_ten(text)
        }],
        lambda s: {
            'digits': ltrim(s.spelled, '0'),
            'before_point': len(s.whole) + s.power - (len(s.spelled) - len(ltrim(s.spelled, '0')))
        }),
        lambda s: {
            'before_point': CASE WHEN s.digits = '' THEN -99 ELSE s.before_point END,
            'moved': rpad(repeat('0', 15 - greatest(s.before_point, -13)) || s.digits[:40], 28, '0')
        }),
        lambda s: CASE
            WHEN NOT regexp_full_match(text, '-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?') THEN NULL
            WHEN s.before_point < -12 THEN CAST(0 AS DECIMAL(38, 12))
            WHEN s.before_point > 15 OR s.moved >= '9999999999999999999999999995' THEN NULL
            ELSE from_parts(
                CAST(CASE WHEN text LIKE '-%' THEN -1 ELSE 1 END AS HUGEINT)
                * (TRY_CAST(s.moved[:27] AS HUGEINT) + CASE WHEN s.moved[28:28] >= '5' THEN 1 ELSE 0 END)
            )
        END
    )[1];

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

-- Whether rows are missing, or there are too many where more may not come.
CREATE OR REPLACE TEMP MACRO differs_from(noted, stored, may_grow) AS
    CASE WHEN may_grow THEN coalesce(stored, 0) < noted ELSE coalesce(stored, 0) <> noted END;

-- A text as canonical JSON. DuckDB writes the digits of `\u001f` in capitals, and the others do not: so control
-- characters are put in one by one, which no text can be taken for before they are.
CREATE OR REPLACE TEMP MACRO control_json(character) AS CASE character
    WHEN chr(8) THEN '\b'
    WHEN chr(9) THEN '\t'
    WHEN chr(10) THEN '\n'
    WHEN chr(12) THEN '\f'
    WHEN chr(13) THEN '\r'
    ELSE printf('\u%04x', unicode(character))
END;

CREATE OR REPLACE TEMP MACRO json_text(text) AS CASE
    WHEN regexp_matches(text, '[\x00-\x1f]') THEN '"' || list_aggregate(
        list_transform(
            string_split(text, ''),
            lambda character: CASE
                WHEN character IN ('"', '\') THEN '\' || character
                WHEN unicode(character) < 32 THEN control_json(character)
                ELSE character
            END
        ),
        'string_agg',
        ''
    ) || '"'
    ELSE CAST(to_json(text) AS VARCHAR)
END;
