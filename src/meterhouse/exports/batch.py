"""A month's final invoices as a batch of files that never changes once it is written (rule 9).

The id is made from the content. Exporting again gives the same batch; where the month has changed since, a new batch
says which one it supersedes, and the old one stays.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from meterhouse.errors import MeterhouseError
from meterhouse.exports.content import IN_MAJOR_UNITS, content, months
from meterhouse.exports.datapackage import data_package
from meterhouse.exports.files import Written, describe, sha256_of, write_csv, write_json, write_parquet
from meterhouse.exports.manifest import manifest, refuse_unbalanced
from meterhouse.tables import Exports, schema_of
from meterhouse.warehouse import recover
from meterhouse.warehouse.commit import sync_files, sync_folders

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from meterhouse.warehouse import Warehouse

_UNFINISHED: Final = ".unfinished"
_MANIFEST: Final = "manifest.json"
_CHECKSUMS: Final = "SHA256SUMS"


class Batch(NamedTuple):
    """A batch that lies in a folder."""

    month: str
    batch_id: str
    folder: Path
    is_new: bool
    manifest: dict[str, Any]


def export(warehouse: Warehouse, project: str, to: Path, only: Iterable[str] | None = None) -> list[Batch]:
    """Export months of issue, all by default, each as a folder `<month>/<sequence>-<batch>` of files.

    Raises MeterhouseError for a month without final invoices. Call it while holding the warehouse's lock: what a run
    left that died is finished first, since an invoice may be there whose lines are not.
    """
    recover(warehouse)
    known = months(warehouse)
    wanted = known if only is None else list(only)
    for month in wanted:
        if month not in known:
            message = (
                f"No final invoices were issued in '{month}'. Months that have some: {', '.join(known) or 'none'}. "
                "Run `meterhouse run --through DATE` first; drafts become final after the grace period."
            )
            raise MeterhouseError(message)
    try:
        return [_export_month(warehouse, project, to, month) for month in wanted]
    except OSError as fault:
        message = (
            f"Batches cannot be written to {to} ({fault}). Batches that were there are as they were; "
            "give a folder that you may write in, with space on its disk, and export again."
        )
        raise MeterhouseError(message) from fault


def _export_month(warehouse: Warehouse, project: str, to: Path, month: str) -> Batch:
    tables = content(warehouse, month)
    refuse_unbalanced(month, tables)
    unfinished = to / month / _UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    batch, written = _write(unfinished, warehouse, project, month, tables)
    # Recorded before anyone can see it: were it the other way round, a run killed in between would leave a batch that
    # the next one does not know of, with the same sequence.
    is_new, recorded = _record(warehouse, batch, tables["invoices"], written)
    folder = to / month / f"{batch['sequence']:06}-{batch['batch_id']}"
    if _is_whole(folder, recorded) or _is_whole(folder, written.sha256):
        shutil.rmtree(unfinished)
    else:
        _publish(unfinished, folder)
    described = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    return Batch(month, batch["batch_id"], folder, is_new, described)


def _write(
    folder: Path, warehouse: Warehouse, project: str, month: str, tables: dict[str, pl.DataFrame]
) -> tuple[dict[str, Any], Written]:
    """Write all files of a batch; returns what identifies it, and its manifest."""
    texts = {name: write_csv(table, folder / f"{name}.csv") for name, table in tables.items()}
    columns = [
        write_parquet(table, folder / f"{name}.parquet", IN_MAJOR_UNITS.get(name, ())[1:])
        for name, table in tables.items()
    ]
    batch = {
        **_place(warehouse, month, _content_sha256(texts.values())),
        "project": project,
        "month": month,
        "status": "final",
        "through": tables["invoices"]["finalized_at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ").max(),
    }
    package = data_package(f"{month}-{batch['batch_id']}", tables, texts)
    descriptor = write_json(package, folder / "datapackage.json")
    files = [*texts.values(), *columns, descriptor]
    issued = warehouse.scan("invoices").select("number", "sequence").collect()
    written = write_json(manifest(batch, tables, issued, files), folder / _MANIFEST)
    (folder / _CHECKSUMS).write_text(_checksums([file._asdict() for file in [*files, written]]), encoding="utf-8")
    return batch, written


def _content_sha256(texts: Iterable[Written]) -> str:
    """Made from the text files alone: a newer Parquet writer must not make a new batch of the same rows."""
    return hashlib.sha256("".join(f"{file.path} {file.sha256}\n" for file in texts).encode()).hexdigest()


def _place(warehouse: Warehouse, month: str, content_sha256: str) -> dict[str, Any]:
    """What a batch is called, and its place among the others: as recorded where it is the month's newest already.

    Its id also says what it supersedes: a month that is again what it was once has a batch of its own.
    """
    batches = warehouse.scan("exports").sort("sequence").collect()
    of_month = batches.filter(pl.col("month") == month).select("batch_id", "supersedes", "sequence").rows()
    newest, before_newest, sequence = of_month[-1] if of_month else (None, None, 0)
    if newest is not None and newest == _batch_id(content_sha256, before_newest):
        supersedes = before_newest
    else:
        sequence, supersedes = batches.height + 1, newest
    previous = batches.filter(pl.col("sequence") == sequence - 1)["batch_id"]
    return {
        "batch_id": _batch_id(content_sha256, supersedes),
        "content_sha256": content_sha256,
        "sequence": sequence,
        "previous": None if previous.is_empty() else previous.item(),
        "supersedes": supersedes,
    }


def _batch_id(content_sha256: str, supersedes: str | None) -> str:
    return hashlib.sha256(f"{content_sha256} {supersedes or ''}".encode()).hexdigest()[:16]


def _record(warehouse: Warehouse, batch: dict[str, Any], invoices: pl.DataFrame, written: Written) -> tuple[bool, str]:
    """Keep that the batch was made, once; whether it is new, and the checksum of its manifest as first written."""
    recorded = warehouse.scan("exports").filter(pl.col("batch_id") == batch["batch_id"]).collect()
    if not recorded.is_empty():
        return False, str(recorded["manifest_sha256"].item())
    row = {
        **{name: batch[name] for name in ("batch_id", "sequence", "month", "supersedes")},
        "through": invoices["finalized_at"].max(),
        "invoices": invoices.height,
        "manifest_sha256": written.sha256,
    }
    warehouse.append("exports", pl.DataFrame([row], schema=schema_of(Exports)))
    return True, written.sha256


def _is_whole(folder: Path, manifest_sha256: str) -> bool:
    """Whether the batch is there as it was first written; what else lies in its folder does not matter.

    It is then left alone even where a newer program would write other bytes of the same rows.
    """
    try:
        if sha256_of(folder / _MANIFEST) != manifest_sha256:
            return False
        files = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))["files"]
        files_and_manifest = [*files, describe(folder / _MANIFEST)._asdict()]
        return (folder / _CHECKSUMS).read_text(encoding="utf-8") == _checksums(files_and_manifest) and all(
            sha256_of(folder / file["path"]) == file["sha256"] for file in files
        )
    except OSError:
        return False


def _checksums(files: Iterable[dict[str, Any]]) -> str:
    """As `sha256sum --check SHA256SUMS` reads them."""
    return "".join(f"{file['sha256']}  {file['path']}\n" for file in files)


def _publish(unfinished: Path, folder: Path) -> None:
    """Move the finished batch to its place at once, in the place of one that is damaged."""
    sync_files(unfinished.iterdir())
    sync_folders([unfinished])
    if folder.exists():
        shutil.rmtree(folder)
    unfinished.rename(folder)
    sync_folders([folder.parent, folder.parent.parent])
