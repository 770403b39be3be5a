"""The lead-lag report over a log and over a real recording."""

import json

import pytest

from deploy.errors import UsageError
from deploy.lab.leadlag.report import COLUMNS, Lengths, compare, rows, write_report
from deploy.lab.leadlag.sources import from_kalshi_spot, from_log
from tests.builders.leadlag_worlds import MS, S, planted_signals
from tests.builders.logs.memory import MemoryLog
from tests.builders.logs.whole import whole_log

A, B = "kalshi:TEAM", "polymarket:0xteam"
LENGTHS = Lengths(bar_ns=S, bar_lag_max_ns=10 * S, lag_max_ns=2 * S, step_ns=50 * MS)


def studied(signals):
    log = MemoryLog({}, decided={0: 1})  # of which only `signals` is left, and in it bytes of a stranger
    log.append("signals", 0, b"no record")
    for key, record in signals:
        log.append("signals", 0, record, key)
    return compare(from_log(log, {}, 120 * S, 240 * S), LENGTHS, seed=7)


def test_a_log_with_a_lead_gives_a_page_with_its_interval(tmp_path):
    (found,) = studied(planted_signals(3, a=A, b=B, group="group", lead_ms=300, seconds=970))
    assert found.leader(found.ticks) == A
    assert found.ticks.lag_low_ns <= 300 * MS <= found.ticks.lag_high_ns
    assert found.ticks.windows == 8
    size = write_report([found], "the test's log", LENGTHS, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert size == len(text.encode()) < 200_000
    assert f"{A} leads {B} by 300 ms" in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
    told = json.loads((tmp_path / "report.json").read_text())
    ticks = told["pairs"][0]["methods"]["ticks"]
    assert (ticks["leader"], len(ticks["curve"])) == (A, len(ticks["lags_ns"]))
    assert all(len(row) == len(COLUMNS) for row in rows([found]))


def test_a_log_without_a_lead_says_so(tmp_path):
    found = studied(planted_signals(3, a=A, b=B, group="group", lead_ms=0, seconds=700))
    write_report(found, "the test's log", LENGTHS, tmp_path / "report.html")
    assert "No pair has a leader" in (tmp_path / "report.html").read_text()


def test_an_empty_log_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(UsageError, match="--window-s"):
        write_report(studied([]), "an empty log", LENGTHS, tmp_path / "report.html")


def test_spot_leads_kalshi_in_the_recording(recordings):
    """Half of the recording; the whole of it says 40 ms (30 to 50)."""
    folder = recordings / "data" / "kalshi_btc15m_l2_spot"
    if not folder.is_dir():
        pytest.skip("the recording kalshi_btc15m_l2_spot is not there")
    comparison = from_kalshi_spot(folder, 300 * S, sessions=16)
    (found,) = compare(
        [comparison], LENGTHS._replace(bar_ns=S // 2, bar_lag_max_ns=5 * S, lag_max_ns=S, step_ns=20 * MS), seed=7
    )
    assert found.leader(found.ticks) == "coinbase:BTC-USD"
    assert 20 * MS <= found.ticks.lag_low_ns <= found.ticks.lag_high_ns <= 100 * MS
    assert found.bars.lag_ns == 0
    assert found.leader(found.bars) == "", "bars of half a second cannot see it"
    zero = len(found.bars.curve) // 2
    assert found.bars.curve[zero + 1] > found.bars.curve[zero - 1], "but they lean the same way"


def test_a_folder_without_the_recording_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"events\.parquet"):
        from_kalshi_spot(tmp_path, 300 * S)


def test_a_log_that_was_never_decided_is_decided_in_passing():
    decided = whole_log(900)
    bare = MemoryLog({("market", 0): decided.lines["market", 0]})
    found = [
        [(one.group, one.name_a, one.name_b, one.a.times.tolist(), one.a.values.tolist()) for one in compared]
        for compared in (from_log(log, {}, 10 * S, 20 * S) for log in (decided, bare))
    ]
    assert found[0], "something can be compared"
    assert found[0] == found[1]
