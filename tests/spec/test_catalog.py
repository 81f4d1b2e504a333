"""What people configure: settings, meters and products, and how each is refused that cannot be meant (rules 2 to 6)."""

from __future__ import annotations

from decimal import Decimal
from textwrap import dedent
from typing import TYPE_CHECKING, Final

import polars as pl
import pytest

from meterhouse.catalog import Clause, Filter, filter_json, read_filter, read_project
from meterhouse.errors import ProjectError
from tests.projects import project, refusal, refusal_with_lines
from tests.tables import assert_rows

if TYPE_CHECKING:
    from pathlib import Path

METER: Final = """
meters:
  calls:
    aggregation: {func: count}
"""
SMALLEST: Final = f"""{METER}
products:
  pro:
    prices:
      - {{id: fee, kind: fixed, amount: 5}}
"""


def with_price(price: str) -> str:
    """A catalog of a meter `calls` and a product `pro` with one price."""
    return f"{METER}\nproducts:\n  pro:\n    prices:\n      - {price}\n"


def prices(root: Path, *written: str, settings: str = "name: Test") -> dict[str, pl.LazyFrame]:
    """The rows of a product `pro` with these prices, and of a product `free` with none on a meter."""
    listed = "\n".join(f"      - {price}" for price in written)
    catalog = (
        f"{METER}  seats: {{aggregation: {{func: max, property: seats}}}}\nproducts:\n  pro:\n    prices:\n{listed}"
    )
    return {name: frame.lazy() for name, frame in project(root, catalog, settings).definitions.items()}


# --- Settings ---------------------------------------------------------------------------------------------------------


def test_all_settings_but_the_name_have_a_default(tmp_path: Path) -> None:
    assert project(tmp_path, SMALLEST, "name: Test").settings.model_dump() == {
        "name": "Test",
        "currency": "USD",
        "timezone": "UTC",
        "grace_days": 0,
        "due_days": 30,
        "invoice_series": "INV",
        "rounding": "half_away_from_zero",
        "missing_customer": "reject",
        "future_limit_days": 1,
        "past_limit_days": 7300,
        "dedupe_window_days": None,
        "events": "events",
        "warehouse": "warehouse",
        "sources": {},
        "limits": {
            "max_record_bytes": 16 << 20,
            "max_record_depth": 100,
            "max_record_properties": 1000,
            "max_inflation": 200,
            "max_property_columns": 500,
        },
    }


def test_folders_of_a_project_are_named_from_its_own_folder(tmp_path: Path) -> None:
    found = project(tmp_path, SMALLEST, "{name: Test, events: landing/events, warehouse: /srv/tables}")
    assert found.events == tmp_path / "landing" / "events"
    assert str(found.warehouse) == "/srv/tables"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("name: ''", "name: expected a text that is not empty; found ''"),
        ("name: 5", "name: expected a text; found 5"),
        ("currency: XXX", "currency: 'XXX' is not an ISO 4217 currency with a minor unit. Use a code such as USD, EUR"),
        ("timezone: Mars/Olympus", "timezone: 'Mars/Olympus' is not an IANA timezone such as Europe/Berlin"),
        ("timezone: Factory", "timezone: 'Factory' is not an IANA timezone such as Europe/Berlin"),
        ("grace_days: -1", "grace_days: expected at least 0; found -1"),
        ("grace_days: 1.5", "grace_days: expected a whole number; found 1.5"),
        ("grace_days: yes", "grace_days: expected a whole number; found True"),
        ("due_days: 400", "due_days: expected at most 366; found 400"),
        (
            "invoice_series: in voice",
            "invoice_series: expected a text of the pattern ^[A-Z0-9-]{1,12}$; found 'in voice'",
        ),
        ("rounding: up", "rounding: expected 'half_away_from_zero' or 'half_even'; found 'up'"),
        ("missing_customer: keep", "missing_customer: expected 'reject' or 'unattributed'; found 'keep'"),
        ("future_limit_days: 40000", "future_limit_days: expected at most 36500; found 40000"),
        ("events: ''", "events: expected a text that is not empty; found ''"),
        ("warehouse:", "warehouse: expected a text; found nothing"),
        (
            "sources: {crm: {files: '*.csv', shape: paddle}}",
            "sources.crm.shape: expected 'meterhouse', 'polar', 'dodo', 'cloudevents', 'stripe' or 'lago'; found",
        ),
        ("sources: {crm: {shape: lago}}", "sources.crm.files: is missing"),
        ("sources: {crm: {files: '*', colums: {}}}", "sources.crm.colums: is not known here; did you mean 'columns'?"),
        (
            "sources: {crm: {files: '*', csv: {delimiter: ab}}}",
            "sources.crm.csv.delimiter: 'ab' is not one character that may stand between values, such as ;",
        ),
        (
            "sources: {crm: {files: '*', timestamp_format: noon}}",
            "sources.crm.timestamp_format: 'noon' does not say how a date is written, as `%d.%m.%Y %H:%M` does",
        ),
        (
            "sources: {crm: {files: '*', shape: lago, columns: {name: what}}}",
            "sources.crm: `columns` names the fields of meterhouse's shape, so `shape` cannot be 'lago'",
        ),
        (
            "sources: {crm: {files: '*', properties: {n: {type: float}}}}",
            "sources.crm.properties.n.type: expected 'number', 'text' or 'flag'; found 'float'",
        ),
        ("curency: EUR", "curency: is not known here; did you mean 'currency'?"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(tmp_path: Path, setting: str, said: str) -> None:
    named = setting if setting.startswith("name") else f"name: Test\n{setting}"
    assert f"meterhouse.yaml cannot be used:\n  {said}" in refusal(tmp_path, SMALLEST, named)


@pytest.mark.parametrize(
    ("events", "warehouse"), [(".", "warehouse"), ("events", "events/tables"), ("events", "."), ("a/../same", "same")]
)
def test_tables_and_event_files_lie_apart(tmp_path: Path, events: str, warehouse: str) -> None:
    assert refusal(tmp_path, SMALLEST, f"name: t\nevents: {events}\nwarehouse: {warehouse}\n") == (
        f"meterhouse.yaml: `events: {events}` and `warehouse: {warehouse}` lie in each other. "
        "Expected two folders apart, so that tables are not taken for event files. Move one of them."
    )


def test_each_fault_names_its_line(tmp_path: Path) -> None:
    told = refusal_with_lines(
        tmp_path,
        """\
meters:
  calls: { aggregation: { func: count } }
  tokens:
    filter:
      clauses:
        - { property: model, operator: eq, value: large }
        - property: tokens
          operator: about
          value: 5
    aggregation: { property: tokens }
""",
    )
    assert "\n  line 8: meters.tokens.filter.clauses.1.operator: " in told
    assert "\n  line 10: meters.tokens.aggregation.func: is missing" in told


def test_all_faults_of_a_file_are_said_at_once(tmp_path: Path) -> None:
    assert refusal(tmp_path, SMALLEST, "{grace_days: -1, due_days: soon}") == dedent("""\
        meterhouse.yaml cannot be used:
          name: is missing
          grace_days: expected at least 0; found -1
          due_days: expected a whole number; found 'soon'
        Mend what is named, or compare with `meterhouse init`.""")


def test_a_folder_without_settings_is_not_a_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"there is no meterhouse.yaml, .* make one with `meterhouse init`"):
        read_project(tmp_path)


