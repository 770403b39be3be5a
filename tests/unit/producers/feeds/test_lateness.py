"""A feed against its own best, as tables of changes: when each came, and how long after its stamp."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.feeds.lateness import (
    BEHIND_NS,
    BUCKET_NS,
    BUCKETS,
    CLOCK_ERROR_MAX_NS,
    PATIENCE_FIRST_NS,
    SLIP_NS,
    Lateness,
)

SECOND = 1_000_000_000
AT = 1_790_000_010 * SECOND


def run(changes: list[tuple[float, float]]) -> tuple[Lateness, list[bool]]:
    """Take changes (seconds after the start, delay in seconds); whether the feed was behind after each."""
    one, behind = Lateness(), []
    for at, delay in changes:
        one.take(int(delay * SECOND), AT + int(at * SECOND))
        behind.append(bool(one.behind_ns))
    return one, behind


TIMELY = [(second / 2, 0.1) for second in range(20)]


@pytest.mark.parametrize(
    ("changes", "behind"),
    [
        ([(10, 2.0)], [False]),
        ([(10, 2.2)], [False]),  # one slip among timely changes
        ([(10, 2.2), (10.1, 2.2)], [False, True]),
        ([(10, 2.2), (10.1, 0.1), (10.2, 2.2)], [False, False, False]),
        ([(11, 2.2)], [True]),  # nothing timely of late: it is no slip
        ([(10, 2.2), (10.1, 2.2), (10.2, 0.1)], [False, True, True]),  # late and timely in turn is not on time
        ([(11, 2.2), (12, 0.1)], [True, False]),
        ([(11, 2.2), (12, 2.0), (13.5, 0.1)], [True, False, False]),
        ([(11, 6.5), (12, 6.5), (13, 6.5)], [True, True, True]),
        (
            [(11, -5.0), (12, -5.0), (13, -2.9)],
            [False, False, True],
        ),  # the venue's clock is ahead: the best is below zero
    ],
)
def test_behind_its_own_best(changes: list, behind: list[bool]) -> None:
    assert run(TIMELY + changes)[1][len(TIMELY) :] == behind


@pytest.mark.parametrize(("delay", "behind"), [(0.0, False), (3.0, False), (5.0, False), (5.1, True), (60.0, True)])
def test_a_feed_that_was_never_on_time_is_behind_beyond_what_two_clocks_may_differ(delay: float, behind: bool) -> None:
    assert run([(second, delay) for second in range(5)])[1] == [behind] * 5


def test_the_best_is_that_of_the_last_ten_minutes_and_outlives_a_connection() -> None:
    window_s = BUCKET_NS * BUCKETS // SECOND
    one, _ = run([(0, 0.0)])
    one.begin()
    assert one.take(int(2.5 * SECOND), AT + (window_s - 60) * SECOND)
    assert one.behind_ns
    one.begin()
    assert one.take(int(2.5 * SECOND), AT + (window_s + 60) * SECOND)
    assert not one.behind_ns


def test_a_feed_that_was_late_is_late_on_its_next_connection_until_a_timely_change_comes() -> None:
    one, _ = run([(0, 0.0), (2, 3.0)])
    one.begin()
    assert one.behind_ns
    assert one.take(0, AT + 3 * SECOND)
    assert not one.behind_ns


@given(
    delays=st.lists(st.integers(-10 * SECOND, 10 * SECOND), min_size=1, max_size=60), step=st.integers(1, 40 * SECOND)
)
def test_never_behind_within_the_bound_and_always_beyond_it_twice_in_a_row(delays: list[int], step: int) -> None:
    one = Lateness()
    late = 0
    for number, delay in enumerate(delays):
        since = max(0, number + 1 - -(-BUCKET_NS * (BUCKETS - 1) // step))
        best = min(CLOCK_ERROR_MAX_NS, *delays[since : number + 1])
        now = AT + number * step
        one.take(delay, now)
        late = late + 1 if delay - best > BEHIND_NS else 0
        if late >= 2:
            assert one.behind_ns
        if delay - min(CLOCK_ERROR_MAX_NS, *delays[: number + 1]) <= BEHIND_NS and step >= SLIP_NS:
            assert not one.behind_ns


def test_a_feed_that_stays_behind_gives_up_after_growing_waits() -> None:
    one, _ = run([(0, 0.0), (2, 3.0)])
    now = AT + 2 * SECOND
    assert not one.gives_up(now + PATIENCE_FIRST_NS - 1)
    assert one.gives_up(now + PATIENCE_FIRST_NS)
    one.begin()
    assert not one.gives_up(now + 20 * PATIENCE_FIRST_NS), "no change came on the new connection: it may be on time"
    later = now + 12 * SECOND
    one.take(3 * SECOND, later)
    assert not one.gives_up(later + 2 * PATIENCE_FIRST_NS - 1)
    assert one.gives_up(later + 2 * PATIENCE_FIRST_NS)
    one.begin()
    one.take(0, later + SECOND)
    assert not one.behind_ns
