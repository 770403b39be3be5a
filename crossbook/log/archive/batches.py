"""Lines of a log as Parquet tables, one a schema, and back to bytes.

Decides which values become columns and which are kept as bytes: those that the columns give back byte for byte, proven for each
value by encoding it again, and all others. Must never lose or change a byte of a key or a value.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossbook.log.archive.columns import HEADER_BYTES, RecordColumns
from crossbook.log.archive.manifest import APPEND_MS, KEY, OFFSET, VALUE, SchemaEntry
from crossbook.log.archive.varints import Longs
from crossbook.log.reading import LogLine
from schemas.codec import MAGIC
from schemas.registry import Registry

LOG_FIELDS: Final = (
    pa.field(OFFSET, pa.int64(), nullable=False),
    pa.field(APPEND_MS, pa.int64(), nullable=False),
    pa.field(KEY, pa.string()),
)
RAW_SCHEMA: Final = pa.schema(
    [*LOG_FIELDS[:2], pa.field(KEY, pa.binary()), pa.field(VALUE, pa.binary(), nullable=False)]
)


class Part(NamedTuple):
    """Rows of one schema in order of their offsets; `schema_id` None: values kept as bytes."""

    schema_id: int | None
    rows: Any


def columns_of(schemas: Mapping[int, SchemaEntry]) -> dict[int, RecordColumns]:
    """Columns of every schema that can have them."""
    found: dict[int, RecordColumns] = {}
    for number, entry in schemas.items():
        try:
            found[number] = RecordColumns(number, entry.avro)
        except ValueError:
            continue
    return found


def pinned(registry: Registry) -> dict[int, SchemaEntry]:
    """Every pinned schema as an archive names it."""
    return {
        schema.id: SchemaEntry(record=schema.record, version=schema.version, avro=schema.schema)
        for schema in registry.by_id.values()
    }


def split(lines: Sequence[LogLine], columns: Mapping[int, RecordColumns]) -> list[Part]:
    """Lines in order of their offsets as rows, a part a schema; what no columns give back byte for byte is in the raw part."""
    if not lines:
        return []
    keys = [line[2] for line in lines]  # by number: names cost twice as much, and this is done for each line of a log
    values = [line[3] for line in lines]
    sizes = np.fromiter(map(len, values), np.int64, len(values))
    ends = np.cumsum(sizes)
    starts = ends - sizes
    data = b"".join(values)
    ids = _schema_ids(data, starts, sizes)
    texts, unreadable = _texts(keys)
    ids[unreadable] = -1
    log = [pa.array([line[0] for line in lines], pa.int64()), pa.array([line[1] for line in lines], pa.int64()), texts]
    parts: list[Part] = []
    raw = ids < 0
    for schema_id in np.unique(ids[~raw]).tolist():
        rows = np.flatnonzero(ids == schema_id)
        codec = columns.get(schema_id)
        batch, kept = (
            (None, np.zeros(rows.size, np.bool_))
            if codec is None
            else _decoded(codec, data, values, starts, ends, rows)
        )
        raw[rows[~kept]] = True
        if batch is not None and batch.num_rows:
            parts.append(Part(schema_id, _with_log(log, rows[kept], len(lines), batch)))
    if raw.any():
        rows = np.flatnonzero(raw)
        take = rows.tolist()
        arrays = [array.take(pa.array(rows)) for array in log[:2]]
        arrays += [
            pa.array([keys[row] for row in take], pa.binary()),
            pa.array([values[row] for row in take], pa.binary()),
        ]
        parts.append(Part(None, pa.RecordBatch.from_arrays(arrays, schema=RAW_SCHEMA)))
    return parts


def _schema_ids(data: bytes, starts: Longs, sizes: Longs) -> Longs:
    """Schema id of each value; -1 where there is no header."""
    octets = np.frombuffer(data + bytes(HEADER_BYTES), np.uint8)
    ids = np.zeros(starts.size, np.int64)
    for place in range(1, HEADER_BYTES):
        ids = ids << 8 | octets[starts + place]
    ids[(sizes < HEADER_BYTES) | (octets[starts] != MAGIC)] = -1
    return ids


def _texts(keys: Sequence[bytes | None]) -> tuple[Any, list[int]]:
    """Keys as text, and the rows whose key is none."""
    try:
        return pa.array(keys, pa.binary()).cast(pa.string()), []
    except pa.ArrowInvalid:
        texts: list[str | None] = []
        unreadable: list[int] = []
        for row, key in enumerate(keys):
            try:
                texts.append(None if key is None else key.decode())
            except UnicodeDecodeError:
                texts.append(None)
                unreadable.append(row)
        return pa.array(texts, pa.string()), unreadable


def _decoded(
    codec: RecordColumns, data: bytes, values: Sequence[bytes], starts: Longs, ends: Longs, rows: Longs
) -> tuple[Any, NDArray[np.bool_]]:
    """Columns of the rows that they give back byte for byte, and which those are."""
    batch, kept = codec.decode(data, starts[rows], ends[rows])
    written, bounds = codec.encode(batch)
    found = rows[kept]
    originals = values if found.size == len(values) else [values[row] for row in found.tolist()]
    sizes = ends[found] - starts[found]
    if np.array_equal(np.diff(bounds), sizes) and b"".join(originals) == written.tobytes():
        return batch, kept
    again, cuts = written.tobytes(), bounds.tolist()
    same = np.array([one == again[a:b] for one, a, b in zip(originals, cuts, cuts[1:], strict=False)], np.bool_)
    kept[np.flatnonzero(kept)[~same]] = False
    return batch.filter(pa.array(same)), kept


def _with_log(log: Sequence[Any], rows: Longs, lines: int, batch: Any) -> Any:
    if rows.size != lines:
        take = pa.array(rows)
        log = [array.take(take) for array in log]
    return pa.RecordBatch.from_arrays([*log, *batch.columns], schema=pa.schema([*LOG_FIELDS, *batch.schema]))
