"""What people configure: meters, products with prices and benefits, settings; reads and checks a project folder."""

from meterhouse.catalog.filters import FIXED_PROPERTIES, Clause, Filter, filter_json, read_filter
from meterhouse.catalog.meters import Aggregation, Meter, MeterVersion
from meterhouse.catalog.people import read_people
from meterhouse.catalog.products import FixedPrice, MeterCredits, Product, Tier, TieredPrice, UnitPrice
from meterhouse.catalog.project import Catalog, Project, read_meters, read_project
from meterhouse.catalog.row_files import find_file
from meterhouse.catalog.rows import meter_version_rows
from meterhouse.catalog.settings import Settings
from meterhouse.catalog.spans import spans_of
from meterhouse.catalog.wording import filter_words

__all__ = [
    "FIXED_PROPERTIES",
    "Aggregation",
    "Catalog",
    "Clause",
    "Filter",
    "FixedPrice",
    "Meter",
    "MeterCredits",
    "MeterVersion",
    "Product",
    "Project",
    "Settings",
    "Tier",
    "TieredPrice",
    "UnitPrice",
    "filter_json",
    "filter_words",
    "find_file",
    "meter_version_rows",
    "read_filter",
    "read_meters",
    "read_people",
    "read_project",
    "spans_of",
]
