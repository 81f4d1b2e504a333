"""What a stored part was made from, as one hash: equal inputs need no second computation (rule 8.1)."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import TYPE_CHECKING

import polars as pl

from meterhouse.tables import Fingerprints, schema_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meterhouse.warehouse import Warehouse


def digest(*parts: str | bytes) -> str:
    """SHA-256 over parts, each with its length, so that no two lists of parts are taken for one another."""
    sha = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        sha.update(len(content).to_bytes(8, "big"))
        sha.update(content)
    return sha.hexdigest()


def frame_digest(frame: pl.DataFrame) -> str:
    """The digest of a table's rows, in whatever order they come.

    Taken from text: how rows lie in memory depends on where they were read from, even where they are equal.
    """
    content = BytesIO()
    frame.sort(frame.columns).write_csv(content)
    return digest(content.getvalue())


def recorded(warehouse: Warehouse, table: str) -> dict[str, str]:
    """The fingerprint of each part of a table."""
    rows = warehouse.scan("fingerprints").filter(pl.col("part_table") == table).collect()
    return dict(zip(rows["part"], rows["inputs"], strict=True))


def forget(warehouse: Warehouse, table: str, parts: Iterable[str]) -> None:
    """Drop the fingerprints of parts that are about to be written."""
    written = pl.col("part_table") == table
    named = pl.col("part").is_in(list(parts))
    warehouse.update("fingerprints", lambda before: before.filter(~(written & named)).collect())


def record(warehouse: Warehouse, table: str, parts: Mapping[str, str]) -> None:
    """Keep the fingerprints of parts, after they were written."""
    if not parts:
        return
    new = pl.DataFrame(
        {"part_table": [table] * len(parts), "part": list(parts), "inputs": list(parts.values())},
        schema=schema_of(Fingerprints),
    )
    warehouse.update(
        "fingerprints",
        lambda before: pl.concat([before.join(new.lazy(), on=["part_table", "part"], how="anti").collect(), new]),
    )
