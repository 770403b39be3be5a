"""Writes topic ranges into an archive: `write_archive` from a log, `ArchiveWriter` for whoever has lines of its own.

Decides where a chunk ends. Must never let a manifest name a file that is not whole and on the disk, nor take records of another
log into an archive. A writer that is killed leaves the archive as it was after its last whole chunk; the next one goes on there.
"""

import contextlib
import fcntl
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa

from crossbook.log.archive.batches import RAW_SCHEMA, Part, columns_of, pinned, split
from crossbook.log.archive.encoding import ROW_GROUP_ROWS, open_writer
from crossbook.log.archive.errors import ArchiveConflictError, ArchiveMissingError
from crossbook.log.archive.manifest import (
    MANIFEST,
    RAW,
    UNFINISHED,
    ArchiveFile,
    Chunk,
    Manifest,
    PartitionEntry,
    digest_of,
    file_name,
    file_path,
    finish_file,
    load_manifest,
    save_manifest,
    sync_folder,
)
from crossbook.log.reading import Log, LogLine
from schemas.registry import load_registry
from schemas.topics import TOPICS

#: Lines that are turned into columns at once: enough for numpy, few enough for the processor's cache.
BATCH_LINES: Final = 32_768
BATCH_BYTES: Final = 32 << 20
#: A chunk ends after so many offsets (or so many bytes of values): what a killed writer loses at most.
CHUNK_OFFSETS: Final = 500_000
CHUNK_BYTES: Final = 512 << 20
#: A row group of large values ends earlier.
ROW_GROUP_BYTES: Final = 64 << 20
LOCK: Final = ".lock"
#: Topics in the order in which they are read: what is caused before its cause, so that the archive holds every cause. `fills` stand
#: before `orders` because one transaction writes both.
READING_ORDER: Final = (
    "fills",
    "orders",
    "leadlag",
    "intents",
    "signals",
    "checkpoints.execute",
    "checkpoints.decide",
    "deadletter",
    "market",
    "control",
    "tape",
)
#: Called with topic, partition, offsets done and offsets to do.
Progress = Callable[[str, int, int, int], None]
Ranges = Mapping[tuple[str, int], tuple[int | None, int | None]]


class _Schema:
    """Rows of one schema in the open chunk."""

    def __init__(self, path: Path, record: str, schema_id: int | None, schema: Any) -> None:
        self.path = path
        self.record = record
        self.schema_id = schema_id
        self.rows = 0
        self._schema = schema
        self._unfinished = path.with_name(path.name + UNFINISHED)
        self._writer = open_writer(self._unfinished, schema)
        self._waiting: list[Any] = []
        self._waiting_rows = 0
        self._waiting_bytes = 0

    def add(self, batch: Any) -> None:
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += batch.nbytes
        self.rows += batch.num_rows
        if self._waiting_rows >= ROW_GROUP_ROWS or self._waiting_bytes >= ROW_GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema), ROW_GROUP_ROWS * 2)
            self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0

    def finish(self) -> ArchiveFile:
        self._write_group()
        self._writer.close()
        finish_file(self._unfinished, self.path)
        return ArchiveFile(
            name=self.path.name,
            record=self.record,
            schema_id=self.schema_id,
            rows=self.rows,
            bytes=self.path.stat().st_size,
            sha256=digest_of(self.path),
        )

    def abandon(self) -> None:
        self._writer.close()
        self._unfinished.unlink(missing_ok=True)


class _Open:
    """A topic partition that is being written: lines not yet columns, and the open chunk."""

    def __init__(self, entry: PartitionEntry) -> None:
        self.entry = entry
        self.lines: list[LogLine] = []
        self.line_bytes = 0
        self.first: int | None = None  # of the open chunk
        self.rows = 0
        self.value_bytes = 0
        self.last: LogLine | None = None
        self.schemas: dict[int | None, _Schema] = {}

    @property
    def next_offset(self) -> int:
        """The least offset that may come."""
        if self.lines:
            return self.lines[-1].offset + 1
        return self.entry.end if self.last is None else self.last.offset + 1


