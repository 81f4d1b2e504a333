"""`status`: the whole project on one screen, and what is not up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer

from meterhouse.cli.attention import needing_attention, show_attention, show_left_alone
from meterhouse.cli.render import (
    SOME,
    amounts,
    console,
    counted,
    hints,
    instant_text,
    money,
    print_json,
    quantity,
    safe,
    show_some,
)
from meterhouse.cli.session import AsJson, session_of

if TYPE_CHECKING:
    import polars as pl

    from meterhouse.catalog import Project
    from meterhouse.cli.session import Session
    from meterhouse.landing import FileToLand
    from meterhouse.warehouse import Warehouse

_LABEL: Final = 12
"""How wide the names are that lines begin with."""


def status(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show the project: what came in, what is billed, what is stale."""
    from meterhouse.warehouse import Warehouse

    session = session_of(context)
    project = session.project()
    found = _found(project, Warehouse(str(project.warehouse)))
    if as_json:
        print_json(found)
        return
    _show(found, session)


def _found(project: Project, warehouse: Warehouse) -> dict[str, Any]:
    from meterhouse.planning import read_definitions

    definitions = read_definitions(project, warehouse)
    return {
        "project": project.settings.name,
        "folder": str(project.root),
        "warehouse": str(project.warehouse),
        "last_run": _last_run(warehouse),
        "files": _files(project, warehouse),
        "events": _height(warehouse.scan("events")),
        "set_aside": _set_aside(warehouse),
        "voids": _voids(warehouse),
        **needing_attention(warehouse),
        "rows_refused": _rows_refused(definitions),
        "unattributed": _unattributed(warehouse),
        "untyped": _untyped(project, warehouse),
        "invoices": _invoices(warehouse),
        "estimates": _estimates(warehouse),
        "stale": _stale(definitions, warehouse),
    }


def _height(rows: pl.LazyFrame) -> int:
    import polars as pl

    return int(rows.select(pl.len()).collect().item())


def _last_run(warehouse: Warehouse) -> dict[str, Any] | None:
    """The run with the latest clock: what is stored is as that clock saw it, unless an earlier one was run again."""
    runs = warehouse.scan("runs").sort("as_of", descending=True).select("as_of", "engine", "run_id").head(1)
    found = runs.collect().to_dicts()
    return found[0] if found else None


def _files(project: Project, warehouse: Warehouse) -> dict[str, Any]:
    """Files of the landing zone: one is known by its bytes; only where name and size are new are they read."""
    from meterhouse.landing import list_files

    landed = warehouse.scan("landed_files").select("path", "bytes", "file_id").collect()
    seen = set(landed.select("path", "bytes").iter_rows())
    ids = set(landed["file_id"])
    zone = list_files(project.events)
    new = [file.name for file in zone.files if _is_new(file, seen, ids)]
    return {
        "landed": landed.height,
        "not_landed": new,
        "not_files_of_events": [{"path": held.name, "explanation": held.explanation} for held in zone.problems],
    }


def _is_new(file: FileToLand, seen: set[tuple[str, int]], ids: set[str]) -> bool:
    from meterhouse.landing import hash_file, look_at

    look = look_at(file.path)
    if look is None or (file.name, look.bytes) in seen:
        return False
    try:
        return hash_file(file.path) not in ids
    except OSError:
        return True


def _set_aside(warehouse: Warehouse) -> dict[str, Any]:
    import polars as pl

    from meterhouse.planning import open_rejects

    # A file that broke off stands among the refused, but is none of its records.
    records = open_rejects(warehouse).filter(pl.col("position") > 0)
    reasons = records.group_by("reason").agg(records=pl.len()).sort("reason").collect()
    return {
        "rejected": dict(reasons.iter_rows()),
        "duplicates": _height(warehouse.scan("event_duplicates")),
        "conflicts": _height(warehouse.scan("event_conflicts")),
    }


def _voids(warehouse: Warehouse) -> dict[str, int]:
    """Events that were taken back, and events that shall be but have not come."""
    import polars as pl

    named = warehouse.scan("voids").select("source", "event_id").unique()
    voided = warehouse.scan("voided_events").select("source", "event_id")
    pending = named.join(voided, on=["source", "event_id"], how="anti")
    return {"voided": _height(voided), "pending": int(pending.select(pl.len()).collect().item())}


