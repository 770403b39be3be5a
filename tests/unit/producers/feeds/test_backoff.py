"""How often a venue is dialled, on a clock that the test moves."""

from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.feeds.backoff import DIALS_MAX, LASTED_NS, WINDOW_NS, DialBudget, Redial
from producers.venues import BUILT_IN

MS = 1_000_000
SECOND = 1_000 * MS
FIRST, MOST = 250 * MS, 30 * SECOND
SOON, LONG = LASTED_NS - 1, LASTED_NS


@pytest.mark.parametrize(
    ("dials", "attempt"),
    [
        # (brought data, was open for) of each dial in a row
        ([(True, LONG)], 0),
        ([(True, SOON)], 1),
        ([(False, LONG)], 1),
        ([(False, 0)], 1),
        ([(False, 0)] * 5, 5),
        ([(True, LONG), (False, 0), (False, 0)], 2),  # data of an earlier dial says nothing about these
        ([(True, SOON)] * 4, 4),  # served and cut at once, again and again
        ([(False, LONG)] * 4, 4),  # open, but without what was asked for
        ([(False, 0)] * 9 + [(True, LONG)], 0),
        ([(False, 0)] * 9 + [(True, LONG), (True, SOON)], 1),
    ],
)
def test_only_a_dial_that_brought_data_and_lasted_starts_the_row_anew(dials: list, attempt: int) -> None:
    redial = Redial(FIRST, MOST)
    for brought_data, open_ns in dials:
        wait = redial.wait_ns(brought_data=brought_data, open_ns=open_ns, jitter=0.0)
    assert redial.attempt == attempt
    assert wait == min(MOST, FIRST * 2**attempt)


@given(failures=st.integers(1, 200), jitter=st.floats(0, 1, exclude_max=True))
def test_a_wait_lies_between_half_and_the_whole_of_its_step_and_never_above_the_most(failures, jitter) -> None:
    redial = Redial(FIRST, MOST)
    for _ in range(failures):
        wait = redial.wait_ns(brought_data=False, open_ns=0, jitter=jitter)
    whole = min(MOST, FIRST * 2**failures)
    assert whole // 2 <= wait <= whole


def dials_of(outcomes: list[tuple[bool, int]], feeds: int, jitter: float, budget: DialBudget) -> list[int]:
    """Times of all dials when feeds of one venue meet these outcomes, over and over, for twenty minutes."""
    nexts = [0] * feeds
    waits = [Redial(FIRST, MOST) for _ in range(feeds)]
    counts = [0] * feeds
    dialled: list[int] = []
    while (now := min(nexts)) < 1_200 * SECOND:
        feed = nexts.index(now)
        if wait := budget.wait_ns(now):
            nexts[feed] = now + wait
            continue
        budget.dialled(now)
        dialled.append(now)
        brought_data, open_ns = outcomes[counts[feed] % len(outcomes)]
        counts[feed] += 1
        nexts[feed] = now + open_ns + waits[feed].wait_ns(brought_data=brought_data, open_ns=open_ns, jitter=jitter) + 1
    return dialled


@settings(deadline=None)
@given(
    outcomes=st.lists(st.tuples(st.booleans(), st.integers(0, 60 * SECOND)), min_size=1, max_size=6),
    feeds=st.integers(1, 8),
    jitter=st.floats(0, 1, exclude_max=True),
    dials_max=st.sampled_from(sorted({DIALS_MAX, *(one.dials_max for one in BUILT_IN)})),
)
def test_no_window_holds_more_dials_than_the_venue_s_budget(outcomes, feeds, jitter, dials_max) -> None:
    dialled = dials_of(outcomes, feeds, jitter, DialBudget(dials_max))
    for index, start in enumerate(dialled):
        assert bisect_left(dialled, start + WINDOW_NS) - index <= dials_max < 300


def test_a_venue_that_was_live_and_then_refuses_is_dialled_eight_times_in_its_first_minute() -> None:
    dialled = dials_of([(True, 12 * SECOND), *[(False, 0)] * 10_000], 1, 0.5, DialBudget(120))
    assert sum(1 for at in dialled if 12 * SECOND <= at < 72 * SECOND) == 8


def test_a_venue_that_asks_to_be_left_alone_is() -> None:
    budget = DialBudget()
    budget.dialled(0)
    budget.refused(SECOND, 120 * SECOND)
    budget.refused(SECOND, 10 * SECOND)  # a shorter word does not weaken a longer one
    assert budget.wait_ns(SECOND) == 120 * SECOND
    assert budget.wait_ns(121 * SECOND) == 0
    with pytest.raises(AssertionError, match="beyond the budget"):
        budget.dialled(2 * SECOND)
