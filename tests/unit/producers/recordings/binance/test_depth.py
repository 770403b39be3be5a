"""The depth check: the venue's procedure on both markets, holes, and tops held against quotes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.binance.wire import BookTicker, DepthSnapshot, DepthUpdate
from producers.recordings.binance.depth import DepthCheck

SNAPSHOT = DepthSnapshot(
    lastUpdateId=100, bids=[("10.0", "1.0"), ("9.0", "2.0")], asks=[("11.0", "3.0"), ("12.0", "4.0")]
)


def update(first: int, last: int, bids=(), asks=(), before: int | None = None) -> DepthUpdate:
    return DepthUpdate(e="depthUpdate", E=1, s="X", U=first, u=last, pu=before, b=list(bids), a=list(asks))


def quote(u: int, bid: str, bid_size: str, ask: str, ask_size: str) -> BookTicker:
    return BookTicker(u=u, s="X", b=bid, B=bid_size, a=ask, A=ask_size)


def check(*, futures: bool = False) -> DepthCheck:
    return DepthCheck(Counter(), futures=futures)


def test_frames_wait_for_the_snapshot_and_covered_ones_are_dropped() -> None:
    one = check()
    for frame in (update(95, 98), update(99, 103, bids=[("10.5", "1.0")]), update(104, 104)):
        one.update(frame)
    assert one.counters == {}
    one.snapshot(SNAPSHOT)
    assert (one.counters["depth.covered"], one.counters["depth.frames"], one.counters["depth.holes"]) == (1, 2, 0)


@pytest.mark.parametrize(
    ("futures", "frames", "holes"),
    [
        (False, [update(101, 101), update(102, 105)], 0),
        (False, [update(102, 105)], 1),  # the first does not bracket the snapshot
        (False, [update(99, 101), update(103, 104)], 1),
        (True, [update(90, 100), update(150, 160, before=100)], 0),
        (True, [update(90, 120, before=80), update(150, 160, before=120)], 0),
        (True, [update(101, 120, before=100)], 1),
        (True, [update(90, 120), update(150, 160, before=130)], 1),
        (True, [update(90, 120), update(150, 160)], 1),  # no pu proves nothing
    ],
)
def test_continuity(futures: bool, frames: list[DepthUpdate], holes: int) -> None:
    one = check(futures=futures)
    one.snapshot(SNAPSHOT)
    for frame in frames:
        one.update(frame)
    assert one.counters["depth.holes"] == holes
    one.update(update(900, 901, before=1))
    assert one.counters["depth.holes"] == 1
    one.update(update(902, 903, before=901))
    assert one.counters["depth.after_a_hole"] == 1 + (holes == 1)
    one.snapshot(DepthSnapshot(lastUpdateId=910, bids=[], asks=[]))
    one.update(update(905, 912))
    assert one.counters["depth.holes"] == 1


def test_tops_are_compared_with_the_quote_in_force_at_their_id() -> None:
    one = check()
    one.snapshot(SNAPSHOT)
    one.quote(quote(101, "10.5", "1.0", "11.0", "3.0"))
    one.update(update(101, 103, bids=[("10.5", "1.00")]))  # another text, the same number
    one.quote(quote(104, "10.0", "1.0", "11.0", "3.0"))
    one.update(update(104, 104, bids=[("10.5", "0.000")]))
    one.update(update(105, 105, asks=[("11.0", "9.0")]))  # its quote says otherwise
    one.quote(quote(106, "10.0", "1.0", "11.0", "3.0"))
    assert (one.counters["tops.equal"], one.counters["tops.differ"]) == (2, 1)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 30), st.sampled_from(["0", "0.000", "1.0", "2.5"])),
        max_size=60,
    )
)
def test_the_kept_best_is_the_best(changes: list[tuple[bool, int, str]]) -> None:
    """A quote made from a plain book of the same changes equals every top."""
    one = check()
    one.snapshot(DepthSnapshot(lastUpdateId=0, bids=[], asks=[]))
    bids: dict[int, str] = {}
    asks: dict[int, str] = {}
    for number, (is_bid, price, size) in enumerate(changes, 1):
        side = bids if is_bid else asks
        level = price if is_bid else 100 - price
        if size.strip("0."):
            side[level] = size
        else:
            side.pop(level, None)
        row = [(f"{level}.0", size)]
        if bids and asks:
            best = (f"{max(bids)}.00", bids[max(bids)], f"{min(asks)}.00", asks[min(asks)])
            one.quote(quote(number, *best))
        one.update(update(number, number, bids=row if is_bid else (), asks=() if is_bid else row))
    one.quote(quote(10**6, "1", "1", "2", "1"))
    assert one.counters["tops.differ"] == 0