class ArchiveWriter:
    """Adds lines to an archive, which it creates when there is none; one writer a folder.

    Lines of a topic partition come in order of their offsets. What was given is in the archive after `close` (or once its chunk is
    full), not before. As a context manager it closes at the end and abandons what is open when an exception leaves it.
    """

    def __init__(
        self, folder: Path, *, source: str, prefix: str, partitions: int, chunk_offsets: int = CHUNK_OFFSETS
    ) -> None:
        """Open or create.

        Raises:
            ArchiveConflictError: another writer works on the folder, or the archive has another number of partitions.
            ArchiveDamagedError: there is a manifest that cannot be read.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = (folder / LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise ArchiveConflictError(
                f"another writer works on {folder}; wait for it, or choose another folder"
            ) from error
        try:
            new = Manifest(source=source, prefix=prefix, partitions=partitions)
            self.manifest: Manifest = load_manifest(folder) if (folder / MANIFEST).exists() else new
        except Exception:
            self._lock.close()
            raise
        if self.manifest.partitions != partitions:
            self._lock.close()
            raise ArchiveConflictError(
                f"{folder} holds a log of {self.manifest.partitions} partitions, this one has {partitions}: another log; choose another folder"
            )
        for left in folder.rglob(f"*{UNFINISHED}"):
            left.unlink()
        self._chunk_offsets = chunk_offsets
        self._pinned = pinned(load_registry())
        self._columns = columns_of(self._pinned)
        self._open: dict[tuple[str, int], _Open] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def end(self, topic: str, partition: int) -> int | None:
        """Offset up to and without which a topic partition is archived; None when nothing of it is."""
        entry = self.manifest.entry(topic, partition)
        return None if entry is None else entry.end

    def append(self, topic: str, partition: int, line: LogLine) -> None:
        """Add one line. Raises ArchiveConflictError when its offset is not behind all that are there."""
        self.extend(topic, partition, (line,))

    def extend(self, topic: str, partition: int, lines: Sequence[LogLine]) -> None:
        """Add lines in order of their offsets.

        Raises:
            ArchiveConflictError: an offset is not behind those before it, or LogOpened names another log.
        """
        if not lines:
            return
        one = self._opened(topic, partition, lines[0].offset)
        if lines[0].offset < one.next_offset:
            raise ArchiveConflictError(
                f"{topic} partition {partition}: offset {lines[0].offset} does not follow, {one.next_offset} or more was expected; "
                "lines come in order of their offsets"
            )
        one.lines.extend(lines)
        one.line_bytes += sum([len(line[3]) for line in lines])
        if len(one.lines) >= BATCH_LINES or one.line_bytes >= BATCH_BYTES:
            self._take(topic, partition, one)

    def begin(self, topic: str, partition: int, first: int) -> None:
        """Name the offset that a topic partition's range begins at; without it that is the first line's. No line need follow."""
        self._opened(topic, partition, first)

    def commit(self, topic: str, partition: int, end: int | None = None) -> None:
        """Finish what is open of a topic partition; `end` is where the range ends (by default behind the last line)."""
        if (topic, partition) in self._open:
            self._take(topic, partition, self._open[topic, partition])
            one = self._open[topic, partition]  # another one when that filled a chunk
            self._finish_chunk(topic, partition, one, max(one.next_offset, end or 0))

    def close(self, decided_ends: Mapping[int, int] | None = None) -> Manifest:
        """Finish everything; `decided_ends` are offsets of `market` that decide had come to, per partition."""
        if self._lock.closed:
            return self.manifest
        try:
            for (topic, partition), one in list(self._open.items()):
                if one.lines or one.first is not None or self.end(topic, partition) is None:
                    self.commit(topic, partition)
            for partition, end in (decided_ends or {}).items():
                entry = self.manifest.entry("market", partition)
                if entry is not None:
                    self.manifest.decided_ends[partition] = max(entry.first, min(end, entry.end))
            save_manifest(self.folder, self.manifest)
        finally:
            self.abandon()
        return self.manifest

    def abandon(self) -> None:
        """Drop what is not in the archive yet and let go of the folder."""
        for one in self._open.values():
            for schema in one.schemas.values():
                schema.abandon()
        self._open.clear()
        self._lock.close()

    def _opened(self, topic: str, partition: int, first: int) -> _Open:
        assert not self._lock.closed, "a writer that was closed, or that an error ended, takes nothing"
        one = self._open.get((topic, partition))
        if one is None:
            entry = self.manifest.entry(topic, partition) or PartitionEntry(first=first, end=first)
            one = self._open[topic, partition] = _Open(entry)
        return one

    def _take(self, topic: str, partition: int, one: _Open) -> None:
        lines, one.lines = one.lines, []
        if not lines:
            return
        try:
            self._write_lines(topic, partition, one, lines)
        except Exception:
            self.abandon()  # a part of these lines must not become a chunk
            raise

    def _write_lines(self, topic: str, partition: int, one: _Open, lines: Sequence[LogLine]) -> None:
        if (np.diff(np.fromiter([line[0] for line in lines], np.int64, len(lines))) <= 0).any():
            raise ArchiveConflictError(f"{topic} partition {partition}: lines do not come in order of their offsets")
        if one.first is None:
            one.first = one.entry.end
            file_path(self.folder, topic, partition, "").mkdir(parents=True, exist_ok=True)
        for part in split(lines, self._columns):
            self._add(topic, partition, one, part)
        one.rows += len(lines)
        one.value_bytes, one.line_bytes = one.value_bytes + one.line_bytes, 0
        one.last = lines[-1]
        if one.last.offset + 1 - one.first >= self._chunk_offsets or one.value_bytes >= CHUNK_BYTES:
            self._finish_chunk(topic, partition, one, one.last.offset + 1)

    def _add(self, topic: str, partition: int, one: _Open, part: Part) -> None:
        known = None if part.schema_id is None else self._pinned[part.schema_id]
        schema = one.schemas.get(part.schema_id)
        if schema is None:
            assert one.first is not None, "a chunk is open"
            record = RAW if known is None else known.record
            name = file_name(one.first, record, part.schema_id)
            path = file_path(self.folder, topic, partition, name)
            arrow = RAW_SCHEMA if known is None else part.rows.schema
            schema = one.schemas[part.schema_id] = _Schema(path, record, part.schema_id, arrow)
        schema.add(part.rows)
        if known is not None and part.schema_id is not None:
            self.manifest.schemas[part.schema_id] = known
            if known.record == "LogOpened" and topic == "market":
                self._note_log(partition, part.rows)

    def _note_log(self, partition: int, opened: Any) -> None:
        for row in opened.to_pylist():
            log_id, base_offset = row["log_id"], row["base_offset"]
            if self.manifest.log_id not in ("", log_id):
                raise ArchiveConflictError(
                    f"{self.folder} holds log {self.manifest.log_id}, this is log {log_id}; choose another folder"
                )
            self.manifest.log_id = log_id
            self.manifest.base_offsets.setdefault(partition, base_offset)

    def _finish_chunk(self, topic: str, partition: int, one: _Open, end: int) -> None:
        entry = one.entry
        if one.first is not None and one.last is not None:
            files = tuple(schema.finish() for schema in one.schemas.values())
            sync_folder(file_path(self.folder, topic, partition, ""))
            digest = hashlib.sha256(one.last.value).hexdigest()
            entry.chunks.append(
                Chunk(
                    first=one.first, end=end, rows=one.rows, last_offset=one.last.offset, last_sha256=digest, files=files
                )
            )  # fmt: skip
            entry.rows += one.rows
        entry.end = max(entry.end, end)
        self.manifest.topics.setdefault(topic, {})[partition] = entry
        save_manifest(self.folder, self.manifest)
        self._open[topic, partition] = _Open(entry)


def write_archive(
    log: Log,
    folder: Path,
    *,
    prefix: str = "",
    topics: Sequence[str] | None = None,
    ranges: Ranges | None = None,
    progress: Progress | None = None,
    chunk_offsets: int = CHUNK_OFFSETS,
) -> Manifest:
    """Archive topics (all by default) from where the archive ends up to their present ends.

    `ranges` gives (start, end) of a topic partition; a start counts only where nothing of it is archived.

    Raises:
        ArchiveConflictError: the archive is of another log, records between it and the log are gone, or another writer works on it.
        ArchiveMissingError: a topic is named that does not exist.
    """
    chosen = tuple(TOPICS) if topics is None else tuple(topics)
    if unknown := sorted(set(chosen) - set(TOPICS)):
        raise ArchiveMissingError(f"there is no topic {unknown[0]!r}; topics are: {', '.join(TOPICS)}")
    decided = {partition: log.decided_end(partition) for partition in range(log.partitions)}
    with contextlib.ExitStack() as stack:
        writer = ArchiveWriter(
            folder, source=log.name, prefix=prefix, partitions=log.partitions, chunk_offsets=chunk_offsets
        )
        stack.push(writer.__exit__)
        for topic in sorted(chosen, key=_reading_order):
            for partition in range(TOPICS[topic].partition_count(log.partitions)):
                wanted = (ranges or {}).get((topic, partition), (None, None))
                _copy(log, writer, topic, partition, wanted, progress)
        manifest = writer.close(decided)
        stack.pop_all()
    return manifest


def _reading_order(topic: str) -> int:
    return READING_ORDER.index(topic) if topic in READING_ORDER else -1


def _copy(
    log: Log,
    writer: ArchiveWriter,
    topic: str,
    partition: int,
    wanted: tuple[int | None, int | None],
    progress: Progress | None,
) -> None:
    low, high = log.extent(topic, partition)
    start = writer.end(topic, partition)
    if start is None:
        start = low if wanted[0] is None else max(low, wanted[0])
    elif (low, high) != (0, 0) or start:
        _check_continues(log, writer, topic, partition, (low, high))
    end = high if wanted[1] is None else min(high, wanted[1])
    writer.begin(topic, partition, start)
    lines = log.read(topic, partition, start=start, end=end) if start < end else iter(())
    done = start
    while block := list(islice(lines, BATCH_LINES)):
        writer.extend(topic, partition, block)
        done = block[-1].offset + 1
        if progress is not None:
            progress(topic, partition, done - start, end - start)
    writer.commit(topic, partition, max(done, end) if start < end else start)


def _check_continues(log: Log, writer: ArchiveWriter, topic: str, partition: int, extent: tuple[int, int]) -> None:
    """The log goes on where the archive ends, and its record there is the archived one. Raises ArchiveConflictError."""
    entry = writer.manifest.entry(topic, partition)
    assert entry is not None, "something of it is archived"
    low, high = extent
    place = f"{topic} partition {partition}"
    if entry.end > high:
        raise ArchiveConflictError(
            f"{place} ends at offset {high}, the archive at {entry.end}: another log, or it was cut; choose another folder"
        )
    if entry.end < low:
        raise ArchiveConflictError(
            f"{place}: offsets {entry.end} to {low - 1} are gone from the log and not archived; choose another folder"
        )
    if not entry.chunks or entry.chunks[-1].last_offset < low:
        return
    last = entry.chunks[-1]
    found = next(_lines_at(log, topic, partition, last.last_offset), None)
    if found is None or hashlib.sha256(found.value).hexdigest() != last.last_sha256:
        raise ArchiveConflictError(
            f"{place}: the record at offset {last.last_offset} is not the archived one: another log; choose another folder"
        )


def _lines_at(log: Log, topic: str, partition: int, offset: int) -> Iterator[LogLine]:
    return log.read(topic, partition, start=offset, end=offset + 1)
