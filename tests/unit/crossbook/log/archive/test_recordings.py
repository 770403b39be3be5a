"""A real recording comes back byte for byte, in at most 12 bytes an event."""

import pytest

from crossbook.log.archive.read import ArchiveLog
from crossbook.log.archive.write import ArchiveWriter
from tests.bench import archive as bench

EVENTS = 60_000


def test_recorded_kalshi_books(recordings, tmp_path):
    path = recordings / "data" / "kalshi_gold15m_l2" / "events.parquet"
    if not path.is_file():
        pytest.skip("needs the recording events.parquet, which is not in ../shared/data/kalshi_gold15m_l2")
    lines = bench._lines(bench._recorded(EVENTS))
    with ArchiveWriter(tmp_path, source="s", prefix="p.", partitions=1) as writer:
        writer.extend("market", 0, lines)
    log = ArchiveLog(tmp_path)
    assert list(log.read("market", 0)) == lines
    assert not [file for _, _, file in log.manifest.files() if file.schema_id is None]
    assert log.manifest.bytes / EVENTS <= bench.BYTES_GOAL