def test_a_currency_may_be_written_small(tmp_path: Path) -> None:
    assert project(tmp_path, SMALLEST, "{name: Test, currency: eur}").settings.currency == "EUR"


# --- YAML -------------------------------------------------------------------------------------------------------------


def test_numbers_are_exact(tmp_path: Path) -> None:
    tiers = prices(tmp_path, "{id: call, kind: unit, meter: calls, amount: 0.1}")["tiers"]
    # As a float, 0.1 would be 0.1000000000000000055511151231257827.
    assert tiers.collect()["unit_amount_minor"].to_list() == [Decimal(10)]


@pytest.mark.parametrize(
    ("amount", "minor"),
    [("0.000001", "0.0001"), ("1e-6", "0.0001"), ("1.5e+2", "15000"), ("'0.10'", "10"), ("1_000.50", "100050")],
)
def test_numbers_are_read_as_they_are_written(tmp_path: Path, amount: str, minor: str) -> None:
    tiers = prices(tmp_path, f"{{id: call, kind: unit, meter: calls, amount: {amount}}}")["tiers"]
    assert tiers.collect()["unit_amount_minor"].to_list() == [Decimal(minor)]


@pytest.mark.parametrize("amount", ["010", "0x10", "1:30", "1:30.5", ".inf", ".nan"])
def test_numbers_that_yaml_reads_in_another_way_than_people_are_refused(tmp_path: Path, amount: str) -> None:
    said = refusal(tmp_path, with_price(f"{{id: fee, kind: fixed, amount: {amount}}}"))
    assert f"'{amount}' is not written as a plain number; put quotes around it where it is a text" in said
    assert "catalog.yaml:9:40: this is not valid YAML" in said


@pytest.mark.parametrize(
    ("catalog", "said", "line"),
    [
        ("meters:\n  calls: {}\n  calls: {}", "'calls' stands twice", "catalog.yaml:3:3: this is not valid YAML"),
        ("meters: {}\nmeters: {}", "'meters' stands twice", "catalog.yaml:2:1: this is not valid YAML"),
        ("meters:\n  ? [a, b]\n  : {}", "a key must be one word", "catalog.yaml:2:5: this is not valid YAML"),
        (
            "meters:\n\tcalls: {}",
            "found character '\\t' that cannot start any token",
            "catalog.yaml:2:1: this is not valid YAML",
        ),
        ("meters: {calls: ", "expected the node content", "catalog.yaml:1:17: this is not valid YAML"),
        (
            "meters: !!python/name:os.system",
            "could not determine a constructor for the tag",
            "catalog.yaml:1:9: this is not valid YAML",
        ),
    ],
)
def test_yaml_that_says_two_things_or_nothing_is_refused_with_its_line(
    tmp_path: Path, catalog: str, said: str, line: str
) -> None:
    told = refusal(tmp_path, catalog)
    assert said in told
    assert line in told
    assert told.endswith("Mend that line, or compare with the files that `meterhouse init` makes.")


