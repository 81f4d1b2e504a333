"""`sql`: the whole warehouse in DuckDB, by one query, at a prompt, or as a script for any DuckDB."""

from __future__ import annotations

import csv
import re
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meterhouse.cli.render import Column, Grid, console, counted, decimal_text, instant_text, print_json, safe
from meterhouse.cli.session import AsJson, Limit, rows_to_show, session_of
from meterhouse.errors import MeterhouseError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from meterhouse.warehouse import Warehouse

QueryArgument = Annotated[
    str | None, typer.Argument(metavar="QUERY", help="SQL; without it, a prompt.", show_default=False)
]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV, with a header.")]
PrintOption = Annotated[
    bool, typer.Option("--print", help="Print the script that makes the views, for `duckdb -init`.")
]

_HARMLESS = frozenset(
    {
        *("SELECT", "CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE", "MERGE_INTO"),
        *("SET", "VARIABLE_SET", "TRANSACTION", "ANALYZE", "VACUUM"),
    }
)
"""Kinds of statements that read, or that change nothing but the session's own memory."""

_WRITERS = re.compile(
    r"\b(profiling_output|profile_output|log_query_path|\w*logging\w*|\w+_directory|persistent\s+secret)\b",
    re.IGNORECASE,
)
"""Settings through which DuckDB writes files of its own."""

_WRITING_CALLS = re.compile(r'\b(enable_logging|enable_profile|enable_profiling|copy_database)"?\s*\(', re.IGNORECASE)
"""Functions that do the same, also within a query."""

_EXPLAIN = re.compile(r"\s*EXPLAIN\b(\s+ANALYZE\b|\s*\([^)]*\))?", re.IGNORECASE)
_LEAVE = frozenset({"exit", "quit", ".exit", ".quit", "\\q"})
_RECORDS = 10
_LONGEST_SHOWN = 40
_WAKES = 0.1
_NUMBERS = ("int", "uint", "decimal", "float", "double", "halffloat")


