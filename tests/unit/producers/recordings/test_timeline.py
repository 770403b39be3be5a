"""Heartbeats, holes and appointments: in order, and no more of them than the rows bear out."""

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from crossbook.market.market_state import MarketState
from producers.recordings.frame import STATUS_NS, TAIL_NS, Placed, everywhere
from producers.recordings.timeline import WITNESS, Timeline, resync
from schemas.records import FeedStatus, InstrumentSettled

S = 1_000_000_000
T0 = 1_780_000_000 * S


def settle(ts_ns: int) -> Iterator[Placed]:
    record = InstrumentSettled(ts_received_ns=ts_ns, instrument_id="kalshi:A", payout_yes_micros=0, source="test")
    return everywhere(record, 1, ts_ns)


def said(placed: list[Placed]) -> list[tuple[float, str, str]]:
    return [
        ((one.ts_ns - T0) / S, one.record.feed, one.record.state)
        for one in placed
        if isinstance(one.record, FeedStatus)
    ]


def test_a_hole_is_said_and_a_payout_in_it_comes_at_its_time() -> None:
    timeline = Timeline(1)
    voice = timeline.voice("kalshi", "kalshi")
    placed = list(timeline.resume(voice, T0))
    timeline.appoint(T0 + 3 * S, settle)
    placed += timeline.until(T0 + S)
    placed += timeline.hole(voice, T0 + S, T0 + 100 * S, "a hole")
    assert said(placed) == [
        (0.0, "kalshi", "live"), (0.5, "kalshi", "live"), (1.0, "kalshi", "live"), (1.5, "kalshi", "live"), (1.5, "kalshi", "down"),
        (2.0, "kalshi", "down"), (2.5, "kalshi", "down"), (100.0, WITNESS, "live"), (100.0, "kalshi", "live"),
    ]  # fmt: skip
    assert [one.ts_ns for one in placed if isinstance(one.record, InstrumentSettled)] == [T0 + 3 * S]


def test_the_end_comes_after_the_tail_and_what_was_appointed() -> None:
    timeline = Timeline(1)
    voice = timeline.voice("kalshi", "kalshi")
    placed = list(timeline.resume(voice, T0))
    timeline.appoint(T0 + 60 * S, settle)
    placed += timeline.end(T0 + S)
    assert isinstance(placed[-2].record, InstrumentSettled | FeedStatus)
    assert said(placed)[-1] == (60.0, "kalshi", "ended")
    short = Timeline(1)
    other = short.voice("kalshi", "kalshi")
    whole = [*short.resume(other, T0), *short.end(T0)]
    assert whole[-1].ts_ns == T0 + TAIL_NS


def test_a_reference_speaks_through_its_own_record_and_falls_silent_in_a_hole() -> None:
    timeline = Timeline(2)
    books, spot = timeline.voice("kalshi", "kalshi"), timeline.voice("coinbase", None)
    placed = [*timeline.resume(books, T0), *timeline.resume(spot, T0)]
    placed += timeline.pause(spot, T0 + S, "gone")
    placed += timeline.until(T0 + 3 * S)
    names = [(type(one.record).__name__, one.partition) for one in placed if one.ts_ns == T0 + 2 * S]
    assert names == [("FeedStatus", 0), ("FeedStatus", 1)]


def test_a_resync_names_its_instrument() -> None:
    timeline = Timeline(1)
    voice = timeline.voice("kalshi", "kalshi")
    list(timeline.resume(voice, T0))
    status = resync(voice, "kalshi:A", "gap", T0 + 1)
    assert (status.state, status.instruments, status.session) == ("resync", ("kalshi:A",), T0)


@given(st.lists(st.tuples(st.integers(1, 40 * S), st.booleans()), min_size=1, max_size=30))
def test_stamps_never_go_back_and_time_is_never_in_doubt(steps: list[tuple[int, bool]]) -> None:
    timeline = Timeline(1)
    voice = timeline.voice("kalshi", "kalshi")
    now = T0
    placed = list(timeline.resume(voice, now))
    for step, is_hole in steps:
        timeline.appoint(now + step // 2, settle)
        if is_hole:
            placed += timeline.hole(voice, now, now + step, "a hole")
        else:
            placed += timeline.until(now + step)
        now += step
    placed += timeline.end(now)
    assert all(a.ts_ns <= b.ts_ns for a, b in pairwise(placed))
    live = [one.ts_ns for one in placed if isinstance(one.record, FeedStatus) and one.record.feed == "kalshi"]
    assert all(b - a <= STATUS_NS for a, b in pairwise(live) if not any(step for step in steps if step[1]))
    state = MarketState()
    for position, one in enumerate(placed):
        state.apply(position, one.record)
    assert not state.suspect
    assert state.now_ns == placed[-1].ts_ns
