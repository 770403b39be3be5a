"""How many rows are read, encoded or written together never shows, in any format."""

import hashlib

import pytest

from crossbook.runtime.settings import Settings
from deploy.lab.archive import from_recording as recording_archive
from deploy.lab.archive.from_recording import archive_recording
from producers.recordings import columns, frame
from producers.recordings.bbo import rows
from producers.recordings.formats import open_recording
from tests.builders.recordings.l2_files import adds_up
from tests.builders.recordings.made import FORMATS, Format, imported


@pytest.mark.parametrize("made", FORMATS, ids=lambda made: made.name)
def test_an_archive_has_the_same_bytes_at_any_batch(made: Format, tmp_path, monkeypatch):
    folder = tmp_path / "recording"
    folder.mkdir()
    files, fees = made.write(folder, made.rows()), made.fees(folder)
    settings = Settings()
    found = {}
    for size in (1, 7, 777, 10**9):
        for module, name in ((columns, "BATCH_ROWS"), (rows, "BATCH_ROWS"), (frame, "BLOCK_RECORDS")):
            monkeypatch.setattr(module, name, size)
        out = tmp_path / str(size)
        report = archive_recording(open_recording(made.name, files, fees, settings.kafka.partitions), settings, out)
        parts = {
            str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(out.rglob("*.parquet"))
        }
        found[size] = parts, report
        assert parts and adds_up(report)
    assert len({str(sorted(one.items())) for one, _ in found.values()}) == 1
    assert all(report == found[1][1] for _, report in found.values()), "what is counted does not depend on it either"
    assert recording_archive.LINES > 1


@pytest.mark.parametrize("made", FORMATS, ids=lambda made: made.name)
def test_a_small_recording_of_each_format_is_used_whole(made: Format, tmp_path):
    _, report = imported(made, tmp_path, made.rows())
    assert adds_up(report)
    assert report.books or made.name == "binance-wire-2024-08"
    assert set(report.dropped) <= {
        "token 1: the mirror of token 0", "after the end of the window", "change of a book that is not trusted",
    }  # fmt: skip
