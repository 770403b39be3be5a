"""Reads an archive: as a log (`read`, byte for byte), as records (`records`), or as columns (`columns`).

Decides nothing. Holds a row group a file at a time, whatever the archive's size. Must never give out a row of a file whose sha256
is not the manifest's: each file is hashed when it is opened first.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from crossbook.log.archive.batches import columns_of
from crossbook.log.archive.columns import RecordColumns
from crossbook.log.archive.encoding import text_columns
from crossbook.log.archive.errors import ArchiveDamagedError
from crossbook.log.archive.manifest import (
    APPEND_MS,
    KEY,
    OFFSET,
    VALUE,
    ArchiveFile,
    Chunk,
    Manifest,
    PartitionEntry,
    check_file,
    load_manifest,
)
from crossbook.log.archive.rows import Rows, record_rows, without_collector
from crossbook.log.archive.varints import Longs
from crossbook.log.errors import LogError
from crossbook.log.reading import LogLine
from schemas.codec import load_codec
from schemas.errors import SchemaError, UnknownWordError
from schemas.records import RECORDS, Record
from schemas.registry import load_registry

#: Rows that become Python objects at once: few enough for the processor's cache.
BLOCK_ROWS: Final = 16_384


class _Block(NamedTuple):
    """Items at ascending offsets."""

    offsets: Longs
    items: Sequence[Any]


class ArchiveLog:
    """An archive as a `crossbook.log.reading.Log`."""

    def __init__(self, folder: Path) -> None:
        """Read the manifest. Raises ArchiveMissingError or ArchiveDamagedError."""
        self.folder = folder
        self.manifest: Manifest = load_manifest(folder)
        self._columns: Mapping[int, RecordColumns] = columns_of(self.manifest.schemas)
        self._checked: dict[Path, Path] = {}
        newest = load_registry().newest
        #: Schemas whose rows become records directly: the others are resolved to the newest by the codec.
        self._direct = {
            number: RECORDS[entry.record]
            for number, entry in self.manifest.schemas.items()
            if entry.record in newest
            and newest[entry.record].id == number
            and newest[entry.record].schema == entry.avro
        }

    @property
    def name(self) -> str:
        """The folder."""
        return f"archive {str(self.folder)!r}"

    @property
    def partitions(self) -> int:
        """How many partitions `market` has."""
        return self.manifest.partitions

    @property
    def log_id(self) -> str:
        """Identity of the log; empty when no LogOpened is archived."""
        return self.manifest.log_id

    def extent(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and end offset of what is archived. Raises LogError when nothing of the partition is."""
        entry = self._entry(topic, partition)
        return entry.first, entry.end

    def decided_end(self, partition: int) -> int:
        """Offset of `market` up to which decide had come when the archive was taken; the first offset when not known."""
        return self.manifest.decided_ends.get(partition, self.extent("market", partition)[0])

    def read(
        self, topic: str, partition: int, *, start: int | None = None, end: int | None = None
    ) -> Iterator[LogLine]:
        """Lines as they stood in the log, in order, from `start` up to and without `end`.

        Raises ArchiveDamagedError, which names the file, when one is gone or changed; LogError when nothing of the partition is archived.
        """
        for block in self._merged(topic, partition, start, end, self._line_block):
            yield from block.items

    def line_blocks(
        self, topic: str, partition: int, *, start: int | None = None, end: int | None = None
    ) -> Iterator[Sequence[LogLine]]:
        """As `read`, many lines at a time."""
        for block in self._merged(topic, partition, start, end, self._line_block):
            yield block.items

    def records(
        self, topic: str, partition: int, start: int | None = None, end: int | None = None
    ) -> Iterator[tuple[int, Record | None]]:
        """Offset and record of every line, in order; None stands for a value that is no readable record.

        The records equal those that the codec decodes from `read`, at several times the speed. Raises ArchiveDamagedError.
        """
        for block in self._merged(topic, partition, start, end, self._record_block):
            yield from zip(block.offsets.tolist(), block.items, strict=True)

    def columns(
        self,
        topic: str,
        partition: int,
        record: str,
        *,
        start: int | None = None,
        end: int | None = None,
        names: Sequence[str] | None = None,
    ) -> Iterator[Any]:
        """Arrow record batches of one record's rows, in order of offsets: all columns, or those named. Texts are dictionaries.

        Raises ArchiveDamagedError; a value that was kept as bytes has no row here.
        """
        for chunk in self._chunks(topic, partition, start, end):
            for file in chunk.files:
                if file.record == record and file.schema_id is not None:
                    yield from self._batches(topic, partition, file, start, end, names)

    def check(self, progress: Callable[[str], None] | None = None) -> int:
        """Hash every file; return how many. Raises ArchiveDamagedError at the first that is gone or changed."""
        files = self.manifest.files()
        for topic, partition, file in files:
            self._checked[check_file(self.folder, topic, partition, file)] = Path(file.name)
            if progress is not None:
                progress(f"{topic}/{partition}/{file.name}")
        return len(files)

    def _entry(self, topic: str, partition: int) -> PartitionEntry:
        entry = self.manifest.entry(topic, partition)
        if entry is None:
            part = f" partition {partition}" if topic in self.manifest.topics else ""
            raise LogError(
                f"{self.folder} holds no {topic}{part}; it holds: {', '.join(self.manifest.topics) or 'nothing'}"
            )
        return entry

    def _chunks(self, topic: str, partition: int, start: int | None, end: int | None) -> Iterator[Chunk]:
        for chunk in self._entry(topic, partition).chunks:
            if (start is None or chunk.end > start) and (end is None or chunk.first < end):
                yield chunk

    def _merged(
        self,
        topic: str,
        partition: int,
        start: int | None,
        end: int | None,
        make: Callable[[ArchiveFile, Any], Sequence[Any]],
    ) -> Iterator[_Block]:
        for chunk in self._chunks(topic, partition, start, end):
            sources = [
                self._blocks(make, file, self._batches(topic, partition, file, start, end, None))
                for file in chunk.files
            ]
            yield from sources[0] if len(sources) == 1 else _merge(sources)

    def _blocks(
        self, make: Callable[[ArchiveFile, Any], Sequence[Any]], file: ArchiveFile, batches: Iterator[Any]
    ) -> Iterator[_Block]:
        for batch in batches:
            yield _Block(batch.column(OFFSET).to_numpy(), make(file, batch))

    def _batches(
        self,
        topic: str,
        partition: int,
        file: ArchiveFile,
        start: int | None,
        end: int | None,
        names: Sequence[str] | None,
    ) -> Iterator[Any]:
        path = self.folder / topic / str(partition) / file.name
        if path not in self._checked:
            self._checked[check_file(self.folder, topic, partition, file)] = path
        try:
            with parquet.ParquetFile(path) as plain:
                texts, groups = text_columns(plain.schema_arrow), _groups(plain.metadata, start, end)
            with parquet.ParquetFile(path, read_dictionary=texts) as opened:
                for group in groups:
                    table = opened.read_row_group(group, None if names is None else [OFFSET, *names], use_threads=False)
                    table = _cut(table, start, end)
                    yield from table.to_batches(max_chunksize=BLOCK_ROWS)
        except pa.ArrowException as error:
            raise ArchiveDamagedError(f"{path} is no readable Parquet: {error}; restore it from a copy") from error

    def _line_block(self, file: ArchiveFile, batch: Any) -> list[LogLine]:
        offsets = batch.column(OFFSET).to_numpy().tolist()
        stamps = batch.column(APPEND_MS).to_numpy().tolist()
        values = self._values(file, batch)
        with without_collector():
            rows = zip(offsets, stamps, _keys(batch.column(KEY)), values, strict=True)
            return list(map(tuple.__new__, repeat(LogLine), rows))  # a third of the cost of calling LogLine

    def _values(self, file: ArchiveFile, batch: Any) -> list[bytes]:
        if file.schema_id is None:
            found: list[bytes] = batch.column(VALUE).to_pylist()
            return found
        octets, bounds = self._columns[file.schema_id].encode(batch)
        whole, ends = octets.tobytes(), bounds.tolist()
        return [whole[a:b] for a, b in pairwise(ends)]

    def _record_block(self, file: ArchiveFile, batch: Any) -> Rows:
        direct = None if file.schema_id is None else self._direct.get(file.schema_id)
        if direct is not None:
            # An unknown word: the codec says of each record whether it can be read.
            with without_collector(), contextlib.suppress(UnknownWordError):
                return record_rows(direct, batch)
        codec = load_codec()
        found: list[Record | None] = []
        for value in self._values(file, batch):
            try:
                found.append(codec.decode(value))
            except SchemaError:
                found.append(None)
        return found


