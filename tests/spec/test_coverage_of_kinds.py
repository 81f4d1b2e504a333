"""The index of the manual: every kind that can be configured or met has a paragraph that tells what it does.

A new kind fails here until it has one, and so does a paragraph that is renamed or does not speak of its kind any more.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

import pytest

from meterhouse.catalog import Aggregation, Clause, Filter, FixedPrice, MeterCredits, TieredPrice, UnitPrice
from meterhouse.catalog.people import Subscription
from meterhouse.catalog.products import Price
from meterhouse.catalog.row_files import FORMATS
from meterhouse.credits.burn_down import _KINDS as ENTRIES
from meterhouse.landing.reasons import Reason
from meterhouse.money import Rounding
from meterhouse.periods import Interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

CHAPTERS: Final = Path(__file__).parent


def kinds_of(model: type[BaseModel], field: str) -> set[str]:
    return set(get_args(model.model_fields[field].annotation))


PRICES: Final = (FixedPrice, UnitPrice, TieredPrice)

KINDS: Final[dict[str, set[str]]] = {
    "price": {kind for price in PRICES for kind in kinds_of(price, "kind")},
    "billed": kinds_of(FixedPrice, "billed"),
    "benefit": kinds_of(MeterCredits, "kind"),
    "aggregation": kinds_of(Aggregation, "func"),
    "operator": kinds_of(Clause, "operator"),
    "conjunction": kinds_of(Filter, "conjunction"),
    "interval": set(get_args(Interval)),
    "billing": kinds_of(Subscription, "billing"),
    "end": kinds_of(Subscription, "end"),
    "format": set(FORMATS),
    "refusal": set(get_args(Reason)),
    "entry": set(ENTRIES),
    "rounding": set(get_args(Rounding)),
}

# Kinds that one paragraph tells of together stand in one row.
INDEX: Final = """
of          | kind                             | chapter         | paragraph
price       | fixed                            | catalog         | a_fixed_price_is_due_in_advance_unless_it_says_otherwise
price       | unit                             | rating          | unit_price_is_one_tier_without_end
price       | graduated                        | rating          | graduated_price_bills_each_unit_at_the_tier_it_falls_in
price       | volume                           | rating          | volume_price_bills_all_units_at_the_tier_the_total_falls_in
billed      | in_advance                       | invoicing       | a_fee_in_advance_is_on_the_invoice_of_the_cycle_that_begins
billed      | in_arrears                       | catalog         | a_fixed_price_is_due_in_advance_unless_it_says_otherwise
benefit     | meter_credits                    | catalog         | credits_are_forfeited_and_come_first_unless_they_say_otherwise
aggregation | count sum max min avg last       | metering        | an_aggregation_counts_values_of_its_type
aggregation | unique                           | metering        | an_aggregation_counts_values_of_its_type
aggregation | weighted_sum                     | metering        | a_weighted_sum_is_the_mean_level_over_the_real_seconds_of_the_period
aggregation | percentile                       | metering        | a_percentile_is_the_least_value_that_so_many_percent_do_not_exceed
operator    | eq ne gt gte lt lte like         | metering        | a_clause_compares_by_type
operator    | not_like in not_in exists        | metering        | a_clause_compares_by_type
conjunction | and or                           | metering        | and_or_nest
interval    | day week month quarter year      | periods         | a_period_is_so_many_intervals
billing     | anniversary calendar             | people          | boundaries_are_counted_from_the_start_from_an_anchor_or_with_the_calendar
end         | at_once                          | periods         | ending_at_once_cuts_the_cycle
end         | period_end                       | periods         | ending_at_period_end_lets_the_cycle_run_out
format      | csv                              | people          | people_are_read_from_csv
format      | jsonl                            | people          | people_are_read_from_jsonl
format      | parquet                          | people          | people_are_read_from_parquet
refusal     | bad_json unknown_shape           | landing_records | a_record_that_cannot_be_used_is_kept_with_its_reason
refusal     | wrong_type no_name name_too_long | landing_records | a_record_that_cannot_be_used_is_kept_with_its_reason
refusal     | no_event_id no_customer          | landing_records | a_record_that_cannot_be_used_is_kept_with_its_reason
refusal     | no_timestamp bad_timestamp       | landing_records | a_record_that_cannot_be_used_is_kept_with_its_reason
refusal     | timestamp_in_future              | landing_records | a_record_that_cannot_be_used_is_kept_with_its_reason
refusal     | bad_received_at bad_metadata     | landing_records | a_record_that_cannot_be_used_is_kept_with_its_reason
refusal     | number_out_of_range              | landing_records | a_record_that_cannot_be_used_is_kept_with_its_reason
refusal     | repeated_field id_too_long       | landing_records | a_record_that_cannot_be_used_is_kept_with_its_reason
refusal     | bad_utf8                         | landing_files   | bytes_that_are_not_utf8_are_shown
refusal     | unknown_columns                  | landing_files   | a_parquet_file_with_other_columns_is_refused_as_a_whole
refusal     | unreadable_file                  | landing_files   | a_damaged_file_is_reported_and_what_could_be_read_is_landed
refusal     | no_voided_event                  | landing_records | a_record_that_cannot_be_used_is_kept_with_its_reason
refusal     | timestamp_too_old                | landing_records | a_record_that_cannot_be_used_is_kept_with_its_reason
refusal     | bad_csv                          | landing_csv     | a_row_that_is_not_as_the_first_line_has_it_is_refused_alone
refusal     | record_too_large                 | landing_bounds  | of_a_record_that_is_too_large_the_refusal_holds_the_first_bytes
refusal     | too_many_properties              | landing_bounds  | how_deep_and_how_many_properties_metadata_may_have_are_settings
refusal     | file_changed                     | landing_files   | a_file_that_changes_when_some_of_it_is_stored_is_noted_as_one_that_broke_off
refusal     | no_id_in_changed_file            | landing_files   | records_without_ids_of_a_file_that_changed_are_refused_since_they_may_count_already
entry       | granted used forfeited           | credits         | unused_units_are_forfeited_at_the_end_of_the_cycle
entry       | rolled_over                      | credits         | unused_units_with_rollover_are_granted_again_in_the_next_cycle
rounding    | half_away_from_zero half_even    | money           | a_half_is_rounded_as_the_setting_says
"""  # noqa: E501 - names of paragraphs are sentences


def index() -> Iterator[tuple[str, str, str, str]]:
    """Each kind with its paragraph."""
    for line in INDEX.strip().splitlines()[1:]:
        of, kinds, chapter, paragraph = (cell.strip() for cell in line.split("|"))
        yield from ((of, kind, chapter, f"test_{paragraph}") for kind in kinds.split())


@pytest.mark.parametrize("of", KINDS)
def test_every_kind_is_in_the_index_once(of: str) -> None:
    assert sorted(kind for found, kind, *_ in index() if found == of) == sorted(KINDS[of])


def test_every_price_of_a_product_is_a_kind() -> None:
    assert set(get_args(get_args(Price)[0])) == set(PRICES)


@pytest.mark.parametrize(("of", "kind", "chapter", "paragraph"), list(index()))
def test_the_paragraph_is_there_and_speaks_of_the_kind(of: str, kind: str, chapter: str, paragraph: str) -> None:
    definitions = definitions_of(chapter)
    assert paragraph in definitions, f"Chapter {chapter} has no paragraph {paragraph}; mend the index."
    told = re.compile(rf"(?<![a-z_]){kind}(?![a-z_])")
    assert any(told.search(text) for text in texts(paragraph, definitions)), f"It says nothing of {of} '{kind}'."


@cache
def definitions_of(chapter: str) -> dict[str, ast.AST]:
    """Functions and constants of a chapter, by name."""
    definitions: dict[str, ast.AST] = {}
    for node in ast.parse((CHAPTERS / f"test_{chapter}.py").read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=name):
                definitions[name] = node
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                definitions[name] = node
            case _:
                pass
    return definitions


def texts(name: str, definitions: dict[str, ast.AST], seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Texts, keywords and attributes in a definition, and in those of its chapter that it uses."""
    for node in ast.walk(definitions[name]):
        match node:
            case ast.Constant(value=str(text)) | ast.keyword(arg=str(text)) | ast.Attribute(attr=text):
                yield text
            case ast.Name(id=used) if used in definitions and used not in seen:
                yield from texts(used, definitions, seen | {name})
            case _:
                pass