def _rows_refused(definitions: dict[str, pl.DataFrame]) -> list[dict[str, Any]]:
    """As the files are now: they may have been mended since the last run."""
    return definitions["rejected_rows"].select("path", "row", "explanation").to_dicts()


def _unattributed(warehouse: Warehouse) -> dict[str, Any]:
    """Ids that usage was sent under and that no customer has, those with the most events first (rule 1.5)."""
    from meterhouse.planning import unattributed_events

    found = unattributed_events(warehouse).sort("events", "customer_id", descending=[True, False])
    return {
        "customers": found.height,
        "events": int(found["events"].sum()),
        "ids": found["customer_id"].head(SOME).to_list(),
    }


def _untyped(project: Project, warehouse: Warehouse) -> dict[str, Any]:
    """Properties that have no column in `events`, and the meters that read them from the metadata."""
    from meterhouse.planning import slow_meters, untyped_properties

    names = sorted({name for _, name in untyped_properties(warehouse)})
    return {
        "properties": len(names),
        "names": names[:SOME],
        "meters": slow_meters(project.catalog.meters, warehouse),
    }


def _invoices(warehouse: Warehouse) -> list[dict[str, Any]]:
    import polars as pl

    from meterhouse.cli.reading import all_invoices

    counts = (
        all_invoices(warehouse)
        .group_by("status", "currency")
        .agg(invoices=pl.len(), zero=pl.col("is_zero").sum(), total=pl.col("total_minor").sum())
    )
    return [
        {"status": row["status"], "invoices": row["invoices"], "zero": row["zero"]}
        | amounts(row["total"], row["currency"], "total")
        for row in counts.sort("status", "currency", descending=[True, False]).collect().to_dicts()
    ]


def _estimates(warehouse: Warehouse) -> list[dict[str, Any]]:
    import polars as pl

    open_cycles = (
        warehouse.scan("estimates")
        .group_by("currency")
        .agg(subscriptions=pl.col("subscription_id").n_unique(), total=pl.col("amount_minor").sum())
    )
    return [
        {"subscriptions": row["subscriptions"]} | amounts(row["total"], row["currency"], "total")
        for row in open_cycles.sort("currency").collect().to_dicts()
    ]


def _stale(definitions: dict[str, pl.DataFrame], warehouse: Warehouse) -> dict[str, Any]:
    """What the next run would do again: definitions that were changed, and days whose states are not up to date."""
    from meterhouse.planning import stale_days

    last = _last_run(warehouse)
    return {
        "definitions": _changed_definitions(definitions, warehouse) if last else [],
        "days": stale_days(warehouse, last["as_of"]) if last else [],
    }


def _changed_definitions(definitions: dict[str, pl.DataFrame], warehouse: Warehouse) -> list[str]:
    """Tables of definitions that the files now say differently."""
    return [name for name, rows in definitions.items() if not _same(rows, warehouse.scan(name).collect())]


