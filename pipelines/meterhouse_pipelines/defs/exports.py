"""Exports: final invoices as batches of files, only where the audit passes."""

import dagster as dg
import polars as pl

from meterhouse.exports import export
from meterhouse_pipelines.partitions import at_once
from meterhouse_pipelines.reporting import POOL, Watch, stored_metadata, table_of, table_spec
from meterhouse_pipelines.resources import ProjectFolder

_SPEC = table_spec(
    "exports",
    "exports",
    ["invoices", "invoice_lines", "rated_lines", "credit_ledger", "usage"],
    note="Every month of issue, each written once into the project's folder `exports`.",
).merge_attributes(kinds={"csv", "parquet"})


@dg.multi_asset(specs=[_SPEC], backfill_policy=at_once, pool=POOL)
def batches(project: ProjectFolder) -> dg.MaterializeResult[None]:
    """Write what is not exported yet; a month that did not change gives the batch that is there."""
    watch = Watch()
    with project.writing() as (files, warehouse):
        written = export(warehouse, files.settings.name, files.root / "exports")
        rows = [(batch.month, batch.batch_id, str(batch.folder), batch.is_new) for batch in written]
        shown = pl.DataFrame(rows, schema=["month", "batch_id", "folder", "is_new"], orient="row")
        return dg.MaterializeResult(
            metadata=stored_metadata(warehouse, "exports", watch)
            | {
                "batches": table_of(shown.sort("month", descending=True)),
                "new_batches": dg.MetadataValue.int(sum(batch.is_new for batch in written)),
            }
        )