def test_a_list_is_not_a_catalog(tmp_path: Path) -> None:
    assert refusal(tmp_path, "- calls") == (
        "./catalog/catalog.yaml: expected `key: value` lines at the top, found a list."
    )


def test_a_definition_may_be_taken_over_from_another(tmp_path: Path) -> None:
    catalog = """
        meters:
          calls: &calls {event: call, unit: call, aggregation: {func: count}}
          visits: {<<: *calls, unit: visit}
    """
    assert_rows(
        project(tmp_path, catalog).definitions["meters"].lazy(),
        """
        meter  | unit  | filter_json
        calls  | call  | {"conjunction":"and","clauses":[{"property":"name","operator":"eq","value":"call"}]}
        visits | visit | {"conjunction":"and","clauses":[{"property":"name","operator":"eq","value":"call"}]}
        """,
    )


# --- A catalog of several files ---------------------------------------------------------------------------------------


def test_files_of_a_catalog_are_one_catalog(tmp_path: Path) -> None:
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "meters.yml").write_text(METER, encoding="utf-8")
    definitions = project(tmp_path, "products: {pro: {prices: [{id: call, kind: unit, meter: calls, amount: 1}]}}")
    assert set(definitions.catalog.meters) == {"calls"}
    assert set(definitions.catalog.products) == {"pro"}


def test_a_name_stands_in_one_file(tmp_path: Path) -> None:
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "more.yaml").write_text(METER, encoding="utf-8")
    assert refusal(tmp_path, METER) == (
        "catalog/more.yaml: 'calls' of meters stands in catalog/catalog.yaml too. Keep one."
    )


def test_a_catalog_has_a_file(tmp_path: Path) -> None:
    (tmp_path / "meterhouse.yaml").write_text("name: Test", encoding="utf-8")
    with pytest.raises(ProjectError, match=r"expected at least one .yaml file with `meters:` and `products:`"):
        read_project(tmp_path)


@pytest.mark.parametrize(
    ("catalog", "said"),
    [
        ("meter: {}", "meter: is not known here; did you mean 'meters'?"),
        (
            "meters: {calls: {agregation: {}}}",
            "meters.calls.agregation: is not known here; did you mean 'aggregation'?",
        ),
        ("meters: {calls: count}", "meters.calls: expected `key: value` lines; found 'count'"),
        ("meters: {1: {aggregation: {func: count}}}", "meters.1: expected a text; found 1"),
        ("meters:", "meters: expected `key: value` lines; found nothing"),
    ],
)
def test_keys_that_are_not_known_are_refused(tmp_path: Path, catalog: str, said: str) -> None:
    assert "catalog/catalog.yaml cannot be used:\n" in (told := refusal(tmp_path, catalog))
    assert f"\n  {said}\n" in told


# --- Meters -----------------------------------------------------------------------------------------------------------


AGGREGATIONS: Final = ["count", "sum", "max", "min", "avg", "unique", "last", "weighted_sum", "percentile"]


@pytest.mark.parametrize("function", AGGREGATIONS)
def test_every_aggregation_but_count_takes_a_property(tmp_path: Path, function: str) -> None:
    percent = ", percent: 95" if function == "percentile" else ""
    without = f"meters: {{used: {{aggregation: {{func: {function}{percent}}}}}}}"
    with_one = f"meters: {{used: {{aggregation: {{func: {function}, property: metadata.size{percent}}}}}}}"
    taken, refused = (without, with_one) if function == "count" else (with_one, without)
    rows = project(tmp_path, taken).definitions["meters"]
    assert rows["aggregation"].to_list() == [function]
    assert rows["property"].to_list() == [None if function == "count" else "size"]
    expected = "no `property`, since it counts events" if function == "count" else "a `property` to aggregate"
    assert f"meters.used.aggregation: `{function}` takes {expected}\n" in refusal(tmp_path, refused)


def test_a_meter_is_called_by_its_key_where_it_has_no_name(tmp_path: Path) -> None:
    catalog = """
        meters:
          calls: {aggregation: {func: count}}
          tokens: {name: Tokens, unit: token, aggregation: {func: sum, property: tokens}}
    """
    assert_rows(
        project(tmp_path, catalog).definitions["meters"].lazy(),
        """
        meter  | name   | unit  | aggregation | property | filter_json
        calls  | calls  | unit  | count       | -        | {"conjunction":"and","clauses":[]}
        tokens | Tokens | token | sum         | tokens   | {"conjunction":"and","clauses":[]}
        """,
    )


