"""Lag: what was old when it was read, and what waits while the log goes on; neither silence nor a recording is lag."""

from executors.meters.lag_meter import LagMeter
from tests.builders.executors.worlds import MS, T0, S


def meter(*reads):
    """A meter that read records (position, append time, now), all received when they were appended."""
    found = LagMeter()
    for position, append_ns, now_ns in reads:
        found.read(position, append_ns, now_ns)
    return found


def test_nothing_read_is_no_lag():
    assert meter().lag_ns(-1, T0, paused=False) == 0
    assert not meter().known
    assert meter((0, T0, T0)).known


def test_a_record_is_as_late_as_it_was_when_it_was_read():
    late = meter((0, T0, T0 + 40 * S))
    assert late.lag_ns(0, T0 + 90 * S, paused=False) == 40 * S
    late.read(1, T0 + 90 * S, T0 + 90 * S + MS)
    assert late.lag_ns(1, T0 + 91 * S, paused=False) == MS


def test_what_waits_for_proof_lags_by_what_came_after_it():
    waiting = meter(*((n, T0 + n * S, T0 + n * S) for n in range(41)))
    assert waiting.lag_ns(-1, T0 + 60 * S, paused=False) == 40 * S
    assert waiting.lag_ns(29, T0 + 60 * S, paused=False) == 10 * S
    assert waiting.lag_ns(40, T0 + 60 * S, paused=False) == 0


def test_a_silent_market_is_no_lag_but_a_full_lane_is():
    last = meter((7, T0, T0), (8, T0 + MS, T0 + MS))
    assert last.lag_ns(6, T0 + 300 * S, paused=False) == MS
    assert last.lag_ns(6, T0 + 300 * S, paused=True) == 300 * S


def test_records_of_one_append_time_are_one():
    batch = meter(*((n, T0, T0) for n in range(1_000)), (1_000, T0 + S, T0 + S))
    assert batch.lag_ns(500, T0 + S, paused=False) == S
    assert batch.lag_ns(999, T0 + S, paused=False) == 0


def test_a_recording_is_never_late():
    replayed = LagMeter()
    for position in range(5):
        replayed.read(position, T0 + 100 * S, T0 + 300 * S, recorded=True)
    assert replayed.known
    assert replayed.lag_ns(4, T0 + 300 * S, paused=False) == 0