def sql(
    context: typer.Context,
    query: QueryArgument = None,
    *,
    as_csv: CsvOption = False,
    print_views: PrintOption = False,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Ask the warehouse in SQL; a prompt without a query.

    Every table and mart is a view in DuckDB. What could write a file is refused, so that nothing in the warehouse can
    be changed from here; views and tables of your own last as long as the session.
    """
    from meterhouse.warehouse import connect
    from meterhouse.warehouse.views import write_sql

    session = session_of(context)
    warehouse = session.warehouse(session.project())
    if print_views:
        sys.stdout.write(write_sql(warehouse))
        return
    with connect(warehouse) as connection:
        if query is None and sys.stdin.isatty():
            _prompt(connection, warehouse)
            return
        found = _ask(connection, sys.stdin.read() if query is None else query)
    if found is None:
        return
    if as_csv:
        _write_csv(found)
    elif as_json:
        shown = rows_to_show(limit, as_json=True)
        print_json({"rows": found.num_rows, "result": _rows(found)[:shown]})
    else:
        _show(found, rows_to_show(limit, as_json=False))


def _ask(connection: duckdb.DuckDBPyConnection, query: str) -> pa.Table | None:
    """The result of the last statement; None where it has none."""
    import duckdb

    def answer() -> pa.Table | None:
        _refuse_writing(connection, query)
        relation: duckdb.DuckDBPyRelation | None = connection.sql(query)
        return None if relation is None else relation.to_arrow_table()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(answer)
        try:
            # Waiting without end would not be woken by Ctrl-C: Polars has the system go on with waits that it broke.
            while not running.done():
                wait([running], timeout=_WAKES)
            return running.result()
        except KeyboardInterrupt:
            # DuckDB forgets an interrupt that comes before it has begun.
            while not running.done():
                connection.interrupt()
                wait([running], timeout=_WAKES)
            raise
        except duckdb.Error as fault:
            message = f"DuckDB: {fault}"
            raise MeterhouseError(message) from None


def _refuse_writing(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Raise MeterhouseError where a statement could write a file: a table of the warehouse is files."""
    for statement in connection.extract_statements(query):
        kind, text = statement.type.name, statement.query.strip()
        explains = _EXPLAIN.match(text) if kind == "EXPLAIN" else None
        if explains:
            _refuse_writing(connection, text[explains.end() :])
        elif kind not in _HARMLESS or (kind != "SELECT" and _WRITERS.search(text)) or _WRITING_CALLS.search(text):
            message = (
                f"sql only reads, and '{_beginning(text)}' could write files or load code. For results in a file use "
                "--csv or --json, for invoices `meterhouse export`; for all else `meterhouse sql --print > views.sql` "
                "and the duckdb shell: `duckdb -init views.sql`."
            )
            raise MeterhouseError(message)


def _beginning(statement: str) -> str:
    words = safe(" ".join(statement.split()))
    return words if len(words) <= _LONGEST_SHOWN else f"{words[:_LONGEST_SHOWN]}..."


def _prompt(connection: duckdb.DuckDBPyConnection, warehouse: Warehouse) -> None:
    """Read statements until `;` and show their results, until the end of the input."""
    from importlib import import_module, util

    if util.find_spec("readline") is not None:
        # Importing it is all that is needed: arrow keys and a history at the prompt.
        import_module("readline")
    screen = console()
    _show_views(warehouse)
    screen.print("A statement ends with ;   Leave with .quit or Ctrl-D.\n", style="dim")
    while True:
        try:
            statement = _statement()
        except EOFError:
            screen.print()
            return
        except KeyboardInterrupt:
            screen.print("\n(statement dropped; Ctrl-D leaves)", style="dim")
            continue
        if statement.strip().rstrip(";").strip().lower() in _LEAVE:
            return
        try:
            found = _ask(connection, statement)
            if found is not None:
                _show(found, rows_to_show(None, as_json=False))
        except MeterhouseError as fault:
            console(err=True).print(str(fault), style="red")
        except KeyboardInterrupt:
            screen.print("\n(query stopped)", style="dim")


def _statement() -> str:
    """Lines until one ends with `;`."""
    lines = [input("sql> ")]
    while lines[0].strip() and lines[0].strip().lower() not in _LEAVE and not lines[-1].rstrip().endswith(";"):
        lines.append(input("...> "))
    return "\n".join(lines)


def _show_views(warehouse: Warehouse) -> None:
    from meterhouse.tables import WAREHOUSE
    from meterhouse.warehouse.views import marts

    written = set(warehouse.versions())
    screen = console()
    for title, names in (
        ("Tables", [name for name in WAREHOUSE if name in written]),
        ("Not written yet", [name for name in WAREHOUSE if name not in written]),
        ("Marts", list(marts())),
    ):
        if names:
            screen.print(f"{title}: {', '.join(names)}")


def _show(found: pa.Table, limit: int | None) -> None:
    if not found.column_names:
        return
    columns = [
        Column(safe(name), number=str(kind).startswith(_NUMBERS))
        for name, kind in zip(found.column_names, found.schema.types, strict=True)
    ]
    cut = found if limit is None else found.slice(0, limit)
    rows = _texts(cut)
    screen = console()
    grid = Grid(columns, rows)
    if grid.fits(screen.width):
        grid.print()
    else:
        cut = cut.slice(0, _RECORDS) if limit is not None else cut
        _show_records(found.column_names, _texts(cut))
    if found.num_rows > cut.num_rows:
        more = counted(found.num_rows - cut.num_rows, "more row")
        screen.print(f"... and {more}: --limit 0, --csv and --json give all, LIMIT fewer", style="dim")
    else:
        screen.print(counted(found.num_rows, "row"), style="dim")


def _texts(found: pa.Table) -> list[list[str]]:
    values = [column.to_pylist() for column in found.columns]
    return [[_cell(value) for value in row] for row in zip(*values, strict=True)]


def _show_records(names: list[str], rows: list[list[str]]) -> None:
    """One column a line, as the rows are too wide for this screen."""
    screen = console()
    widest = max(len(name) for name in names)
    for number, row in enumerate(rows, start=1):
        screen.print(f"row {number}", style="bold")
        for name, value in zip(names, row, strict=True):
            screen.print(f"  {safe(name).ljust(widest)}  {safe(value)}", soft_wrap=True)


def _cell(value: Any) -> str:  # noqa: ANN401 - any value of DuckDB
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case Decimal():
            return decimal_text(value)
        case datetime() if value.tzinfo is not None:
            return instant_text(value) if not value.microsecond else value.isoformat(sep=" ").replace("+00:00", " UTC")
        case bytes():
            return f"0x{value.hex()}"
        case _:
            return str(value)


def _rows(found: pa.Table) -> list[dict[str, Any]]:
    """Rows by column name; a name that stands twice is numbered, so that neither is lost."""
    names: list[str] = []
    for name in found.column_names:
        again = names.count(name)
        names.append(name)
        if again:
            names[-1] = f"{name}_{again + 1}"
    values = [column.to_pylist() for column in found.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _write_csv(found: pa.Table) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(found.column_names)
    values = [column.to_pylist() for column in found.columns]
    writer.writerows(["" if value is None else _csv_cell(value) for value in row] for row in zip(*values, strict=True))


def _csv_cell(value: Any) -> str:  # noqa: ANN401 - any value of DuckDB
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.isoformat().replace("+00:00", "Z")
    return _cell(value)