@pytest.mark.parametrize(
    ("aggregation", "said"),
    [
        ("{}", "aggregation.func: is missing"),
        (
            "{func: custom}",
            "aggregation.func: expected 'count', 'sum', 'max', 'min', 'avg', 'unique', 'last', 'weighted_sum' or 'perc",
        ),
        ("{func: p95}", "aggregation.func: 'p95' is not known here; did you mean 'percentile'?"),
        ("{func: Average, property: a}", "aggregation.func: 'Average' is not known here; did you mean 'avg'?"),
        ("{func: cuont}", "aggregation.func: 'cuont' is not known here; did you mean 'count'?"),
        ("{func: percentile, property: a}", "aggregation: `percentile` takes a `percent`, e.g. 95"),
        ("{func: percentile, property: a, percent: 0}", "aggregation.percent: expected more than 0; found 0"),
        ("{func: percentile, property: a, percent: 101}", "aggregation.percent: expected at most 100; found 101"),
        (
            "{func: percentile, property: a, percent: 99.9999999}",
            "aggregation.percent: expected at most 6 digits after the point; found 99.9999999",
        ),
        ("{func: sum, property: a, percent: 95}", "aggregation: `sum` takes no `percent`; it is for percentile"),
        (
            "{func: max, property: a, carry_over: true}",
            "aggregation: `max` takes no `carry_over`; it is for last, sum, unique, weighted_sum",
        ),
        (
            "{func: unique, property: a, numeric_text: count}",
            "aggregation: `unique` takes no `numeric_text`; it is for avg, last, max, min, percentile, sum, weighted_",
        ),
        (
            "{func: sum, property: a, numeric_text: true}",
            "aggregation.numeric_text: expected 'skip' or 'count'; found True",
        ),
        ("{func: sum, property: 1}", "aggregation.property: expected a text; found 1"),
        ("{func: sum, property: metadata.}", "aggregation.property: expected the name of a property"),
    ],
)
def test_an_aggregation_that_cannot_be_meant_is_refused(tmp_path: Path, aggregation: str, said: str) -> None:
    assert f"meters.used.{said}" in refusal(tmp_path, f"meters: {{used: {{aggregation: {aggregation}}}}}")


def test_options_of_an_aggregation_are_columns(tmp_path: Path) -> None:
    catalog = """
        meters:
          burst: {aggregation: {func: percentile, property: mbps, percent: 95.5}}
          disk: {aggregation: {func: weighted_sum, property: bytes, numeric_text: count, carry_over: true}}
    """
    assert_rows(
        project(tmp_path, catalog).definitions["meters"].lazy(),
        """
        meter | aggregation  | percent | numeric_text | carry_over
        burst | percentile   | 95.5    | no           | no
        disk  | weighted_sum | -       | yes          | yes
        """,
    )


def test_what_a_meter_measures_has_another_digest_with_each_option(tmp_path: Path) -> None:
    options = ["", ", numeric_text: count", ", carry_over: true", ", numeric_text: count, carry_over: true"]
    meters = [f"m{place}: {{aggregation: {{func: sum, property: a{option}}}}}" for place, option in enumerate(options)]
    percents = [
        f"p{percent}: {{aggregation: {{func: percentile, property: a, percent: {percent}}}}}" for percent in (5, 50)
    ]
    rows = project(tmp_path, f"meters: {{{', '.join([*meters, *percents])}}}").definitions["meters"]
    assert rows["definition"].n_unique() == len(options) + 2


def test_a_unit_is_a_label_or_a_label_and_a_multiplier(tmp_path: Path) -> None:
    catalog = """
        meters:
          calls: {unit: call, aggregation: {func: count}}
          tokens: {unit: {label: token, multiplier: 1000000}, aggregation: {func: sum, property: a}}
          plain: {aggregation: {func: count}}
    """
    assert_rows(
        project(tmp_path, catalog).definitions["meters"].lazy(),
        """
        meter  | unit  | unit_multiplier
        calls  | call  | 1
        tokens | token | 1000000
        plain  | unit  | 1
        """,
    )


# --- Filters ----------------------------------------------------------------------------------------------------------


def meter_with(rule: str) -> str:
    return f"meters: {{used: {{aggregation: {{func: count}}, filter: {rule}}}}}"


def clauses(root: Path, *written: str) -> str:
    return str(
        project(root, meter_with(f"{{clauses: [{', '.join(written)}]}}")).definitions["meters"]["filter_json"][0]
    )


