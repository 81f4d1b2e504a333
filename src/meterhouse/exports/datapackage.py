"""The batch as a Data Package (frictionlessdata.io), so that any reader knows columns, keys and types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from meterhouse.exports.content import ADDED, EXPORTED

if TYPE_CHECKING:
    from meterhouse.exports.files import Written

_FOREIGN_KEYS: Final[dict[str, dict[str, list[str]]]] = {
    "invoice_lines": {"invoices": ["invoice_id"]},
    "rated_lines": {"invoice_lines": ["invoice_id", "line_no"]},
    "usage": {"invoices": ["invoice_id"]},
    "credit_ledger": {"invoices": ["invoice_id"]},
}
"""By table: the tables that it refers to, and the columns, of the same name there, by which it does."""


def data_package(name: str, tables: dict[str, pl.DataFrame], files: dict[str, Written]) -> dict[str, Any]:
    """The descriptor of a batch's CSV files; `files` by table."""
    resources = [_resource(table, frame, files[table]) for table, frame in tables.items()]
    return {"name": name, "profile": "tabular-data-package", "resources": resources}


def _resource(table: str, frame: pl.DataFrame, file: Written) -> dict[str, Any]:
    keys = [
        {"fields": fields, "reference": {"resource": resource, "fields": fields}}
        for resource, fields in _FOREIGN_KEYS.get(table, {}).items()
    ]
    return {
        "name": table,
        "path": file.path,
        "profile": "tabular-data-resource",
        "format": "csv",
        "encoding": "utf-8",
        "bytes": file.bytes,
        "hash": f"sha256:{file.sha256}",
        "schema": {
            "fields": [_field(table, column, dtype) for column, dtype in frame.schema.items()],
            "primaryKey": EXPORTED[table].primary_key(),
            **({"foreignKeys": keys} if keys else {}),
        },
    }


def _field(table: str, column: str, dtype: pl.DataType) -> dict[str, Any]:
    declared = EXPORTED[table].columns()
    if column in declared:
        required = not declared[column].nullable
        return {
            "name": column,
            **_type(dtype),
            "description": declared[column].description,
            **({"constraints": {"required": True}} if required else {}),
        }
    kind = "number" if column in {"total", "amount"} else "string"
    return {"name": column, "type": kind, "description": ADDED[table][column], "constraints": {"required": True}}


def _type(dtype: pl.DataType) -> dict[str, str]:
    if isinstance(dtype, pl.Decimal):
        return {"type": "number"}
    if isinstance(dtype, pl.Datetime):
        return {"type": "datetime", "format": "%Y-%m-%dT%H:%M:%S.%fZ"}
    if dtype.is_integer():
        return {"type": "integer"}
    return {"type": "boolean"} if dtype == pl.Boolean() else {"type": "string"}
