"""`manifest.json`: what an archive holds, and the only thing that says so.

Decides the layout's names. A file that the manifest does not name is no part of the archive; the manifest is replaced as a whole
and only after everything that it names is on the disk, so that a killed writer leaves the archive as it was.
"""

import hashlib
import os
from pathlib import Path
from typing import Any, Final

import msgspec

from crossbook.log.archive.errors import ArchiveDamagedError, ArchiveMissingError

MANIFEST: Final = "manifest.json"
FORMAT: Final = "crossbook-archive"
FORMAT_VERSION: Final = 1
#: Suffix of files that are not whole yet.
UNFINISHED: Final = ".part"
#: Columns of every file that are the log's and not the record's.
OFFSET, APPEND_MS, KEY, VALUE = "log_offset", "log_append_ms", "log_key", "value"
#: What stands in place of a record's name in the name of a file whose values are kept as bytes.
RAW: Final = "raw"


class ArchiveFile(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file: rows of one schema, sorted by offset; `schema_id` None: values kept as bytes."""

    name: str
    record: str
    schema_id: int | None
    rows: int
    bytes: int
    sha256: str


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Offsets `first` up to and without `end`; `last_offset` is that of the last record in it, with its value's digest."""

    first: int
    end: int
    rows: int
    last_offset: int
    last_sha256: str
    files: tuple[ArchiveFile, ...]


class PartitionEntry(msgspec.Struct, kw_only=True):
    """What is archived of a topic partition: offsets `first` up to and without `end`."""

    first: int
    end: int
    rows: int = 0
    chunks: list[Chunk] = msgspec.field(default_factory=list)


class SchemaEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A schema that values were written with, as Avro JSON: the archive needs no registry."""

    record: str
    version: int
    avro: dict[str, Any]


class Manifest(msgspec.Struct, kw_only=True):
    """The whole archive. Keys that are numbers (partitions, schema ids) are text in JSON.

    `source` says where it was taken from; `base_offsets` are those of LogOpened; `decided_ends` is how far decide had come.
    """

    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    source: str
    prefix: str
    partitions: int
    log_id: str = ""
    base_offsets: dict[int, int] = msgspec.field(default_factory=dict)
    decided_ends: dict[int, int] = msgspec.field(default_factory=dict)
    schemas: dict[int, SchemaEntry] = msgspec.field(default_factory=dict)
    topics: dict[str, dict[int, PartitionEntry]] = msgspec.field(default_factory=dict)

    def entry(self, topic: str, partition: int) -> PartitionEntry | None:
        """What is archived of a topic partition."""
        return self.topics.get(topic, {}).get(partition)

    @property
    def rows(self) -> int:
        """Records in the archive."""
        return sum(entry.rows for entries in self.topics.values() for entry in entries.values())

    @property
    def bytes(self) -> int:
        """Size of all its Parquet files."""
        return sum(file.bytes for _, _, file in self.files())

    def files(self) -> list[tuple[str, int, ArchiveFile]]:
        """Every file with its topic and partition, in order."""
        return [
            (topic, partition, file)
            for topic, entries in self.topics.items()
            for partition, entry in entries.items()
            for chunk in entry.chunks
            for file in chunk.files
        ]


def file_path(folder: Path, topic: str, partition: int, name: str) -> Path:
    """Where a file of a topic partition stands."""
    return folder / topic / str(partition) / name


def file_name(first: int, record: str, schema_id: int | None) -> str:
    """Name of a chunk's file of one schema; names sort by offset."""
    return f"{first:020d}-{record}.parquet" if schema_id is None else f"{first:020d}-{record}.s{schema_id}.parquet"


def load_manifest(folder: Path) -> Manifest:
    """Read the manifest.

    Raises:
        ArchiveMissingError: there is none.
        ArchiveDamagedError: it cannot be read, or is of another format version.
    """
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArchiveMissingError(
            f"{folder} holds no archive ({MANIFEST}: {error.strerror}); write one with: crossbook archive write {folder}"
        ) from error
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArchiveDamagedError(f"{path} cannot be read: {error}; restore it from a copy") from error
    if (manifest.format, manifest.format_version) != (FORMAT, FORMAT_VERSION):
        raise ArchiveDamagedError(
            f"{path} is of format {manifest.format} {manifest.format_version}; this crossbook reads {FORMAT} {FORMAT_VERSION}"
        )
    return manifest


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest; it is on the disk when this returns."""
    path = folder / MANIFEST
    unfinished = path.with_name(path.name + UNFINISHED)
    with unfinished.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_folder(folder)


def finish_file(unfinished: Path, path: Path) -> None:
    """Put a whole file on the disk and give it its name."""
    with unfinished.open("rb+") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)


def sync_folder(folder: Path) -> None:
    """Put a folder's names on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest_of(path: Path) -> str:
    """SHA-256 of a file. Raises OSError when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(folder: Path, topic: str, partition: int, file: ArchiveFile) -> Path:
    """Path of a file whose bytes are those that were written.

    Raises:
        ArchiveDamagedError: it is gone or changed; names the file, what was expected and what was found.
    """
    path = file_path(folder, topic, partition, file.name)
    try:
        found = digest_of(path)
    except OSError as error:
        raise ArchiveDamagedError(
            f"{path} cannot be read ({error.strerror}), and the manifest names it; restore it from a copy"
        ) from error
    if found != file.sha256:
        raise ArchiveDamagedError(
            f"{path} was changed: expected sha256 {file.sha256}, found {found}; restore it from a copy"
        )
    return path