OPERATORS: Final = ["eq", "ne", "gt", "gte", "lt", "lte", "like", "not_like"]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("{property: a, operator: in, value: [1.50, '1.5', x]}", '"operator":"in","value":[1.5,"1.5","x"]'),
        ("{property: a, operator: not_in, value: [true]}", '"operator":"not_in","value":[true]'),
        ("{property: a, operator: exists}", '"operator":"exists"'),
    ],
)
def test_lists_and_presence_are_kept_as_they_are_written(tmp_path: Path, written: str, kept: str) -> None:
    text = clauses(tmp_path, written)
    assert text == f'{{"conjunction":"and","clauses":[{{"property":"a",{kept}}}]}}'
    assert filter_json(read_filter(text)) == text


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("operator: in, value: gpt", "0: `in` takes a list as `value`, e.g. [gpt-4, gpt-5]"),
        ("operator: in", "0: `in` takes a list as `value`, e.g. [gpt-4, gpt-5]"),
        ("operator: in, value: []", "0.value: a list of values has 1 to 1,000 of them; this has 0"),
        ("operator: in, value: [[1]]", "0.value: expected a text, a number, true or false; found [1]"),
        ("operator: exists, value: true", "0: `exists` takes no `value`; leave it out"),
        ("operator: eq", "0: `eq` takes a `value`: a text, a number, true or false"),
        (
            "operator: eq, value: [1]",
            "0: `eq` takes one `value`, not a list. To compare with several, use `in` or `not_in`",
        ),
        ("operator: like, value: [a]", "0: `like` takes one `value`, not a list"),
        ("operator: '>=', value: 1", "0.operator: '>=' is not known here; did you mean 'gte'?"),
        ("operator: contains, value: a", "0.operator: 'contains' is not known here; did you mean 'like'?"),
        ("operator: EQ, value: a", "0.operator: 'EQ' is not known here; did you mean 'eq'?"),
        ("operator: not-like, value: a", "0.operator: 'not-like' is not known here; did you mean 'not_like'?"),
        (
            "operator: between, value: a",
            "0.operator: expected 'eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'like', 'not_like', 'in', 'not_in' or 'exists'",
        ),
    ],
)
def test_an_operator_takes_the_value_that_it_needs(tmp_path: Path, written: str, said: str) -> None:
    told = refusal(tmp_path, meter_with(f"{{clauses: [{{property: size, {written}}}]}}"))
    assert f"\n  meters.used.filter.clauses.{said}" in told


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_clause_compares_a_property_with_a_value(tmp_path: Path, operator: str) -> None:
    written = f"{{property: metadata.model, operator: {operator}, value: gpt}}"
    assert clauses(tmp_path, written) == (
        f'{{"conjunction":"and","clauses":[{{"property":"model","operator":"{operator}","value":"gpt"}}]}}'
    )


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("5", "5"),
        ("5.0", "5"),
        ("5.50", "5.5"),
        ("'5'", '"5"'),
        ("0.000000000001", "0.000000000001"),
        ("-999999999999999.5", "-999999999999999.5"),
        ("true", "true"),
        ("'true'", '"true"'),
        ("''", '""'),
        ("Zürich", '"Zürich"'),
    ],
)
def test_a_value_is_a_text_a_number_or_a_flag_and_stays_one(tmp_path: Path, written: str, kept: str) -> None:
    text = clauses(tmp_path, f"{{property: size, operator: eq, value: {written}}}")
    assert text == f'{{"conjunction":"and","clauses":[{{"property":"size","operator":"eq","value":{kept}}}]}}'
    assert filter_json(read_filter(text)) == text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("2025-01-31", "expected a text, a number, true or false; found datetime.date(2025, 1, 31)"),
        ("0.0000000000001", "a number of a filter may have 12 places (rule 1.7); found 1E-13"),
        ("1000000000000000", "a number of a filter must be below 10^15 in size (rule 1.7); found 1000000000000000"),
        (f"'{'x' * 1001}'", "text of a filter may have 1000 characters; this has 1001"),
    ],
)
def test_a_value_that_no_property_can_have_is_refused(tmp_path: Path, value: str, said: str) -> None:
    told = refusal(tmp_path, meter_with(f"{{clauses: [{{property: size, operator: eq, value: {value}}}]}}"))
    assert f"\n  meters.used.filter.clauses.0.value: {said}\n" in told


def test_filters_stand_in_filters(tmp_path: Path) -> None:
    text = clauses(
        tmp_path,
        "{property: a, operator: eq, value: 1}",
        "{conjunction: or, clauses: [{property: b, operator: gt, value: 2}, {clauses: []}]}",
    )
    assert read_filter(text) == Filter(
        clauses=(
            Clause(property="a", operator="eq", value=Decimal(1)),
            Filter(conjunction="or", clauses=(Clause(property="b", operator="gt", value=Decimal(2)), Filter())),
        )
    )


