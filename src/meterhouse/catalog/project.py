"""A project folder: settings, catalog, customers, subscriptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from meterhouse.catalog.faults import near_to
from meterhouse.catalog.meters import Meter
from meterhouse.catalog.products import FixedPrice, Product
from meterhouse.catalog.reading import checked, read_yaml
from meterhouse.catalog.rows import meter_rows, product_rows
from meterhouse.catalog.settings import Settings
from meterhouse.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl

SETTINGS_FILE: Final = "meterhouse.yaml"


class Catalog(BaseModel):
    """Everything that the files of `catalog/` say together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    meters: dict[str, Meter] = Field(default_factory=dict, description="What is measured, by name.")
    products: dict[str, Product] = Field(default_factory=dict, description="What is sold, by name.")


@dataclass(frozen=True)
class Project:
    """A project as its folder says: nothing here has touched the warehouse yet."""

    root: Path
    settings: Settings
    catalog: Catalog
    definitions: Mapping[str, pl.DataFrame]
    """Rows of `meters`, `products`, `fixed_prices`, `metered_prices`, `tiers` and `benefits`."""

    @property
    def events(self) -> Path:
        """The landing zone."""
        return self.root / self.settings.events

    @property
    def warehouse(self) -> Path:
        """Where the tables are."""
        return self.root / self.settings.warehouse


def read_project(root: Path) -> Project:
    """Read and check a project folder. Raises ProjectError with file, place, what was expected and how to mend it."""
    if not (root / SETTINGS_FILE).is_file():
        message = (
            f"{root}: there is no {SETTINGS_FILE}, so this is not a meterhouse project. "
            "Go to your project, name it with --project, or make one with `meterhouse init`."
        )
        raise ProjectError(message)
    settings = checked(Settings, read_yaml(root / SETTINGS_FILE), SETTINGS_FILE)
    catalog = read_catalog(root / "catalog", settings.currency)
    try:
        definitions = product_rows(catalog.products, settings.currency)
    except ValueError as fault:
        message = f"catalog: {str(fault).removesuffix('.')}."
        raise ProjectError(message) from None
    project = Project(root, settings, catalog, {"meters": meter_rows(catalog.meters), **definitions})
    _refuse_nested(project)
    return project


def _refuse_nested(project: Project) -> None:
    """Tables in the landing zone would be landed as events, over and over."""
    events, warehouse = project.events.resolve(), project.warehouse.resolve()
    if events.is_relative_to(warehouse) or warehouse.is_relative_to(events):
        found = f"`events: {project.settings.events}` and `warehouse: {project.settings.warehouse}`"
        message = (
            f"{SETTINGS_FILE}: {found} lie in each other. "
            "Expected two folders apart, so that tables are not taken for event files. Move one of them."
        )
        raise ProjectError(message)


def read_catalog(folder: Path, currency: str) -> Catalog:
    """All YAML files of the catalog as one. A name that stands in two files is refused."""
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    if not files:
        message = f"{folder}: expected at least one .yaml file with `meters:` and `products:`."
        raise ProjectError(message)
    merged: dict[str, dict[str, Any]] = {"meters": {}, "products": {}}
    home: dict[tuple[str, str], str] = {}
    for file in files:
        part = checked(Catalog, read_yaml(file), f"catalog/{file.name}")
        for kind, named in (("meters", part.meters), ("products", part.products)):
            for name, definition in named.items():
                if (kind, name) in home:
                    message = (
                        f"catalog/{file.name}: '{name}' of {kind} stands in catalog/{home[kind, name]} too. Keep one."
                    )
                    raise ProjectError(message)
                home[kind, name] = file.name
                merged[kind][name] = definition
    catalog = Catalog(**merged)
    files_of_products = {name: f"catalog/{file}" for (kind, name), file in home.items() if kind == "products"}
    _refuse_unknown_meters(catalog, files_of_products)
    _refuse_mixed_currencies(catalog, files_of_products, currency)
    return catalog


def read_meters(file: Path) -> dict[str, Meter]:
    """Meters of a file that need not be in a project: `meters:` as in the catalog, or one meter, called as the file."""
    if not file.is_file():
        message = f"{file}: there is no such file. Name a YAML file with meters, or a meter of the catalog."
        raise ProjectError(message)
    content = read_yaml(file)
    if "meters" not in content and content.keys() & Meter.model_fields.keys():
        return {file.stem: checked(Meter, content, str(file))}
    meters = checked(Catalog, content, str(file)).meters
    if not meters:
        message = f"{file}: there is no meter. Expected `meters:` as in the catalog, or one meter with `aggregation:`."
        raise ProjectError(message)
    return meters


def _refuse_unknown_meters(catalog: Catalog, files: Mapping[str, str]) -> None:
    for name, product in catalog.products.items():
        metered = [price.meter for price in product.prices if not isinstance(price, FixedPrice)]
        for meter in [*metered, *(benefit.meter for benefit in product.benefits)]:
            if meter not in catalog.meters:
                known = ", ".join(sorted(catalog.meters)) or "none"
                near = near_to(meter, catalog.meters)
                message = (
                    f"{files[name]}: product '{name}' names meter '{meter}', which no file defines"
                    f"{f'; did you mean {near!r}?' if near else '.'} "
                    f"Known meters: {known}. Add it under `meters:`, or mend the name."
                )
                raise ProjectError(message)


def _refuse_mixed_currencies(catalog: Catalog, files: Mapping[str, str], currency: str) -> None:
    for name, product in catalog.products.items():
        currencies = {price.currency or currency for price in product.prices}
        if len(currencies) > 1:
            message = (
                f"{files[name]}: product '{name}' has prices in several currencies; an invoice has one. "
                "Give all its prices the same `currency`, or split the product."
            )
            raise ProjectError(message)
