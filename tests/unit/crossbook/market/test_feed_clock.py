"""Stream time: monotone, clamped, and never carried away by one feed. A table of stamps in ms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook.market.feed_clock import FeedClock

JUMP = 2_000

#: name: [(feed, stamp, now after, suspect after)], clamped in the end
CASES = {
    "the first feed event sets it": ([(None, 9_000, 0, False), ("a", 1_000, 1_000, False)], 0),
    "it advances": ([("a", 1_000, 1_000, False), ("b", 1_500, 1_500, False), ("a", 3_500, 3_500, False)], 0),
    "a step back is clamped": ([("a", 1_000, 1_000, False), ("b", 900, 1_000, False), ("a", 1_000, 1_000, False)], 1),
    "one feed is not believed": ([("a", 1_000, 1_000, False), ("a", 9_000, 1_000, True), ("a", 9_100, 1_000, True)], 0),
    "two are": ([("a", 1_000, 1_000, False), ("a", 9_000, 1_000, True), ("b", 9_100, 9_100, False)], 0),
    "the later of both": ([("a", 1_000, 1_000, False), ("a", 9_000, 1_000, True), ("b", 8_500, 9_000, False)], 0),
    "two that disagree are not": (
        [
            ("a", 1_000, 1_000, False),
            ("a", 9_000, 1_000, True),
            ("b", 30_000, 1_000, True),
            ("c", 31_000, 31_000, False),
        ],
        0,
    ),
    "the feed takes it back": ([("a", 1_000, 1_000, False), ("a", 9_000, 1_000, True), ("a", 1_100, 1_100, False)], 0),
    "another feed goes on, the claim stands": (
        [("a", 1_000, 1_000, False), ("a", 9_000, 1_000, True), ("b", 1_100, 1_100, True)],
        0,
    ),
    "time comes to the claim": (
        [("a", 1_000, 1_000, False), ("a", 4_000, 1_000, True), ("b", 1_900, 1_900, True), ("b", 2_000, 2_000, False)],
        0,
    ),
    "no feed, no witness": (
        [("a", 1_000, 1_000, False), ("a", 9_000, 1_000, True), (None, 9_000, 1_000, True), (None, 1_500, 1_500, True)],
        0,
    ),
    "no feed, no clamp": ([("a", 1_000, 1_000, False), (None, 10, 1_000, False)], 0),
}


@pytest.mark.parametrize("name", CASES)
def test_table(name):
    rows, clamped = CASES[name]
    clock = FeedClock()
    for feed, stamp, now, suspect in rows:
        clock.advance(stamp, feed, JUMP)
        assert (clock.now_ns, clock.suspect) == (now, suspect), (feed, stamp)
    assert clock.clamped == clamped


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(1, 50_000))))
def test_it_never_steps_back(events):
    clock, before = FeedClock(), 0
    for feed, stamp in events:
        clock.advance(stamp, feed, JUMP)
        assert clock.now_ns >= before
        assert all(claim > clock.now_ns + JUMP for claim in clock.claims.values())
        before = clock.now_ns