def test_the_name_of_the_event_comes_before_the_filter(tmp_path: Path) -> None:
    catalog = """
        meters:
          used:
            event: call
            aggregation: {func: count}
            filter: {conjunction: or, clauses: [{property: a, operator: eq, value: 1}]}
    """
    named = Clause(property="name", operator="eq", value="call")
    either = Filter(conjunction="or", clauses=(Clause(property="a", operator="eq", value=Decimal(1)),))
    text = project(tmp_path, catalog).definitions["meters"]["filter_json"][0]
    assert read_filter(text) == Filter(clauses=(named, either))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{conjunction: xor}", "conjunction: expected 'and' or 'or'; found 'xor'"),
        (
            "{clauses: [{property: a, operator: between, value: 1}]}",
            "clauses.0.operator: expected 'eq', 'ne', 'gt', 'gte', 'l",
        ),
        ("{clauses: [{operator: eq, value: 1}]}", "clauses.0.property: is missing"),
        (
            "{clauses: [{clauses: [{property: '', operator: eq, value: 1}]}]}",
            "clauses.0.clauses.0.property: expected the n",
        ),
        ("{clauses: [a eq 1]}", "clauses.0: expected `key: value` lines; found 'a eq 1'"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused_once(tmp_path: Path, rule: str, said: str) -> None:
    told = refusal(tmp_path, meter_with(rule))
    assert f"\n  meters.used.filter.{said}" in told
    assert len(told.splitlines()) == 3


# --- Products and prices ----------------------------------------------------------------------------------------------


def test_a_product_is_billed_monthly_in_the_currency_of_the_project(tmp_path: Path) -> None:
    found = project(tmp_path, SMALLEST, "{name: Test, currency: EUR}")
    product = found.catalog.products["pro"]
    assert (product.interval, product.interval_count) == ("month", 1)
    assert_rows(
        found.definitions["products"].lazy(),
        """
        product | name | currency
        pro     | pro  | EUR
        """,
    )


INTERVALS: Final = ["day", "week", "month", "quarter", "year"]


@pytest.mark.parametrize("interval", INTERVALS)
def test_a_product_is_billed_every_so_many_intervals(tmp_path: Path, interval: str) -> None:
    product = f"{{interval: {interval}, interval_count: 2, prices: [{{id: fee, kind: fixed, amount: 5}}]}}"
    found = project(tmp_path, f"products: {{pro: {product}}}").catalog.products["pro"]
    assert (found.interval, found.interval_count) == (interval, 2)


def test_a_fixed_price_is_due_in_advance_unless_it_says_otherwise(tmp_path: Path) -> None:
    found = prices(
        tmp_path,
        "{id: fee, kind: fixed, amount: 19.99}",
        "{id: support, kind: fixed, amount: 5, billed: in_arrears}",
        "{id: setup, kind: fixed, amount: 0, billed: in_advance}",
    )
    assert_rows(
        found["fixed_prices"],
        """
        product | price_id | currency | amount_minor | in_advance
        pro     | fee      | USD      | 1999         | yes
        pro     | support  | USD      | 500          | no
        pro     | setup    | USD      | 0            | yes
        """,
    )


def test_a_unit_price_is_one_tier_without_end(tmp_path: Path) -> None:
    found = prices(tmp_path, "{id: call, kind: unit, meter: calls, amount: 2.50, per: 1000000, included: 0.5, cap: 60}")
    assert_rows(
        found["metered_prices"],
        """
        product | price_id | meter | currency | volume | included | cap_minor
        pro     | call     | calls | USD      | no     | 0.5      | 6000
        """,
    )
    assert_rows(
        found["tiers"],
        """
        product | price_id | over | up_to | unit_amount_minor | flat_amount_minor
        pro     | call     | 0    | -     | 0.00025           | 0
        """,
    )


@pytest.mark.parametrize(("kind", "volume"), [("graduated", "no"), ("volume", "yes")])
def test_tiers_follow_one_another(tmp_path: Path, kind: str, volume: str) -> None:
    tiers = "[{up_to: 10.5, amount: 1, flat: 3}, {up_to: 100, amount: 0.5}, {flat: 0.0001}]"
    found = prices(tmp_path, f"{{id: call, kind: {kind}, meter: calls, per: 10, tiers: {tiers}}}")
    assert_rows(
        found["metered_prices"],
        f"""
        price_id | volume | included | cap_minor
        call     | {volume} | 0      | -
        """,
    )
    assert_rows(
        found["tiers"],
        """
        over | up_to | unit_amount_minor | flat_amount_minor
        0    | 10.5  | 10                | 300
        10.5 | 100   | 5                 | 0
        100  | -     | 0                 | 0.01
        """,
    )


def test_a_last_tier_may_have_an_end(tmp_path: Path) -> None:
    found = prices(tmp_path, "{id: call, kind: graduated, meter: calls, tiers: [{up_to: 10, amount: 1}]}")
    assert_rows(
        found["tiers"],
        """
        over | up_to | unit_amount_minor
        0    | 10    | 100
        """,
    )


@pytest.mark.parametrize(
    ("currency", "amount", "minor"),
    [("JPY", "150", 150), ("USD", "1.5", 150), ("KWD", "0.150", 150), ("CLF", "1", 10_000)],
)
def test_amounts_are_kept_in_minor_units_of_their_currency(
    tmp_path: Path, currency: str, amount: str, minor: int
) -> None:
    found = prices(tmp_path, f"{{id: fee, kind: fixed, amount: {amount}, currency: {currency.lower()}}}")
    assert_rows(
        found["fixed_prices"],
        f"""
        currency   | amount_minor
        {currency} | {minor}
        """,
    )


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ("{id: fee, kind: fixed, amount: 1.5, currency: JPY}", "1.5 JPY has more than the currency's 0 digits after"),
        ("{id: fee, kind: fixed, amount: 1.005}", "1.005 USD has more than the currency's 2 digits after the point"),
        ("{id: fee, kind: fixed, amount: 1.00000000000000000000000000001}", "has more than the currency's 2 digits"),
        ("{id: fee, kind: unit, meter: calls, amount: 1, cap: 0.001}", "0.001 USD has more than the currency's 2 d"),
        (
            "{id: fee, kind: unit, meter: calls, amount: 1, per: 3}",
            "1 USD per 3 units is not exact in 12 places of a minor unit (rule 4.3). Choose an amount that d",
        ),
        ("{id: fee, kind: unit, meter: calls, amount: 0.000000000000001}", "USD per 1 units is not exact in 12 places"),
        ("{id: fee, kind: fixed, amount: 10000000000, currency: CLF}", "10000000000 CLF is 10^14 minor units or more"),
        (
            "{id: fee, kind: unit, meter: calls, amount: 1000000, per: 0.000001}",
            "1000000 USD per 0.000001 units is 10^14 minor units or more, which an exact amount cannot hold. Write a",
        ),
    ],
)
def test_an_amount_that_cannot_be_exact_is_refused(tmp_path: Path, price: str, said: str) -> None:
    told = refusal(tmp_path, with_price(price))
    assert told.startswith("catalog: product 'pro', price 'fee': ")
    assert said in told


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ("{id: p, amount: 1}", "p: 'kind' is missing; it says which kind this is"),
        (
            "{id: p, kind: flat, amount: 1}",
            "p: 'kind' is 'flat'; expected one of 'fixed', 'unit', 'graduated', 'volume'",
        ),
        ("{id: '', kind: fixed, amount: 1}", "0.id: expected a text that is not empty; found ''"),
        ("{id: p, kind: fixed}", "p.amount: is missing"),
        ("{id: p, kind: fixed, amount: much}", "p.amount: expected a number; found 'much'"),
        ("{id: p, kind: fixed, amount: yes}", "p.amount: expected a number; found True"),
        ("{id: p, kind: fixed, amount: -1}", "p.amount: expected at least 0; found -1"),
        (
            "{id: p, kind: fixed, amount: 1000000000000}",
            "p.amount: expected less than 1000000000000; found 1000000000000",
        ),
        ("{id: p, kind: fixed, amount: 1, currency: FOO}", "p.currency: 'FOO' is not an ISO 4217 currency"),
        (
            "{id: p, kind: fixed, amount: 1, billed: never}",
            "p.billed: expected 'in_advance' or 'in_arrears'; found 'nev",
        ),
        ("{id: p, kind: fixed, amount: 1, meter: calls}", "p.meter: is not known here; mind the spelling"),
        (
            "{id: p, kind: unit, meter: calls, amount: 1, includd: 5}",
            "p.includd: is not known here; did you mean 'included'?",
        ),
        (
            "{id: p, kind: volume, meter: calls, tiers: [{upto: 5}]}",
            "p.tiers.0.upto: is not known here; did you mean 'up_to'?",
        ),
        ("{kind: unit, meter: calls, amount: 1}", "0.id: is missing"),
        ("{id: p, kind: unit, amount: 1}", "p.meter: is missing"),
        ("{id: p, kind: unit, meter: calls, amount: 1, per: 0}", "p.per: expected more than 0; found 0"),
        ("{id: p, kind: unit, meter: calls, amount: 1, included: -1}", "p.included: expected at least 0; found -1"),
        (
            "{id: p, kind: unit, meter: calls, amount: 1, included: 0.0000000000001}",
            "p.included: expected at most 12 digits after the point; found 1E-13",
        ),
        ("{id: p, kind: volume, meter: calls, tiers: []}", "p.tiers: expected at least one entry; found []"),
        ("{id: p, kind: volume, meter: calls, tiers: [{up_to: 0}]}", "p.tiers.0.up_to: expected more than 0; found 0"),
        (
            "{id: p, kind: graduated, meter: calls, tiers: [{up_to: 5}, {up_to: 5}, {}]}",
            "p: tiers must rise, and only the last may have no `up_to`; found 5, 5, none",
        ),
        (
            "{id: p, kind: graduated, meter: calls, tiers: [{}, {up_to: 5}]}",
            "p: tiers must rise, and only the last may have no `up_to`; found none, 5",
        ),
        (
            "{id: p, kind: graduated, meter: calls, tiers: [{up_to: 5}, {up_to: 3}]}",
            "p: tiers must rise, and only the last may have no `up_to`; found 5, 3",
        ),
    ],
)
def test_a_price_that_cannot_be_meant_is_refused(tmp_path: Path, price: str, said: str) -> None:
    told = refusal(tmp_path, with_price(price))
    assert f"catalog/catalog.yaml cannot be used:\n  products.pro.prices.{said}" in told
    assert len(told.splitlines()) == 3


