"""Reading: any range, as lines, records or columns; never from a file that was changed."""

import re

import pytest

from crossbook.log.archive.errors import ArchiveDamagedError, ArchiveMissingError
from crossbook.log.archive.manifest import MANIFEST
from crossbook.log.archive.read import ArchiveLog
from crossbook.log.archive.write import ArchiveWriter
from crossbook.log.errors import LogError
from crossbook.log.reading import LogLine
from schemas.errors import SchemaError
from tests.builders.logs.archived import CODEC, GARBAGE, market_lines


@pytest.fixture
def lines():
    found = market_lines(2_000)
    for number, value in enumerate(GARBAGE.values()):
        found[60 * number + 9] = found[60 * number + 9]._replace(value=value)
    return found


@pytest.fixture
def folder(tmp_path, lines):
    with ArchiveWriter(tmp_path, source="s", prefix="p.", partitions=1, chunk_offsets=300) as writer:
        for at in range(0, 2_000, 250):
            writer.extend("market", 0, lines[at : at + 250])
            if at == 750:
                writer.commit("market", 0)
    return tmp_path


def decoded(line):
    try:
        return CODEC.decode(line.value)
    except SchemaError:
        return None


@pytest.mark.parametrize(
    ("start", "end"),
    [(None, None), (0, 2_000), (1, 2), (777, 1_234), (999, 1_000), (1_990, 9_999), (5, 5), (3_000, None)],
)
def test_a_range_is_what_the_log_gave(folder, lines, start, end):
    wanted = lines[start or 0 : 2_000 if end is None else end]
    log = ArchiveLog(folder)
    found = list(log.read("market", 0, start=start, end=end))
    assert found == wanted
    assert all(type(line) is LogLine for line in found)
    assert [line for block in log.line_blocks("market", 0, start=start, end=end) for line in block] == wanted
    assert list(log.records("market", 0, start, end)) == [(line.offset, decoded(line)) for line in wanted]


def test_columns_of_one_record(folder, lines):
    log = ArchiveLog(folder)
    rows = [row for batch in log.columns("market", 0, "BookDelta", names=["sequence"]) for row in batch.to_pylist()]
    wanted = [
        {"log_offset": line.offset, "sequence": decoded(line).sequence}
        for line in lines
        if type(decoded(line)).__name__ == "BookDelta"
    ]
    assert rows == wanted


def test_a_changed_byte_is_found_and_named(folder):
    (path,) = folder.glob("market/0/00000000000000000000-BookDelta.*.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    log = ArchiveLog(folder)
    expected = next(file.sha256 for _, _, file in log.manifest.files() if file.name == path.name)
    for reading in (log.check, lambda: list(log.read("market", 0)), lambda: list(log.records("market", 0))):
        with pytest.raises(ArchiveDamagedError) as raised:
            reading()
        text = str(raised.value)
        assert path.name in text
        assert f"expected sha256 {expected}" in text
        assert re.search(r"found (?!" + expected + r")[0-9a-f]{64}", text)
    assert next(log.read("market", 0, start=1_900)).offset == 1_900  # the other files are as they were


def test_a_file_that_is_gone_is_named(folder):
    path = next(folder.glob("market/0/*-raw.parquet"))
    path.unlink()
    with pytest.raises(ArchiveDamagedError, match=path.name):
        ArchiveLog(folder).check()


def test_what_is_no_archive_is_refused(tmp_path, folder):
    with pytest.raises(ArchiveMissingError, match="archive write"):
        ArchiveLog(tmp_path / "nowhere")
    with pytest.raises(LogError, match="holds no fills; it holds: market"):
        list(ArchiveLog(folder).read("fills", 0))
    manifest = folder / MANIFEST
    content = manifest.read_text()
    manifest.write_text(content.replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(ArchiveDamagedError, match="crossbook-archive 2"):
        ArchiveLog(folder)
    manifest.write_text(content[:-30])
    with pytest.raises(ArchiveDamagedError, match="cannot be read"):
        ArchiveLog(folder)


def test_a_record_of_an_older_schema_is_resolved_by_the_codec(folder, monkeypatch):
    log = ArchiveLog(folder)
    wanted = list(log.records("market", 0))
    monkeypatch.setattr(log, "_direct", {})  # as if every schema had a newer version
    assert list(log.records("market", 0)) == wanted