def _same(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    return one.sort(one.columns).equals(other.sort(other.columns))


def _show(found: dict[str, Any], session: Session) -> None:
    screen = console()
    last = found["last_run"]
    screen.print(safe(found["project"]), style="bold")
    screen.print(f"Warehouse   {safe(found['warehouse'])}", soft_wrap=True)
    screen.print(f"Last run    {'never' if last is None else 'until ' + instant_text(last['as_of'])}\n")
    _show_intake(found, session)
    _show_money(found)
    _show_stale(found)
    hints(_next(found, session))


def _show_intake(found: dict[str, Any], session: Session) -> None:
    screen = console()
    files = found["files"]
    screen.print(f"Files       {counted(files['landed'], 'file')} landed, {len(files['not_landed']):,} not yet")
    show_some("", [f"not landed: {safe(name)}" for name in files["not_landed"]], "more file", _LABEL)
    show_left_alone([(held["path"], held["explanation"]) for held in files["not_files_of_events"]], _LABEL)
    screen.print(f"Events      {found['events']:,}")
    aside = found["set_aside"]
    rejected = sum(aside["rejected"].values())
    resent = f"{counted(aside['duplicates'], 'duplicate')}, {counted(aside['conflicts'], 'conflict')}"
    screen.print(f"Set aside   {rejected:,} rejected, {resent}")
    most_first = sorted(aside["rejected"].items(), key=lambda found: (-found[1], found[0]))
    show_some("", [f"{records:,} {reason}" for reason, records in most_first], "more reason", _LABEL)
    commands = {"rejects": rejected, 'sql "FROM event_conflicts"': aside["conflicts"]}
    for words, count in commands.items():
        if count:
            command = session.command(words)
            screen.print(f"            see them: {command}", style="dim", soft_wrap=True)
    voids = found["voids"]
    if any(voids.values()):
        waiting = f"; {voids['pending']:,} more wait for events that have not come" if voids["pending"] else ""
        screen.print(f"Voided      {counted(voids['voided'], 'event')} taken back{waiting}")
    show_attention(found, _LABEL, session)
    unknown = found["unattributed"]
    if unknown["customers"]:
        more = ", ..." if unknown["customers"] > len(unknown["ids"]) else ""
        ids = ", ".join(f"'{safe(held)}'" if held else "(no id)" for held in unknown["ids"])
        strangers = counted(unknown["customers"], "unknown customer")
        screen.print(f"Strangers   {counted(unknown['events'], 'event')} of {strangers}: {ids}{more}", soft_wrap=True)
    _show_untyped(found["untyped"])
    show_some("Refused", [safe(_refused(row)) for row in found["rows_refused"]], "more row", _LABEL, "yellow")


def _refused(row: dict[str, Any]) -> str:
    place = f"{row['path']}, row {row['row']}" if row["row"] else row["path"]
    return f"{place}: {row['explanation']}"


def _show_untyped(untyped: dict[str, Any]) -> None:
    screen = console()
    if untyped["properties"]:
        more = ", ..." if untyped["properties"] > len(untyped["names"]) else ""
        told = f"{counted(untyped['properties'], 'property', 'properties')} without a column, beyond"
        names = f"{', '.join(safe(name) for name in untyped['names'])}{more}"
        screen.print(f"Untyped     {told} max_property_columns: {names}", soft_wrap=True)
    for meter, properties in untyped["meters"].items():
        names = ", ".join(f"'{safe(name)}'" for name in properties)
        screen.print(f"            slow: meter {safe(meter)} reads {names} from the metadata", soft_wrap=True)


def _show_money(found: dict[str, Any]) -> None:
    screen = console()
    screen.print()
    for row in found["invoices"]:
        zero = f" ({quantity(row['zero'])} of them zero)" if row["zero"] else ""
        total = f"{money(row['total_minor'], row['currency'])} {row['currency']}"
        screen.print(f"{row['status'].capitalize():<11} {counted(row['invoices'], 'invoice')}{zero}, {total}")
    if not found["invoices"]:
        screen.print("Invoices    none")
    for row in found["estimates"]:
        total = f"{money(row['total_minor'], row['currency'])} {row['currency']}"
        screen.print(f"Estimates   {counted(row['subscriptions'], 'open cycle')}, {total} of usage so far")


def _show_stale(found: dict[str, Any]) -> None:
    stale = found["stale"]
    days = stale["days"]
    told = [f"{', '.join(stale['definitions'])} changed since the last run"] if stale["definitions"] else []
    if days:
        told.append(f"{counted(len(days), 'day')} to meter again, {days[0]} to {days[-1]}")
    if found["files"]["not_landed"]:
        told.append(f"{counted(len(found['files']['not_landed']), 'file')} to land")
    if found["last_run"] is not None:
        console().print(f"\nNext run    {'; '.join(told) or 'nothing is stale'}", soft_wrap=True)


def _next(found: dict[str, Any], session: Session) -> list[tuple[str, str]]:
    if found["last_run"] is None:
        return [(session.command("run"), "land, meter and bill through yesterday")]
    return [
        (session.command("invoices list"), "all invoices and drafts"),
        (session.command("usage --by customer"), "who used what"),
        (session.command('sql "FROM unbilled_usage"'), "usage that no price bills, and why"),
        (session.command("audit"), "everything computed again by another engine"),
    ]