@pytest.mark.parametrize(
    ("product", "said"),
    [
        ("{prices: []}", "prices: expected at least one entry; found []"),
        ("{}", "prices: is missing"),
        (
            "{prices: [{id: p, kind: fixed, amount: 1}], interval: hour}",
            "interval: expected 'day', 'week', 'month', 'quar",
        ),
        (
            "{prices: [{id: p, kind: fixed, amount: 1}], interval_count: 0}",
            "interval_count: expected at least 1; found 0",
        ),
    ],
)
def test_a_product_that_cannot_be_meant_is_refused(tmp_path: Path, product: str, said: str) -> None:
    assert f"\n  products.pro.{said}" in refusal(tmp_path, f"products: {{pro: {product}}}")


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        (
            "[{id: p, kind: fixed, amount: 1}, {id: p, kind: fixed, amount: 2}]",
            "each price may stand once in a product",
        ),
        (
            "[{id: p, kind: unit, meter: calls, amount: 1}, {id: q, kind: unit, meter: calls, amount: 1}]",
            "each price on meter may stand once in a product; repeated: calls",
        ),
    ],
)
def test_prices_of_a_product_are_told_apart_by_id_and_meter(tmp_path: Path, prices: str, said: str) -> None:
    assert f"\n  products.pro: {said}" in refusal(tmp_path, f"{METER}\nproducts: {{pro: {{prices: {prices}}}}}")


