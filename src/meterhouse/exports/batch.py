"""A month's final invoices as a batch of files that never changes once it is written (rule 9).

The id is made from the content. Exporting again gives the same batch; where the month has changed since, a new batch
says which one it supersedes, and the old one stays.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from meterhouse.errors import MeterhouseError
from meterhouse.exports.content import content, months
from meterhouse.exports.datapackage import data_package
from meterhouse.exports.files import Written, write_csv, write_parquet
from meterhouse.exports.manifest import manifest
from meterhouse.tables import Exports, schema_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from meterhouse.warehouse import Warehouse


class Batch(NamedTuple):
    """A batch that lies in a folder."""

    month: str
    batch_id: str
    folder: Path
    is_new: bool
    manifest: dict[str, Any]


def export(warehouse: Warehouse, project: str, to: Path, only: Iterable[str] | None = None) -> list[Batch]:
    """Export months of issue, all by default, each as a folder `<month>/<batch>` with files, manifest and checksums.

    Raises MeterhouseError for a month without final invoices. Call it while holding the warehouse's lock.
    """
    known = months(warehouse)
    wanted = known if only is None else list(only)
    for month in wanted:
        if month not in known:
            message = (
                f"No final invoices were issued in '{month}'. Months that have some: {', '.join(known) or 'none'}. "
                "Run `meterhouse run --through DATE` first; drafts become final after the grace period."
            )
            raise MeterhouseError(message)
    return [_export_month(warehouse, project, to, month) for month in wanted]


def _export_month(warehouse: Warehouse, project: str, to: Path, month: str) -> Batch:
    tables = content(warehouse, month)
    unfinished = to / month / ".unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    texts = {name: write_csv(table, unfinished / f"{name}.csv") for name, table in tables.items()}
    columns = [write_parquet(table, unfinished / f"{name}.parquet") for name, table in tables.items()]
    batch_id = _identity(texts.values())
    place = _place(warehouse, month, batch_id)
    through = tables["invoices"]["finalized_at"].max()
    batch = {"batch_id": batch_id, "project": project, "month": month, "through": str(through), **place}
    descriptor = _write_json(unfinished / "datapackage.json", data_package(f"{month}-{batch_id}", tables, texts))
    described = manifest(batch, tables, [*texts.values(), *columns, descriptor])
    written = _write_json(unfinished / "manifest.json", described)
    _write_checksums(unfinished, [*texts.values(), *columns, descriptor, written])
    folder = to / month / batch_id
    _publish(unfinished, folder)
    is_new = _record(warehouse, batch, tables["invoices"], written)
    return Batch(month, batch_id, folder, is_new, described)


def _identity(texts: Iterable[Written]) -> str:
    """Made from the text files alone: a newer Parquet writer must not make a new batch of the same rows."""
    return hashlib.sha256("".join(f"{file.path} {file.sha256}\n" for file in texts).encode()).hexdigest()[:16]


def _place(warehouse: Warehouse, month: str, batch_id: str) -> dict[str, Any]:
    """Sequence and predecessor: as recorded where the batch was exported before, else the next."""
    batches = warehouse.scan("exports").sort("sequence").collect()
    same = batches.filter(pl.col("batch_id") == batch_id)
    if not same.is_empty():
        return same.select("sequence", "supersedes").row(0, named=True)
    earlier = batches.filter(pl.col("month") == month)["batch_id"]
    return {"sequence": batches.height + 1, "supersedes": None if earlier.is_empty() else str(earlier[-1])}


def _write_json(path: Path, content: dict[str, Any]) -> Written:
    text = json.dumps(content, indent=2, ensure_ascii=False, sort_keys=False) + "\n"
    path.write_text(text, encoding="utf-8")
    encoded = text.encode()
    return Written(path.name, 1, len(encoded), hashlib.sha256(encoded).hexdigest())


def _write_checksums(folder: Path, files: Iterable[Written]) -> None:
    """As `sha256sum --check SHA256SUMS` reads them."""
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    (folder / "SHA256SUMS").write_text(lines, encoding="utf-8")


def _publish(unfinished: Path, folder: Path) -> None:
    """Move the finished batch to its place at once; a batch that is there and whole stays untouched."""
    if folder.exists():
        if _checksums(folder) == _checksums(unfinished):
            shutil.rmtree(unfinished)
            return
        shutil.rmtree(folder)
    for file in unfinished.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    unfinished.rename(folder)


def _checksums(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def _record(warehouse: Warehouse, batch: dict[str, Any], invoices: pl.DataFrame, written: Written) -> bool:
    recorded = warehouse.scan("exports").filter(pl.col("batch_id") == batch["batch_id"]).collect()
    if not recorded.is_empty():
        return False
    row = {
        **{name: batch[name] for name in ("batch_id", "sequence", "month", "supersedes")},
        "through": invoices["finalized_at"].max(),
        "invoices": invoices.height,
        "manifest_sha256": written.sha256,
    }
    return warehouse.append("exports", pl.DataFrame([row], schema=schema_of(Exports)))
