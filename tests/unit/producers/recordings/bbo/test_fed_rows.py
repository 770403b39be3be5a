"""The half-hourly summaries of one contract on both venues: cells, lines, and the counts of decide on the real recording."""

import pytest

from crossbook.market.configuration import Configuration
from crossbook.market.market_state import MarketState
from crossbook.runtime.settings import DecideSettings, Settings
from processors.decide.code_digest import decision_digest
from processors.decide.fold import step
from processors.decide.settings import announcement
from processors.decide.state import DecideState
from producers.errors import RecordingError
from producers.recordings.bbo.fed_rows import NEEDED, fed_rows
from producers.recordings.formats import open_recording
from producers.recordings.frame import ImportReport
from schemas.records import BookSnapshot, EdgeStatistics, TradeIntent
from tests.builders.recordings.fed import FEES, STAMP, line, write_csv


@pytest.mark.parametrize("name", ["one.csv", "one.csv.gz"])
def test_a_line_is_two_polls_at_one_stamp(tmp_path, name):
    first, second = fed_rows(write_csv(tmp_path / name, line(STAMP)))
    assert (first.venue, first.fetch_ms, second.venue, second.fetch_ms) == ("polymarket", STAMP, "kalshi", STAMP)
    assert (first.bid_1e4, first.ask_1e4, first.bid_size_1e2, first.ask_size_1e2) == (
        5_000,
        5_100,
        6_446_959,
        1_849_309,
    )
    assert (second.bid_1e4, second.ask_1e4, second.bid_size_1e2, second.ask_size_1e2) == (
        5_000,
        5_200,
        402_400,
        2_617_600,
    )


def test_an_empty_cell_is_an_empty_side(tmp_path):
    first, _ = fed_rows(write_csv(tmp_path / "one.csv", line(STAMP, polymarket=("", "", "", ""))))
    assert (first.bid_1e4, first.ask_1e4, first.bid_size_1e2, first.ask_size_1e2) == (None, None, None, None)
    assert first.usable


@pytest.mark.parametrize("cell", ["nan", "n/a", "inf", "-Infinity", "1e400", "0.5.5"])
def test_a_cell_that_is_no_number_drops_its_poll_alone(tmp_path, cell):
    records, report = records_of(
        write_csv(tmp_path / "one.csv", line(STAMP), line(STAMP + 1_800_000, polymarket=(cell, "0.49", "1", "1")))
    )
    assert report.dropped == {"cell that is no number": 1}
    assert sum(isinstance(record, BookSnapshot) for record in records) == 3


def test_a_line_that_was_cut_is_no_empty_book(tmp_path):
    path = write_csv(tmp_path / "cut.csv", line(STAMP), line(STAMP + 1_800_000))
    path.write_bytes(path.read_bytes()[:-20])
    records, report = records_of(path)
    assert report.dropped == {"line cut, or with too many cells": 2}
    assert report.rows == report.books + 2 == sum(isinstance(record, BookSnapshot) for record in records) + 2


def test_a_line_whose_two_clocks_are_hours_apart_is_dropped(tmp_path):
    header = (*NEEDED, "timestamp_et")
    lines = [
        (*line(STAMP), "2025-11-16 01:01:20"),
        (*line(STAMP + 10_800_000), "2025-11-16 01:31:20"),
        (*line(STAMP + 60_000), ""),
    ]
    _, report = records_of(write_csv(tmp_path / "two.csv", *lines, header=header))
    assert report.dropped == {"clocks of a row ten minutes apart": 2}


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"timestamp_ms,poly_mid\n1,2\n", "missing: poly_best_bid_yes"), (b"\xff\xfe\x00", "is no CSV file")],
)
def test_another_file_is_refused_by_name(tmp_path, content, said):
    path = tmp_path / "other.csv"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=said):
        list(fed_rows(path))


def records_of(file):
    recording = open_recording("xv-fed-dec2025", [file], FEES, 1)
    said = announcement(DecideSettings(), decision_digest(), ts_ns=recording.ts_first_ns, operator="test")
    configured = Configuration.of(said, ts_received_ns=recording.ts_first_ns, control_offset=-1)
    report = ImportReport(log_id=recording.log_id(Settings()))
    return [placed.record for placed in recording.log(report.log_id, configured, report)], report


def test_a_missing_poll_leaves_the_other_venue_alone(tmp_path):
    lines = [line(STAMP), line(STAMP + 1_800_000, polymarket=("", "", "", "")), line(STAMP + 3_600_000)]
    records, report = records_of(write_csv(tmp_path / "three.csv", *lines))
    market = MarketState()
    for position, record in enumerate(records):
        market.apply(position, record)
    assert report.rows == 6
    assert sum(isinstance(record, BookSnapshot) for record in records) == 6 - report.dropped.total()
    assert all(state.valid for state in market.books.values())


@pytest.mark.recordings
def test_counts_of_the_real_recording_equal_the_independent_ones(recordings):
    file = recordings / "data" / "xv_fed_dec2025" / "fed_nochange_30min.csv.gz"
    if not file.is_file():
        pytest.skip("needs the recording xv_fed_dec2025, which is not in ../shared/data")
    records, report = records_of(file)
    state = DecideState(decision_digest())
    outputs = [output.record for position, record in enumerate(records) for output in step(state, position, record)]
    last = {r.package: r for r in outputs if isinstance(r, EdgeStatistics)}
    found = {
        package: (one.evaluations, one.gross_positive, one.net_positive, one.at_threshold, one.net_best_micros)
        for package, one in last.items()
    }
    assert not [r for r in outputs if isinstance(r, TradeIntent)]
    assert (report.rows, report.books, dict(report.dropped)) == (1_408, 1_408, {})
    assert found == {"no_a_yes_b": (704, 1, 0, 0, -3_469), "yes_a_no_b": (704, 307, 185, 0, 21_075)}