def test_prices_of_a_product_have_one_currency(tmp_path: Path) -> None:
    both = "[{id: p, kind: fixed, amount: 1}, {id: q, kind: fixed, amount: 1, currency: EUR}]"
    assert refusal(tmp_path, f"products: {{pro: {{prices: {both}}}}}") == (
        "catalog/catalog.yaml: product 'pro' has prices in several currencies; an invoice has one. "
        "Give all its prices the same `currency`, or split the product."
    )


def test_a_price_names_a_meter_of_the_catalog(tmp_path: Path) -> None:
    assert refusal(tmp_path, with_price("{id: p, kind: unit, meter: call, amount: 1}")) == (
        "catalog/catalog.yaml: product 'pro' names meter 'call', which no file defines; did you mean 'calls'? "
        "Known meters: calls. Add it under `meters:`, or mend the name."
    )


# --- Benefits ---------------------------------------------------------------------------------------------------------


def with_benefits(*benefits: str) -> str:
    return f"{SMALLEST}    benefits: [{', '.join(benefits)}]\n"


def test_credits_are_forfeited_and_come_first_unless_they_say_otherwise(tmp_path: Path) -> None:
    found = project(
        tmp_path,
        with_benefits(
            "{id: free, meter: calls, units: 100}",
            "{id: paid, kind: meter_credits, meter: calls, units: 0.5, rollover: true, priority: 2}",
        ),
    )
    assert_rows(
        found.definitions["benefits"].lazy(),
        """
        product | benefit_id | meter | units | rollover | priority
        pro     | free       | calls | 100   | no       | 0
        pro     | paid       | calls | 0.5   | yes      | 2
        """,
    )


@pytest.mark.parametrize(
    ("benefit", "said"),
    [
        ("{id: b, meter: calls, units: 0}", "benefits.b.units: expected more than 0; found 0"),
        ("{id: b, meter: calls}", "benefits.b.units: is missing"),
        (
            "{id: b, meter: calls, units: 1, rollover: some}",
            "benefits.b.rollover: expected true or false; found 'some'",
        ),
        ("{id: b, meter: calls, units: 1, priority: -1}", "benefits.b.priority: expected at least 0; found -1"),
        ("{id: b, meter: calls, units: 1, kind: gift}", "benefits.b.kind: expected 'meter_credits'; found 'gift'"),
    ],
)
def test_a_benefit_that_cannot_be_meant_is_refused(tmp_path: Path, benefit: str, said: str) -> None:
    assert f"\n  products.pro.{said}\n" in refusal(tmp_path, with_benefits(benefit))


def test_benefits_of_a_product_are_told_apart_by_id(tmp_path: Path) -> None:
    benefit = "{id: b, meter: calls, units: 1}"
    assert "\n  products.pro: each benefit may stand once in a product; repeated: b\n" in refusal(
        tmp_path, with_benefits(benefit, benefit)
    )


def test_a_benefit_names_a_meter_of_the_catalog(tmp_path: Path) -> None:
    told = refusal(tmp_path, with_benefits("{id: b, meter: storage, units: 1}"))
    assert told.startswith(
        "catalog/catalog.yaml: product 'pro' names meter 'storage', which no file defines. Known meters: calls."
    )
