"""Writing: goes on where it stopped, takes no other log, and a kill leaves what was whole."""

import os
import signal
import subprocess
import sys
import time

import pytest

from crossbook.log.archive.errors import ArchiveConflictError, ArchiveMissingError
from crossbook.log.archive.manifest import MANIFEST, load_manifest
from crossbook.log.archive.read import ArchiveLog
from crossbook.log.archive.write import ArchiveWriter, write_archive
from crossbook.log.reading import LogLine
from tests.builders.logs.archived import CODEC, GARBAGE, lines_of, market_lines, opened
from tests.builders.logs.memory import MemoryLog
from tests.contract.record_strategies import sample

MARKET = ("market", 0)
#: Writes chunk after chunk until it is killed; prints a line after each.
WRITES_ON = """
import sys
from pathlib import Path
from crossbook.log.archive.write import ArchiveWriter
from tests.builders.logs.archived import market_lines
lines = market_lines(200)
writer = ArchiveWriter(Path(sys.argv[1]), source="s", prefix="p.", partitions=1, chunk_offsets=200)
for round in range(10_000):
    writer.extend("market", 0, [line._replace(offset=line.offset + 200 * round) for line in lines])
    if round % 3 == 0:
        writer.commit("market", 0)
        print(round, flush=True)
"""


def write(folder, lines, **changes):
    return write_archive(MemoryLog(lines, **changes), folder, prefix="t.", topics=["market", "signals"])


def writer(folder, **changes):
    return ArchiveWriter(folder, source="s", prefix="p.", partitions=1, **changes)


def test_a_log_comes_back_line_for_line(tmp_path):
    lines = market_lines(3_000)
    for number, value in enumerate(GARBAGE.values()):
        lines[100 + 7 * number] = lines[100 + 7 * number]._replace(value=value)
    lines[50] = lines[50]._replace(key=b"\xff\x00")
    signals = lines_of([sample("TopOfBook"), sample("Watermark")] * 40, first=3, step=3)
    manifest = write(tmp_path, {MARKET: lines, ("signals", 0): signals}, decided={0: 2_500})
    log = ArchiveLog(tmp_path)
    assert list(log.read("market", 0)) == lines
    assert list(log.read("signals", 0)) == signals
    assert log.extent("signals", 0) == (3, signals[-1].offset + 1)
    assert (log.partitions, log.log_id, log.decided_end(0)) == (1, "log-of-a-test", 2_500)
    assert manifest.base_offsets == {0: 0}
    assert manifest.rows == 3_080
    assert not list(tmp_path.rglob("*.part"))


def test_a_second_run_adds_what_is_new_and_only_that(tmp_path):
    lines = market_lines(900)
    write(tmp_path, {MARKET: lines[:400]}, decided={0: 300})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    manifest = write(tmp_path, {MARKET: lines}, decided={0: 900})
    assert list(ArchiveLog(tmp_path).read("market", 0)) == lines
    assert manifest.decided_ends == {0: 900}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    again = write(tmp_path, {MARKET: lines}, decided={0: 900})
    assert again == manifest


def test_chunks_split_where_they_must(tmp_path):
    lines = market_lines(1_000)
    with writer(tmp_path, chunk_offsets=100) as one:
        for at in range(0, 1_000, 90):
            one.extend("market", 0, lines[at : at + 90])
            one.commit("market", 0)
    assert list(ArchiveLog(tmp_path).read("market", 0)) == lines
    assert [chunk.end for chunk in load_manifest(tmp_path).topics["market"][0].chunks][:3] == [90, 180, 270]


def test_an_importer_appends_line_by_line(tmp_path):
    lines = market_lines(50)
    with writer(tmp_path) as one:
        for line in lines:
            one.append("market", 0, line)
        manifest = one.close({0: 50})
    assert list(ArchiveLog(tmp_path).read("market", 0)) == lines
    assert manifest.decided_ends == {0: 50}


def test_an_empty_topic_is_archived_as_empty(tmp_path):
    write(tmp_path, {MARKET: market_lines(20)}, first={("signals", 0): 12})
    log = ArchiveLog(tmp_path)
    assert log.extent("signals", 0) == (12, 12)
    assert list(log.read("signals", 0)) == []


