"""How large rows of a Parquet file may become: a text that many rows share is written only once.

So the size of the file says little, and what it says of its values need not be true. Its dictionaries are looked at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BUFFER_BYTES: Final = 1 << 20
"""Read at once of each column of a Parquet file; without it a whole row group is held."""

NUMBER_BYTES: Final = 8

SMALL_BYTES: Final = 1 << 19
"""In a part of a file with no more bytes no text is worth looking for: it has no more bytes either."""

PROBED_ROWS: Final = 64

UNLIKELY: Final = 4
"""So many times more memory is risked where texts might be as long as all that they are read from, but hardly are."""


class Sizes(NamedTuple):
    """What a file becomes when it is inflated, and what one of its rows may become."""

    file: int
    row: int


def sizes_of(path: Path, opened: pq.ParquetFile) -> Sizes:
    """Size up a file. Texts that rows share count once for the file, unless they stand in lists.

    Raises `pa.ArrowException` or OSError where it cannot be read.
    """
    groups = [_sizes_of_group(path, opened, number) for number in range(opened.num_row_groups)]
    return Sizes(sum(group.file for group in groups), max((group.row for group in groups), default=0))


def _sizes_of_group(path: Path, opened: pq.ParquetFile, number: int) -> Sizes:
    group = opened.metadata.row_group(number)
    file = row = 0
    for place in range(group.num_columns):
        chunk, column = group.column(place), opened.schema.column(place)
        is_repeated = column.max_repetition_level > 0
        if chunk.physical_type != "BYTE_ARRAY":
            longest = max(NUMBER_BYTES, column.length)
        elif group.total_byte_size <= SMALL_BYTES and not is_repeated:
            longest = chunk.total_uncompressed_size
        else:
            longest = _longest_of(chunk, path, opened, number)
        file += max(chunk.total_uncompressed_size, chunk.num_values * longest if is_repeated else 0)
        row += longest * max(1, chunk.num_values // max(1, group.num_rows))
    return Sizes(file, row)


def _longest_of(chunk: pq.ColumnChunkMetaData, path: Path, opened: pq.ParquetFile, number: int) -> int:
    """The size of the longest text that rows may share, as far as can be told; 0 where each is written out."""
    dictionaries = pq.ParquetFile(
        path, metadata=opened.metadata, read_dictionary=[chunk.path_in_schema], buffer_size=BUFFER_BYTES
    )
    with dictionaries:
        try:
            for rows in dictionaries.iter_batches(PROBED_ROWS, row_groups=[number], columns=[chunk.path_in_schema]):
                # As long as there are only nulls, the dictionary is not read.
                if longest := max(map(_longest, rows.columns)):
                    return longest
        except OSError:
            # It has no dictionary. Texts that share their beginnings are still not longer than what all are read from.
            return chunk.total_uncompressed_size // UNLIKELY if "DELTA_BYTE_ARRAY" in chunk.encodings else 0
    return 0


def _longest(values: pa.Array) -> int:
    if pa.types.is_dictionary(values.type):
        return pc.max(pc.binary_length(values.dictionary)).as_py() or 0
    if pa.types.is_struct(values.type):
        return max(map(_longest, values.flatten()), default=0)
    return _longest(values.values) if pa.types.is_nested(values.type) else 0


def written_out(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows with each text in its place, so that their size is what they will take. Some files ask for dictionaries."""
    plain = pa.schema([field.with_type(_plain(field.type)) for field in rows.schema])
    return rows if plain.equals(rows.schema) else rows.cast(plain)


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_plain(kind.key_type), _plain(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(_plain(kind.value_type))
    return pa.large_list(_plain(kind.value_type)) if pa.types.is_large_list(kind) else kind
