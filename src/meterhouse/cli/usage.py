"""`usage`: what was used, exact, per meter and whatever else is asked for."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal, assert_never

import typer

from meterhouse.cli.reading import customer_id_of, meter_named
from meterhouse.cli.render import Column, console, counted, print_json, quantity, show_rows
from meterhouse.cli.session import AsJson, CustomerOption, Limit, MeterOption, read_day, rows_to_show, session_of

if TYPE_CHECKING:
    import polars as pl

    from meterhouse.catalog import Project
    from meterhouse.warehouse import Warehouse

By = Literal["total", "month", "day", "hour", "customer", "group"]
ByOption = Annotated[By, typer.Option("--by", help="One row per meter and this.")]
FromOption = Annotated[date | None, typer.Option("--from", parser=read_day, metavar="DATE", help="First day (UTC).")]
ThroughOption = Annotated[
    date | None, typer.Option("--through", parser=read_day, metavar="DATE", help="Last day (UTC).")
]


def usage(
    context: typer.Context,
    *,
    meter: MeterOption = None,
    customer: CustomerOption = None,
    by: ByOption = "total",
    first: FromOption = None,
    through: ThroughOption = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Show what was used, billed or not.

    Usage of customers that are not known has rows of its own, marked unattributed. Hours are measured again from the
    events, so name few days: `--from` and `--through`.
    """
    refuse_no_days(first, through)
    session = session_of(context)
    warehouse = session.warehouse(session.project())
    wanted = _wanted(warehouse, meter, customer, first, through)
    if by == "hour":
        wanted = _by_hour(session.project(), warehouse, wanted)
    rows = _measured(warehouse, wanted, by).to_dicts()
    shown = rows_to_show(limit, as_json=as_json)
    if as_json:
        print_json({"by": by, "rows": len(rows), "usage": rows[:shown]})
        return
    if not rows:
        console().print("No usage in these days. What has landed: " + session.command("status"), soft_wrap=True)
        return
    show_rows(_columns(by), [_cells(row, by) for row in rows], shown)
    skipped = sum(row["skipped"] for row in rows)
    if skipped:
        why = "their value is missing or has the wrong type, so that they do not count"
        console().print(f"\n{counted(skipped, 'event')} skipped: {why}")


def refuse_no_days(first: date | None, through: date | None) -> None:
    """Refuse options that name no day at all."""
    if first is not None and through is not None and first > through:
        message = f"{first} is after --through {through}. Name the first day before the last."
        raise typer.BadParameter(message, param_hint="--from")


def _wanted(
    warehouse: Warehouse, meter: str | None, customer: str | None, first: date | None, through: date | None
) -> pl.LazyFrame:
    """The daily states that the options ask for."""
    import polars as pl

    states = warehouse.scan("usage_daily")
    if meter is not None:
        states = states.filter(pl.col("meter") == meter_named(warehouse, meter))
    if customer is not None:
        states = states.filter(pl.col("customer_id") == customer_id_of(warehouse, customer))
    if first is not None:
        states = states.filter(pl.col("date") >= first)
    if through is not None:
        states = states.filter(pl.col("date") <= through)
    return states


def _by_hour(project: Project, warehouse: Warehouse, states: pl.LazyFrame) -> pl.LazyFrame:
    """The same states, cut at the hours."""
    import polars as pl

    from meterhouse.planning import hourly_states

    key = ["meter", "customer_id", "date", "attributed"]
    found = states.select(key).unique().collect()
    hours = hourly_states(project, warehouse, found["meter"].unique().to_list(), found["date"].unique().to_list())
    return hours.join(found.lazy(), on=key, how="semi").with_columns(
        pl.col("slice_start").dt.truncate("1h").alias("hour")
    )


def _measured(warehouse: Warehouse, states: pl.LazyFrame, by: By) -> pl.DataFrame:
    """One quantity per meter and group, with the engine's own combination of daily states."""
    import polars as pl

    from meterhouse.metering import combine, of_days, of_spans

    named: dict[By, list[pl.Expr]] = {
        "total": [],
        "month": [pl.col("date").dt.strftime("%Y-%m").alias("month")],
        "day": [pl.col("date").alias("day")],
        "hour": [],
        "customer": [pl.col("customer_id")],
        "group": [pl.col("group_json").alias("group")],
    }
    meters, hour = warehouse.scan("meters"), pl.col("hour")
    named_states = states.with_columns(named[by])
    grouped = (
        of_spans(named_states, meters, hour, hour.dt.offset_by("1h"))
        if by == "hour"
        else of_days(named_states, meters, *_days(by))
    )
    keys = ["meter", *([] if by == "total" else ["customer_id" if by == "customer" else by]), "attributed"]
    found = combine(grouped, keys).join(meters.select("meter", "unit"), on="meter")
    if by == "customer":
        customers = warehouse.scan("customers").select("customer_id", "external_id", customer="name")
        known = pl.col("attributed")
        found = found.join(customers, on="customer_id", how="left").with_columns(
            # An id that a stranger sent may look like a customer's, but is not the customer (rule 1.5).
            pl.when(known).then("customer").alias("customer"),
            pl.when(known).then("external_id").alias("external_id"),
        )
    keys_first = [*keys[:-1], *(["customer", "external_id"] if by == "customer" else [])]
    order = keys[:-1]
    return (
        found.select(*keys_first, "quantity", "unit", "events", "skipped", "attributed")
        .sort([*order, "attributed"], descending=[*(False for _ in order), True])
        .collect()
    )


def _days(by: Literal["total", "month", "day", "customer", "group"]) -> tuple[pl.Expr, pl.Expr]:
    """First and last day of what a row is about: a level is averaged over them."""
    import polars as pl

    day = pl.col("date")
    match by:
        case "day":
            return day, day
        case "month":
            return day.dt.month_start(), day.dt.month_end()
        case "total" | "customer" | "group":
            return day.min(), day.max()
        case _:
            assert_never(by)


def _columns(by: By) -> list[Column]:
    group = {
        "total": [],
        "month": [Column("Month", keep=True)],
        "day": [Column("Day", keep=True)],
        "hour": [Column("Hour (UTC)", keep=True)],
        "group": [Column("Group")],
    }
    of_customer = [Column("Customer"), Column("External id")]
    return [
        Column("Meter"),
        *group.get(by, of_customer),
        Column("Quantity", number=True),
        Column("Unit"),
        Column("Events", number=True),
        Column("Skipped", number=True),
        Column(""),
    ]


def _cells(row: dict[str, Any], by: By) -> list[str]:
    name = row.get("customer_id") or "(none sent)"
    known = row["attributed"]
    group = {"total": [], "customer": [name if known else f"{name} (unattributed)", row.get("external_id") or ""]}
    return [
        row["meter"],
        *group.get(by, [f"{row['hour']:%Y-%m-%d %H:%M}" if by == "hour" else str(row.get(by))]),
        quantity(row["quantity"]),
        row["unit"],
        quantity(row["events"]),
        quantity(row["skipped"]) if row["skipped"] else "",
        "" if known or by == "customer" else "unattributed",
    ]
