"""No value can be altered unnoticed: for each check, one row is changed by the smallest step and found."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import duckdb
import polars as pl
import pytest

from meterhouse.auditing import CHECKS, NOTICES, Finding
from meterhouse.auditing.audit import audit_tables, measure_usage, prepare, run_check
from meterhouse.catalog import read_project
from meterhouse.metering import EventProperties
from meterhouse.metering.grouping import group_columns, group_json
from meterhouse.tables import WAREHOUSE
from meterhouse.tables.properties import column_of
from meterhouse.warehouse import Warehouse
from tests.oracle.engine import audit_frames, register
from tests.oracle.projects import bill_twice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meterhouse.money import Rounding

Tables = dict[str, pl.DataFrame]

ALTERATIONS: Final = """
    check               | table                | changed                  | row
    landed_files        | landed_files         | records                  | true
    landed_files        | landed_files         | duplicates               | true
    unfinished_landings | landed_files         | DROP                     | true
    landed_files        | events               | DROP                     | WAS_LANDED
    landed_files        | rejected_events      | DROP                     | WAS_LANDED
    landed_files        | event_duplicates     | DROP                     | WAS_LANDED
    landed_files        | event_conflicts      | DROP                     | WAS_LANDED
    landed_files        | voids                | DROP                     | true
    landed_files        | landed_files         | voids                    | true
    events              | events               | REPEAT                   | true
    events              | events               | date                     | true
    landed_files        | files_read_again     | events                   | true
    landed_files        | files_read_again     | rejected                 | true
    unfinished_landings | retried_records      | DROP                     | outcome = 'event'
    retried_records     | retried_records      | outcome                  | true
    retried_records     | retried_records      | position                 | true
    retried_records     | rejected_events      | DROP                     | WAS_RETRIED
    retried_records     | events               | DROP                     | WAS_RETRIED
    retried_records     | events               | REPEAT                   | WAS_RETRIED
    retried_records     | event_duplicates     | DROP                     | WAS_RETRIED
    retried_records     | files_read_again     | DROP                     | true
    voids               | voided_events        | DROP                     | true
    voids               | voided_events        | event_id                 | true
    voids               | voided_events        | date                     | true
    voids               | voids                | DROP                     | VOIDS_ALONE
    voids               | events               | DROP                     | IS_VOIDED
    events_by_day       | voided_events        | DROP                     | true
    usage_daily         | voided_events        | DROP                     | true
    events_by_day       | usage_daily          | skipped                  | true
    events_by_day       | usage_daily          | DROP                     | events > 0
    events_by_day       | events               | DROP                     | true
    usage_daily         | usage_daily          | events                   | true
    usage_daily         | usage_daily          | skipped                  | true
    usage_daily         | usage_daily          | sum                      | meter = 'tokens'
    usage_daily         | usage_daily          | min                      | meter = 'least' AND events > 0
    usage_daily         | usage_daily          | max                      | meter = 'most' AND events > 0
    usage_daily         | usage_daily          | last                     | meter = 'level' AND events > 0
    usage_daily         | usage_daily          | last_timestamp           | meter = 'level' AND events > 0
    usage_daily         | usage_daily          | last_event_id            | meter = 'level' AND events > 0
    usage_daily         | usage_daily          | distinct_values          | meter = 'plans' AND events > 0
    usage_daily         | usage_daily          | sum_by_seconds           | meter = 'stock'
    usage_daily         | usage_daily          | sum_by_microseconds      | meter = 'stock'
    usage_daily         | usage_daily          | last_source              | meter = 'level' AND events > 0
    usage_daily         | usage_daily          | sorted_values            | meter = 'burst' AND events > 0
    usage_daily         | usage_daily          | customer_id              | true
    usage_daily         | usage_daily          | attributed               | true
    usage_daily         | usage_daily          | slice_start              | true
    usage_daily         | usage_daily          | DROP                     | true
    usage_daily         | events               | number_tokens            | name = 'call' AND number_tokens > 0
    usage_daily         | events               | customer_id              | customer_id = 'ada'
    usage_daily         | customers            | external_id              | customer_id = 'ada'
    usage_daily         | billing_periods      | period_start             | CUTS_EVENTS
    usage               | usage                | quantity                 | IS_OPEN AND quantity IS NOT NULL
    usage               | usage                | events                   | IS_OPEN
    usage               | usage                | skipped                  | IS_OPEN
    usage               | usage                | customer_id              | IS_OPEN
    usage               | usage                | period_end               | IS_OPEN
    usage               | usage                | DROP                     | IS_OPEN
    usage               | billing_periods      | DROP                     | IS_OPEN
    usage_by_group      | usage_by_group       | quantity                 | IS_OPEN AND quantity IS NOT NULL
    usage_by_group      | usage_by_group       | events                   | IS_OPEN
    usage_by_group      | usage_by_group       | events                   | NOT IS_OPEN
    usage_by_group      | usage_by_group       | skipped                  | NOT IS_OPEN
    usage_by_group      | usage_by_group       | customer_id              | true
    usage_by_group      | usage_by_group       | period_start             | true
    usage_by_group      | usage_by_group       | period_end               | true
    usage_by_group      | usage_by_group       | group_json               | IS_OPEN
    usage_by_group      | usage_by_group       | cycle                    | true
    usage_by_group      | usage_by_group       | DROP                     | IS_OPEN
    usage_by_group      | usage_by_group       | DROP                     | NOT IS_OPEN
    late_usage          | usage                | FEWER EVENTS             | NOT IS_OPEN AND IS_ON_TIME
    credit_grants       | draft_credit_entries | units                    | kind = 'granted'
    credit_grants       | draft_credit_entries | rank                     | kind = 'granted'
    credit_grants       | draft_credit_entries | DROP                     | kind = 'granted'
    credit_grants       | credit_ledger        | units                    | kind = 'rolled_over'
    credit_grants       | benefits             | units                    | IS_GRANTED
    credit_entries      | credit_ledger        | units                    | kind = 'used'
    credit_entries      | credit_ledger        | DROP                     | kind = 'used'
    credit_entries      | credit_ledger        | units                    | kind = 'forfeited'
    credit_entries      | credit_ledger        | units                    | kind = 'rolled_over'
    credit_entries      | draft_credit_entries | units                    | kind = 'used'
    credit_entries      | draft_credit_entries | REPEAT                   | kind = 'used'
    credit_balances     | credit_ledger        | units                    | kind = 'granted'
    credit_balances     | credit_ledger        | balance_after            | true
    credit_balances     | credit_ledger        | REPEAT                   | kind = 'used'
    credit_balances     | draft_credit_entries | balance_before           | true
    credits_on_lines    | invoice_lines        | credited                 | kind = 'usage'
    credits_on_lines    | draft_invoice_lines  | credited                 | kind = 'usage'
    credits_on_lines    | credit_ledger        | DROP                     | kind = 'used' AND IS_ON_LINE
    charges             | draft_invoice_lines  | quantity                 | kind = 'usage' AND quantity IS NOT NULL
    charges             | draft_invoice_lines  | included                 | kind = 'usage'
    charges             | draft_invoice_lines  | credited                 | kind = 'usage'
    charges             | draft_invoice_lines  | billed                   | kind = 'usage'
    charges             | draft_invoice_lines  | unpriced                 | kind = 'usage'
    charges             | draft_invoice_lines  | uncapped_minor_unrounded | kind = 'usage'
    charges             | draft_invoice_lines  | amount_minor_unrounded   | kind = 'usage'
    charges             | draft_invoice_lines  | amount_minor             | kind = 'usage'
    charges             | draft_invoice_lines  | DROP                     | kind = 'usage'
    charges             | estimates            | amount_minor             | true
    charges             | estimates            | billed                   | true
    charges             | estimates            | DROP                     | true
    charges             | metered_prices       | included                 | IS_PRICING
    charges             | tiers                | unit_amount_minor        | IS_PRICING
    steps               | draft_rated_lines    | over                     | true
    steps               | draft_rated_lines    | quantity                 | true
    steps               | draft_rated_lines    | unit_amount_minor        | true
    steps               | draft_rated_lines    | flat_amount_minor        | true
    steps               | draft_rated_lines    | amount_minor_unrounded   | true
    steps               | draft_rated_lines    | DROP                     | true
    final_steps         | rated_lines          | step                     | true
    final_steps         | rated_lines          | over                     | HAS_MORE_STEPS
    final_steps         | rated_lines          | up_to                    | up_to = over + quantity
    final_steps         | rated_lines          | quantity                 | true
    final_steps         | rated_lines          | unit_amount_minor        | quantity > 0
    final_steps         | rated_lines          | flat_amount_minor        | true
    final_steps         | rated_lines          | amount_minor_unrounded   | true
    final_steps         | rated_lines          | DROP                     | step = 1 AND HAS_MORE_STEPS
    final_steps         | rated_lines          | REPEAT                   | true
    final_steps         | invoice_lines        | billed                   | billed > 0 AND unpriced = 0
    final_steps         | invoice_lines        | DROP                     | billed > 0 AND unpriced = 0
    changed_prices      | invoice_lines        | included                 | kind = 'usage' AND IS_OF_LAST_RUN
    changed_prices      | invoice_lines        | unpriced                 | kind = 'usage' AND IS_OF_LAST_RUN
    changed_prices      | invoice_lines        | uncapped_minor_unrounded | kind = 'usage' AND IS_OF_LAST_RUN
    changed_prices      | invoice_lines        | amount_minor_unrounded   | kind = 'usage' AND IS_OF_LAST_RUN
    changed_prices      | rated_lines          | unit_amount_minor        | IS_OF_LAST_RUN
    changed_prices      | rated_lines          | DROP                     | IS_OF_LAST_RUN
    changed_prices      | tiers                | unit_amount_minor        | HAS_PRICED
    changed_prices      | metered_prices       | cap_minor                | cap_minor IS NULL AND HAS_COST
    changed_prices      | metered_prices       | included                 | HAS_PRICED
    fees                | draft_invoice_lines  | amount_minor             | kind = 'fixed'
    fees                | draft_invoice_lines  | period_end               | kind = 'fixed'
    fees                | draft_invoice_lines  | DROP                     | kind = 'fixed'
    lines               | invoice_lines        | quantity                 | kind = 'usage' AND quantity IS NOT NULL
    lines               | invoice_lines        | billed                   | kind = 'usage'
    lines               | invoice_lines        | uncapped_minor_unrounded | kind = 'usage'
    lines               | invoice_lines        | amount_minor_unrounded   | kind = 'usage'
    lines               | invoice_lines        | amount_minor             | kind = 'usage'
    lines               | invoice_lines        | amount_minor             | kind = 'fixed'
    lines               | rated_lines          | quantity                 | true
    lines               | rated_lines          | unit_amount_minor        | quantity > 0
    lines               | rated_lines          | amount_minor_unrounded   | true
    lines               | rated_lines          | DROP                     | quantity > 0
    lines               | usage                | DROP                     | HAS_FINAL_LINE
    invoices            | invoices             | total_minor              | true
    invoices            | invoices             | lines                    | true
    invoices            | invoices             | is_zero                  | true
    invoices            | invoices             | currency                 | lines > 0
    invoices            | invoices             | DROP                     | lines > 0
    invoices            | draft_invoices       | sequence                 | true
    invoices            | invoice_lines        | line_no                  | true
    invoices            | invoice_lines        | amount_minor             | true
    invoices            | invoice_lines        | DROP                     | true
    invoice_numbers     | invoices             | sequence                 | true
    invoice_numbers     | invoices             | number                   | true
    invoice_numbers     | invoices             | DROP                     | sequence = 2
    invoice_numbers     | invoices             | REPEAT                   | sequence = 2
    invoice_numbers     | invoices             | finalized_at             | sequence = 2
    invoice_cycles      | invoices             | DROP                     | cycle = 1
    invoice_cycles      | draft_invoices       | issued_at                | true
    invoice_cycles      | draft_invoices       | customer_id              | true
    invoice_cycles      | draft_invoices       | product                  | true
    invoice_cycles      | draft_invoices       | REPEAT                   | true
