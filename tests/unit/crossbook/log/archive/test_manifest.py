"""The manifest comes back as it was, and a file is what it says."""

from pathlib import Path

import pytest

from crossbook.log.archive.errors import ArchiveDamagedError, ArchiveMissingError
from crossbook.log.archive.manifest import (
    ArchiveFile,
    Chunk,
    Manifest,
    PartitionEntry,
    SchemaEntry,
    check_file,
    digest_of,
    file_name,
    file_path,
    load_manifest,
    save_manifest,
)


def example(sha256="0" * 64):
    file = ArchiveFile(name="a.parquet", record="BookDelta", schema_id=11, rows=3, bytes=9, sha256=sha256)
    chunk = Chunk(first=5, end=9, rows=3, last_offset=8, last_sha256="1" * 64, files=(file,))
    return Manifest(
        source="prefix 'x.'",
        prefix="x.",
        partitions=2,
        log_id="log",
        base_offsets={1: 5},
        decided_ends={1: 7},
        schemas={11: SchemaEntry(record="BookDelta", version=1, avro={"type": "record"})},
        topics={"market": {1: PartitionEntry(first=5, end=9, rows=3, chunks=[chunk])}},
    )


def test_it_comes_back_as_it_was(tmp_path):
    save_manifest(tmp_path, example())
    found = load_manifest(tmp_path)
    assert found == example()
    assert (found.rows, found.bytes) == (3, 9)
    assert found.entry("market", 0) is None
    assert not list(tmp_path.glob("*.part"))


def test_names_sort_by_offset():
    names = [file_name(first, "BookDelta", 11) for first in (0, 9, 10, 10**15)]
    assert names == sorted(names)
    assert file_name(7, "raw", None) == "00000000000000000007-raw.parquet"
    assert file_path(Path("a"), "market", 3, "x") == Path("a/market/3/x")


def test_a_file_is_checked_by_its_bytes(tmp_path):
    path = file_path(tmp_path, "market", 1, "a.parquet")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"abc")
    (file,) = (file for _, _, file in example(digest_of(path)).files())
    assert check_file(tmp_path, "market", 1, file) == path
    path.write_bytes(b"abd")
    with pytest.raises(ArchiveDamagedError, match=r"a\.parquet was changed: expected sha256 ba78.* found a52d"):
        check_file(tmp_path, "market", 1, file)
    path.unlink()
    with pytest.raises(ArchiveDamagedError, match=r"a\.parquet cannot be read"):
        check_file(tmp_path, "market", 1, file)


def test_a_folder_without_one_is_no_archive(tmp_path):
    with pytest.raises(ArchiveMissingError, match="holds no archive"):
        load_manifest(tmp_path)
