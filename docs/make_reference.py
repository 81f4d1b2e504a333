"""Write `docs/reference/` from what is declared in the code. `--check` only says what differs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from typer.main import get_command
from typer.testing import CliRunner

from meterhouse.catalog.people import Customer, Subscription
from meterhouse.catalog.project import Catalog
from meterhouse.catalog.settings import Settings
from meterhouse.cli.app import app
from meterhouse.tables import WAREHOUSE

if TYPE_CHECKING:
    import dataframely as dy
    from pydantic import BaseModel

    from meterhouse.tables import Stored

FOLDER: Final = Path(__file__).parent / "reference"
MADE: Final = "<!-- Made by `make docs` from what is declared in the code. -->"


def tables_page() -> str:
    """Every stored table with its columns."""
    overview = ["| table | what |", "|---|---|"]
    overview += [f"| [`{name}`](#{name}) | {_sentence(stored.table)} |" for name, stored in WAREHOUSE.items()]
    chapters = [_table(name, stored) for name, stored in WAREHOUSE.items()]
    return "\n".join([MADE, "# Tables", "", *overview, "", *chapters]).rstrip() + "\n"


def _table(name: str, stored: Stored) -> str:
    table = stored.table
    kept = "Rows are only ever appended." if stored.append_only else "Replaced when what it was made from changes."
    if stored.partition:
        kept += f" Partitioned by `{stored.partition}`."
    if stored.grows_columns:
        kept += " Grows columns: one for each property and type that events bring."
    return "\n".join(
        [
            f"## {name}",
            "",
            _paragraphs(table),
            "",
            kept + _key(table),
            "",
            "| column | type | null | meaning |",
            "|---|---|---|---|",
            *(_column(column, declared) for column, declared in table.columns().items()),
            "",
        ]
    )


def _column(name: str, declared: dy.Column) -> str:
    nullable = "yes" if declared.nullable else ""
    return f"| `{name}` | {_type(declared)} | {nullable} | {_cell(declared.description)} |"


def _type(column: dy.Column) -> str:
    return str(column.dtype).replace("time_unit='us', time_zone='UTC'", "UTC").replace("precision=38, scale=", "38, ")


def _key(table: type[dy.Schema]) -> str:
    columns = ", ".join(f"`{column}`" for column in table.primary_key())
    return f" Key: {columns}." if columns else ""


def settings_page() -> str:
    """What `meterhouse.yaml` may hold."""
    schema = Settings.model_json_schema()
    lines = [MADE, "# Settings", "", _paragraphs(Settings), "", *_fields(schema), ""]
    for name, definition in schema["$defs"].items():
        lines += [f"## {name}", "", _inline(definition.get("description", "")), "", *_fields(definition), ""]
    return "\n".join(lines).rstrip() + "\n"


def catalog_page() -> str:
    """What `catalog/*.yaml`, customers and subscriptions may hold."""
    schema = Catalog.model_json_schema()
    lines = [
        MADE,
        "# Catalog, customers, subscriptions",
        "",
        "## Catalog",
        "",
        _paragraphs(Catalog),
        "",
        *_fields(schema),
        "",
    ]
    for model in (Customer, Subscription):
        lines += [f"## {model.__name__}", "", _paragraphs(model), "", *_fields(model.model_json_schema()), ""]
    for name, definition in schema["$defs"].items():
        lines += [f"## {name}", "", _inline(definition.get("description", "")), "", *_fields(definition), ""]
    return "\n".join(lines).rstrip() + "\n"


def commands_page() -> str:
    """What `--help` says of every command."""
    lines = [MADE, "# Commands", "", *_command(get_command(app), [])]
    return "\n".join(lines).rstrip() + "\n"


def _command(command: Any, path: list[str]) -> list[str]:  # noqa: ANN401 - Typer does not export the type
    ended = CliRunner().invoke(app, [*path, "--help"], prog_name="meterhouse", env={"COLUMNS": "100"})
    lines = [f"## {' '.join(['meterhouse', *path])}", "", "```", _screen(ended.output), "```", ""]
    for name, below in getattr(command, "commands", {}).items():
        lines += _command(below, [*path, name])
    return lines


def _screen(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _fields(schema: dict[str, Any]) -> list[str]:
    required = set(schema.get("required", []))
    rows = []
    for name, field in schema.get("properties", {}).items():
        meaning = field.get("description", "Which kind it is.")
        # Of customers and subscriptions the file may leave out what the project knows.
        needed = name in required and "none is given" not in meaning
        rows.append(f"| `{name}` | {_kind(field)} | {'required' if needed else _default(field)} | {_cell(meaning)} |")
    return ["| name | value | default | meaning |", "|---|---|---|---|", *rows] if rows else []


def _kind(field: dict[str, Any]) -> str:  # noqa: PLR0911 - one answer a form of JSON Schema
    match field:
        case {"$ref": reference}:
            name = reference.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"const": value}:
            return f"`{value}`"
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"anyOf": kinds} | {"oneOf": kinds}:
            return " or ".join(dict.fromkeys(_kind(kind) for kind in kinds if kind.get("type") != "null"))
        case {"type": "array", "items": item}:
            return f"list of {_kind(item)}"
        case {"type": "object", "additionalProperties": dict(value)}:
            return f"names, each with {_kind(value)}"
        case {"type": kind}:
            return {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(str(kind), str(kind))
        case _:
            return "any"


def _default(field: dict[str, Any]) -> str:
    match field.get("default"):
        case None | "" | list() | dict():
            return ""
        case bool(value):
            return f"`{str(value).lower()}`"
        case value:
            return f"`{value}`"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


def _inline(text: str) -> str:
    return " ".join(text.split())


def _paragraphs(described: type[dy.Schema | BaseModel]) -> str:
    paragraphs = (described.__doc__ or "").strip().split("\n\n")
    return "\n\n".join(_inline(paragraph) for paragraph in paragraphs)


def _sentence(described: type[dy.Schema]) -> str:
    return _cell(_paragraphs(described).partition("\n\n")[0])


PAGES: Final = {
    "tables.md": tables_page,
    "settings.md": settings_page,
    "catalog.md": catalog_page,
    "commands.md": commands_page,
}


def main(*, check: bool) -> int:
    """Write the pages, or say which would change."""
    stale = []
    for name, page in PAGES.items():
        path, text = FOLDER / name, page()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if stale:
        print(f"{'Stale' if check else 'Written'}: {', '.join(stale)}.{' Run `make docs`.' if check else ''}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