def _groups(metadata: Any, start: int | None, end: int | None) -> list[int]:
    """Row groups whose offsets may be wanted."""
    found: list[int] = []
    for number in range(metadata.num_row_groups):
        statistics = metadata.row_group(number).column(0).statistics
        if (start is None or statistics.max >= start) and (end is None or statistics.min < end):
            found.append(number)
    return found


def _cut(table: Any, start: int | None, end: int | None) -> Any:
    offsets = table.column(OFFSET).to_numpy()
    low = 0 if start is None else int(np.searchsorted(offsets, start))
    high = len(offsets) if end is None else int(np.searchsorted(offsets, end))
    return table if (low, high) == (0, len(offsets)) else table.slice(low, high - low)


def _keys(column: Any) -> list[bytes | None]:
    if pa.types.is_dictionary(column.type):
        texts = [*column.dictionary.cast(pa.binary()).to_pylist(), None]
        numbers = column.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False).tolist()
        return [texts[number] for number in numbers]
    found: list[bytes | None] = column.to_pylist()
    return found


def _merge(sources: Sequence[Iterator[_Block]]) -> Iterator[_Block]:
    """Blocks of several sources in one order of offsets; holds one block of each."""
    held: dict[int, _Block] = {}
    live = dict(enumerate(sources))
    while True:
        for number in [one for one in live if one not in held]:
            block = next(live[number], None)
            if block is None:
                del live[number]
            elif len(block.offsets):
                held[number] = block
        missing = [number for number in live if number not in held]
        if missing:
            continue
        if not held:
            return
        frontier = min(int(block.offsets[-1]) for block in held.values())
        offsets: list[Longs] = []
        items: list[Any] = []
        for number, block in list(held.items()):
            count = int(np.searchsorted(block.offsets, frontier, side="right"))
            offsets.append(block.offsets[:count])
            items.extend(block.items[:count])
            if count == len(block.offsets):
                del held[number]
            else:
                held[number] = _Block(block.offsets[count:], block.items[count:])
        together = np.concatenate(offsets)
        order = np.argsort(together, kind="stable")
        yield _Block(together[order], [items[place] for place in order.tolist()])
