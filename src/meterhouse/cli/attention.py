"""What to know before trusting the amounts: files that broke off, values that do not count, usage that came late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meterhouse.cli.render import SOME, console, counted, safe, show_some

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date

    from meterhouse.cli.session import Session
    from meterhouse.warehouse import Warehouse

_HAPPENED: Final = {"late": "came", "gone": "went"}
# All reasons in one query: each would go through all usage again.
_AFTER: Final = """
    SELECT split_part(reason, ' ', 1), sum(abs(events))::BIGINT, count(DISTINCT invoice_id)
    FROM unbilled_usage WHERE reason IN ('came after the invoice was final', 'went after the invoice was final')
    GROUP BY reason
"""


def needing_attention(
    warehouse: Warehouse, files: Collection[str] | None = None, days: Collection[date] | None = None
) -> dict[str, Any]:
    """What was found in these files and days; by default in all files that still are as they were landed last."""
    from meterhouse.planning import remembered

    # It goes through all usage that there ever was.
    after_final: dict[str, dict[str, int]] = remembered(warehouse, "after final", lambda: _after_final(warehouse))
    return {
        "unreadable": unreadable_files(warehouse, files),
        "skipped": _skipped(warehouse, days),
        **after_final,
    }


def unreadable_files(warehouse: Warehouse, files: Collection[str] | None = None) -> list[dict[str, Any]]:
    """Files that could not be read to their end, with the reason; not those that came whole under the same name."""
    import polars as pl

    from meterhouse.planning import open_rejects

    rejected = open_rejects(warehouse) if files is None else warehouse.scan("rejected_events")
    # Position 0 of a file is the file as a whole.
    found = rejected.filter(pl.col("position") == 0)
    if files is not None:
        found = found.filter(pl.col("file_id").is_in(list(files)))
    return found.select("path", "reason", "explanation").unique().sort("path", "explanation").collect().to_dicts()


def _skipped(warehouse: Warehouse, days: Collection[date] | None) -> list[dict[str, Any]]:
    """Meters that have a price, and events whose value they need but did not find; those that found none first."""
    import polars as pl

    states = warehouse.scan("usage_daily").filter("attributed")
    if days is not None:
        states = states.filter(pl.col("date").is_in(list(days)))
    priced = warehouse.scan("metered_prices").select("meter").unique()
    return (
        states.join(priced, on="meter", how="semi")
        .group_by("meter")
        .agg(pl.col("skipped").sum(), matched=(pl.col("events") + pl.col("skipped")).sum())
        .filter(pl.col("skipped") > 0)
        .join(warehouse.scan("meters").select("meter", "aggregation", "property"), on="meter")
        .with_columns(all=pl.col("skipped") == pl.col("matched"))
        .sort("all", "meter", descending=[True, False])
        .collect()
        .to_dicts()
    )


def _after_final(warehouse: Warehouse) -> dict[str, dict[str, int]]:
    """Events that came, or went, after the invoice of their cycle was final."""
    from meterhouse.warehouse import connect

    found: dict[str, list[int]] = {}
    if warehouse.version("invoices") is not None:
        with connect(warehouse) as connection:
            found = {word: counts for word, *counts in connection.execute(_AFTER).fetchall()}
    return {
        name: dict(zip(("events", "invoices"), found.get(word, [0, 0]), strict=True))
        for name, word in _HAPPENED.items()
    }


def show_attention(found: dict[str, Any], width: int, session: Session) -> None:
    """A line for each that there is; where there is none, nothing."""
    show_unreadable(found["unreadable"], width, session)
    _show_skipped(found["skipped"], width)
    outcomes = {"late": "came after the invoice was final, and are not billed"}
    outcomes["gone"] = "taken back after the invoice was final, and still billed"
    for name, told in outcomes.items():
        if found[name]["events"]:
            events, invoices = counted(found[name]["events"], "event"), counted(found[name]["invoices"], "invoice")
            line = f"{name.capitalize():<{width}}{events} of {invoices} {told}"
            console().print(line, style="yellow", soft_wrap=True)


def show_unreadable(files: list[dict[str, Any]], width: int, session: Session) -> None:
    """Name files that broke off, and what is wrong with each: what they held behind that place was never seen."""
    if not files:
        return
    reasons = {file["reason"] for file in files}
    mend = session.command(" ".join(["rejects", *(f"--reason {reason}" for reason in reasons if len(reasons) == 1)]))
    headline = f"{'Unreadable':<{width}}{counted(len(files), 'file')}; how to mend: {mend}"
    console().print(headline, style="bold red", soft_wrap=True)
    told = [f"{safe(file['path'])}: {safe(file['explanation'].partition('. ')[0])}." for file in files]
    show_some("", told, "more file", width)


def show_left_alone(files: list[tuple[str, str]], width: int) -> None:
    """Name what lies in the landing zone and is not landed, each with the reason."""
    told = [f"{safe(path)}: {safe(explanation)}" for path, explanation in files]
    show_some("Left alone", told, "more file", width, "yellow")


def _show_skipped(meters: list[dict[str, Any]], width: int) -> None:
    for place, meter in enumerate(meters[:SOME]):
        label = "" if place else "Skipped"
        have = "has" if meter["matched"] == 1 else "have"
        value = "value" if meter["aggregation"] == "unique" else "number"
        told = f"{meter['skipped']:,} of {counted(meter['matched'], 'event')} {have} no {value} '{meter['property']}'"
        loud = "; NOTHING is measured, mind the property's name" if meter["all"] else ""
        style = "bold red" if meter["all"] else "yellow"
        screen = console()
        screen.print(f"{label:<{width}}{safe(meter['meter'])}: {safe(told)}{loud}", style=style, soft_wrap=True)
    if len(meters) > SOME:
        console().print(f"{'':<{width}}and {counted(len(meters) - SOME, 'more meter')}")