def test_the_end_may_lie_behind_the_last_record(tmp_path):
    with writer(tmp_path) as one:
        one.begin("signals", 0, 5)
        one.extend("signals", 0, lines_of([sample("Watermark")], first=7))
        one.commit("signals", 0, 12)
    assert ArchiveLog(tmp_path).extent("signals", 0) == (5, 12)


def test_another_log_is_refused(tmp_path):
    write(tmp_path, {MARKET: market_lines(300)})
    kept = (tmp_path / MANIFEST).read_bytes()
    other = market_lines(600, log_id="other", seed=8)
    with pytest.raises(ArchiveConflictError, match="another log"):
        write(tmp_path, {MARKET: other})
    with pytest.raises(ArchiveConflictError, match="cut"):
        write(tmp_path, {MARKET: market_lines(100)})
    with pytest.raises(ArchiveConflictError, match="are gone"):
        write(tmp_path, {MARKET: market_lines(600)[400:]})
    with writer(tmp_path) as one:
        one.extend("market", 0, lines_of([opened(log_id="third")], first=300))
        with pytest.raises(ArchiveConflictError, match="holds log"):
            one.commit("market", 0)
        one.abandon()
    with pytest.raises(ArchiveConflictError, match="partitions"):
        ArchiveWriter(tmp_path, source="s", prefix="p.", partitions=2)
    assert (tmp_path / MANIFEST).read_bytes() == kept


def test_lines_out_of_order_are_refused(tmp_path):
    lines = market_lines(20)
    with writer(tmp_path) as one:
        one.extend("market", 0, lines)
        with pytest.raises(ArchiveConflictError, match="does not follow"):
            one.append("market", 0, lines[3])
    with writer(tmp_path) as one:
        one.extend("market", 0, [LogLine(40, 0, None, b""), LogLine(39, 0, None, b"")])
        with pytest.raises(ArchiveConflictError, match="order"):
            one.commit("market", 0)


def test_two_writers_are_refused(tmp_path):
    with writer(tmp_path), pytest.raises(ArchiveConflictError, match="another writer"):
        writer(tmp_path)
    writer(tmp_path).close()


def test_an_unknown_topic_is_refused(tmp_path):
    with pytest.raises(ArchiveMissingError, match="no topic 'trades'"):
        write_archive(MemoryLog({}), tmp_path, topics=["trades"])


def test_an_exception_leaves_the_archive_as_it_was(tmp_path):
    write(tmp_path, {MARKET: market_lines(100)})
    lines = lines_of([sample("BookDelta")] * 40_000, first=100)

    def fail():
        with writer(tmp_path) as one:
            one.extend("market", 0, lines)
            assert list(tmp_path.rglob("*.part"))
            raise RuntimeError("importer")

    with pytest.raises(RuntimeError, match="importer"):
        fail()
    assert ArchiveLog(tmp_path).extent("market", 0) == (0, 100)
    assert not list(tmp_path.rglob("*.part"))


def test_a_range_is_archived_alone(tmp_path):
    lines = market_lines(300)
    write_archive(MemoryLog({MARKET: lines}), tmp_path, topics=["market"], ranges={MARKET: (50, 120)})
    assert list(ArchiveLog(tmp_path).read("market", 0)) == lines[50:120]


def test_progress_is_told(tmp_path):
    told = []
    write_archive(
        MemoryLog({MARKET: market_lines(100)}), tmp_path, topics=["market"], progress=lambda *what: told.append(what)
    )
    assert told == [("market", 0, 100, 100)]


def test_kill_in_the_middle_leaves_a_valid_archive(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", WRITES_ON, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(3):
            assert child.stdout.readline()
        while not list(tmp_path.rglob("*.parquet.part")):  # in the middle of a chunk
            time.sleep(0)
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
        child.wait(120)
        child.stdout.close()
    log = ArchiveLog(tmp_path)
    assert log.check() > 0
    first, end = log.extent("market", 0)
    assert first == 0
    assert end >= 1_400
    lines = list(log.read("market", 0))
    assert [line.offset for line in lines] == list(range(end))
    with writer(tmp_path) as one:  # and the next writer goes on there
        one.extend("market", 0, [LogLine(end, 0, None, CODEC.encode(sample("BookDelta")))])
    assert ArchiveLog(tmp_path).extent("market", 0) == (0, end + 1)
    assert not list(tmp_path.rglob("*.part"))
