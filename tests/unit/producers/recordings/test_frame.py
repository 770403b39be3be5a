"""The frame of every importer: a log without a broker is the log that is sent."""

from pathlib import Path

from crossbook.runtime.settings import Settings
from producers.recordings.bbo.replay import Recording
from producers.recordings.frame import ImportReport, recording_lines
from schemas.codec import load_codec
from tests.builders.recordings.bbo import ROWS, configured, fees, imported, write


def one_by_one(records):
    return [load_codec().encode(record) for record in records]


def test_the_lines_of_a_recording_are_what_an_import_sends(tmp_path: Path) -> None:
    recording = Recording([write(tmp_path, ROWS)], fees(tmp_path), 3)
    sender, sent = imported(recording)
    decide = configured(recording.ts_first_ns)
    report = ImportReport(log_id=recording.log_id(Settings()))
    codec = load_codec()
    lines = list(recording_lines(recording, Settings(), one_by_one, decide, report))
    for partition in range(3):
        there = [line for p, line in lines if p == partition]
        assert [line.offset for line in there] == list(range(len(there)))
        assert [line.append_ms for line in there] == sorted(line.append_ms for line in there)
        expected = [(key, record) for _, p, key, record in sender.sent if p == partition]
        assert [(line.key and line.key.decode(), codec.decode(line.value)) for line in there] == expected
    assert report.complete
    assert (report.rows, report.records, report.books) == (sent.rows, sent.records, sent.books)


def test_the_lines_need_no_report(tmp_path: Path) -> None:
    recording = Recording([write(tmp_path, ROWS)], fees(tmp_path), 1)
    decide = configured(recording.ts_first_ns)
    first = [value for _, value in recording_lines(recording, Settings(), one_by_one, decide)]
    assert first == [value for _, value in recording_lines(recording, Settings(), one_by_one, decide)]
