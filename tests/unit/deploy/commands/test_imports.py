"""What `crossbook import` prints."""

import json
from collections import Counter

import pytest

from deploy.commands import imports as import_commands
from producers.recordings.frame import ImportReport

REPORT = ImportReport(
    log_id="abc",
    rows=12_000,
    books=11_000,
    dropped=Counter({"after the close": 1_000, "never": 0}),
    counted=Counter({"crossed states": 3}),
    ignored=["ticker.parquet"],
    records=13_000,
    complete=True,
)


def test_a_report_says_what_was_dropped_noticed_and_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    import_commands.print_report(REPORT, json_=False)
    text = capsys.readouterr().out
    for part in (
        "12,000 rows",
        "11,000 books",
        "after the close",
        "1,000",
        "crossed states",
        "not read: ticker.parquet",
    ):
        assert part in text
    assert "never" not in text
    assert "stopped" not in text


def test_a_report_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    import_commands.print_report(REPORT, json_=True)
    said = json.loads(capsys.readouterr().out)
    assert said["dropped"] == {"after the close": 1_000, "never": 0}
    assert (said["complete"], said["ignored"]) == (True, ["ticker.parquet"])


def test_an_import_that_was_stopped_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    import_commands.print_report(ImportReport(log_id="abc"), json_=False)
    text = capsys.readouterr().out
    assert "dropped: nothing" in text
    assert "goes on where the log ends" in text