"""

_WORDS: Final = {
    "CUTS_EVENTS": "(customer_id, period_start) IN (SELECT (customer_id, slice_start) FROM usage_daily "
    "WHERE slice_start > date)",
    "VOIDS_ALONE": "(source, event_id) IN (SELECT (source, event_id) FROM voids SEMI JOIN voided_events "
    "USING (source, event_id) GROUP BY ALL HAVING count(*) = 1)",
    "IS_VOIDED": "(source, event_id) IN (SELECT (source, event_id) FROM voided_events)",
    # Those that a retry landed are another check's.
    "WAS_LANDED": "(file_id, position) NOT IN (SELECT (file_id, position) FROM retried_records)",
    "WAS_RETRIED": "(file_id, position) IN (SELECT (file_id, position) FROM retried_records WHERE position > 0)",
    "HAS_MORE_STEPS": "(invoice_id, line_no) IN (SELECT (invoice_id, line_no) FROM rated_lines WHERE step = 2)",
    "HAS_PRICED": "(product, price_id) IN (SELECT (product, price_id) FROM invoice_lines "
    "JOIN invoices USING (invoice_id) WHERE kind = 'usage' AND billed > 0 AND IS_OF_LAST_RUN)",
    "HAS_COST": "(product, price_id) IN (SELECT (product, price_id) FROM invoice_lines "
    "JOIN invoices USING (invoice_id) WHERE amount_minor_unrounded > 1 AND IS_OF_LAST_RUN)",
    # Prices changed between the runs: only what became final in the last one has the prices of today.
    "IS_OF_LAST_RUN": "invoice_id IN (SELECT invoice_id FROM invoices "
    "WHERE finalized_at = (SELECT max(finalized_at) FROM invoices))",
    "IS_OPEN": "(subscription_id, cycle) NOT IN (SELECT (subscription_id, cycle - 1) FROM invoices)",
    "IS_ON_TIME": "meter = 'calls' AND events > 0 AND events = (SELECT count(*) FROM events AS e WHERE e.name = 'call' "
    "AND e.customer_id = numbered.customer_id AND e.timestamp >= period_start AND e.timestamp < period_end)",
    "IS_ON_LINE": "invoice_id || meter IN (SELECT invoice_id || meter FROM invoice_lines)",
    "HAS_FINAL_LINE": "(subscription_id, cycle, meter) IN (SELECT (subscription_id, cycle - 1, meter) "
    "FROM invoice_lines JOIN invoices USING (invoice_id) WHERE kind = 'usage')",
    "IS_GRANTED": "(product, benefit_id) IN (SELECT (product, benefit_id) FROM draft_credit_entries "
    "JOIN subscriptions USING (subscription_id))",
    "IS_PRICING": "(product, price_id) IN (SELECT (product, price_id) FROM draft_invoice_lines "
    "JOIN draft_invoices USING (invoice_id) WHERE kind = 'usage' AND billed > 0)",
}


def alterations() -> list[list[str]]:
    lines = ALTERATIONS.strip().splitlines()[1:]
    return [[cell.strip() for cell in line.split("|", maxsplit=3)] for line in lines]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """All stored tables after the two runs of a project."""
    root = tmp_path_factory.mktemp("altered") / "project"
    bill_twice(root, seed=5)
    warehouse = Warehouse(str(read_project(root).warehouse))
    return {name: warehouse.scan(name).collect() for name in WAREHOUSE}


@pytest.fixture(scope="module")
def stored(tables: Tables) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        register(connection, tables)
        prepare(connection)
        yield connection


@pytest.fixture(scope="module")
def unaltered(tables: Tables) -> dict[str, Finding]:
    return {finding.check: finding for finding in audit_frames(tables)}


@pytest.mark.parametrize(("check", "table", "changed", "row"), alterations())
def test_one_altered_value_is_found(
    stored: duckdb.DuckDBPyConnection,
    tables: Tables,
    unaltered: dict[str, Finding],
    check: str,
    table: str,
    changed: str,
    row: str,
) -> None:
    stored.register(table, alter(stored, tables[table], changed, row))
    measure_usage(stored)
    finding = run_check(stored, check)
    stored.register(table, tables[table])

    assert unaltered[check].passed
    assert finding.differing > unaltered[check].differing
    assert finding.examples
    assert finding.passed == (check in NOTICES)


def test_every_check_can_fail() -> None:
    assert {check for check, *_ in alterations()} == set(CHECKS)


def test_a_landing_that_was_cut_short_is_news_and_its_events_count_nowhere(tables: Tables) -> None:
    rest = tables["events"].head(3).with_columns(pl.concat_str("event_id", pl.lit(" again")), file_id=pl.lit("new"))
    found = audit_frames({**tables, "events": pl.concat([tables["events"], rest])})
    assert {finding.check for finding in found if not finding.passed} == set()
    (landing,) = (finding for finding in found if finding.check == "unfinished_landings")
    assert (landing.verdict, landing.differing, landing.examples[0]["file_id"]) == ("notice", 1, "new")


@pytest.mark.parametrize(("window", "passes"), [(None, False), (40, False), (39, True)])
def test_events_of_one_id_may_stand_twice_beyond_the_window(tables: Tables, window: int | None, passes: bool) -> None:
    again = tables["events"].head(1).with_columns(pl.col("timestamp", "date").dt.offset_by("40d"))
    with duckdb.connect() as connection:
        register(connection, {"events": pl.concat([tables["events"], again])})
        (found,) = audit_tables(connection, checks=["events"], dedupe_window_days=window)
    assert found.passed == passes


def test_a_check_says_where_there_was_nothing_to_compare(unaltered: dict[str, Finding]) -> None:
    assert {finding.verdict for finding in audit_frames({})} == {"nothing to compare"}
    assert unaltered["lines"].verdict == "agree"
    assert unaltered["late_usage"].verdict == "notice"
    assert replace(unaltered["lines"], differing=1).verdict == "DIFFER"


def test_a_text_is_the_same_json_in_both_engines() -> None:
    """Else a group whose name has a control character would be reported as a difference."""
    characters = [
        chr(code) for code in (*range(0x300), 0x2028, 0x2029, 0xE000, 0xFEFF, 0xFFFD, 0xFFFF, 0x1F600, 0x10FFFF)
    ]
    texts = [*characters, "".join(characters), r"\u001F", r"\\u001f", "\x1f\\u001F", '"\\', "", "e\u0301\x0b👨‍👩‍👧"]
    with duckdb.connect() as connection:
        register(connection, {})
        prepare(connection)
        connection.register("texts", pl.DataFrame({"place": range(len(texts)), "text": texts}))
        theirs = connection.execute("SELECT json_text(text) FROM texts ORDER BY place").fetchall()

    properties = EventProperties([column_of("text", "model")])
    groups = pl.LazyFrame({column_of("text", "model"): texts}).with_columns(**group_columns(["model"], properties))
    ours = groups.select(group_json(["model"])).collect().to_series().to_list()
    assert ours == [f'{{"model":{text}}}' for (text,) in theirs]
    assert ours == [f'{{"model":{json.dumps(text, ensure_ascii=False)}}}' for text in texts]


def test_rounding_is_the_settings_own() -> None:
    """Half a minor unit goes up by one rule and to the even neighbour by the other."""
    halves = [Decimal(half) for half in ("0.5", "1.5", "2.5", "-0.5", "-2.5", "2.500000000000000000000001", "2.4")]
    roundings: tuple[Rounding, ...] = ("half_away_from_zero", "half_even")
    rounded = {}
    for rounding in roundings:
        with duckdb.connect() as connection:
            register(connection, {})
            prepare(connection, rounding)
            chosen = ", ".join(f"round_minor(CAST({half} AS DECIMAL(38, 24)))" for half in halves)
            rounded[rounding] = connection.execute(f"SELECT {chosen}").fetchall()[0]

    assert rounded == {"half_away_from_zero": (1, 2, 3, -1, -3, 3, 2), "half_even": (0, 2, 2, 0, -2, 3, 2)}


def alter(stored: duckdb.DuckDBPyConnection, rows: pl.DataFrame, changed: str, row: str) -> pl.DataFrame:
    """The rows with one altered: the first that `row` names, in SQL."""
    numbered = rows.with_row_index("place")
    for word, meaning in _WORDS.items():
        row = row.replace(word, f"({meaning})")
    stored.register("numbered", numbered)
    place = stored.execute(f"SELECT min(place) FROM numbered WHERE {row}").fetchall()[0][0]
    assert place is not None, f"no row where {row}"
    is_it = pl.col("place") == place
    match changed:
        case "DROP":
            altered = numbered.filter(~is_it)
        case "REPEAT":
            altered = pl.concat([numbered, numbered.filter(is_it)])
        case "FEWER EVENTS":
            altered = numbered.with_columns(events=pl.col("events") - is_it.cast(pl.Int64))
        case _:
            other = next_value(pl.col(changed), numbered.schema[changed])
            altered = numbered.with_columns(pl.when(is_it).then(other).otherwise(changed).alias(changed))
    return altered.drop("place")


def next_value(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Another value of the same type, the smallest step away."""
    scale = dtype.scale if isinstance(dtype, pl.Decimal) else 0
    steps: dict[type[pl.DataType], pl.Expr] = {
        pl.Boolean: ~value,
        pl.Date: value + timedelta(days=1),
        pl.Datetime: value + timedelta(microseconds=1),
        pl.Decimal: value + pl.lit(Decimal(1).scaleb(-scale), pl.Decimal(38, scale)),
        pl.Int64: value.fill_null(0) + 1,
        pl.List: pl.concat_list(value, value.list.last()),
        pl.String: value + "1",
    }
    return steps[dtype.base_type()]
