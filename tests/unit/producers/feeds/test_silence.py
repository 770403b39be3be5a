"""An instrument's habit, on a clock that the test moves, and what comparisons with REST say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.feeds.silence import (
    GAPS_KNOWN,
    LIMIT_FIRST_NS,
    LIMIT_LEAST_NS,
    LIMIT_MOST_NS,
    PATIENCE_FIRST_NS,
    PATIENCE_MOST_NS,
    SAMPLE_NS,
    SETTLE_NS,
    Silence,
    Verdict,
)

SECOND = 1_000_000_000
AT = 1_790_000_000 * SECOND
CHECK = 20 * SECOND


def after(gaps_s: list[float]) -> tuple[Silence, int]:
    """An instrument whose frames came these gaps apart, and the time of the last."""
    one, now = Silence(), AT
    one.begin(now)
    one.answered(now)
    for gap in gaps_s:
        now += int(gap * SECOND)
        one.heard(now)
    return one, now


@pytest.mark.parametrize(
    ("gaps", "limit_s"),
    [
        ([], 5),  # not known yet
        ([0.2] * (GAPS_KNOWN - 1), 5),
        ([0.2] * 32, 2),  # lively: the lower bound
        ([0.05] * 100, 2),  # livelier than samples are taken
        ([1.0] * 32, 3),
        ([3.0] * 32, 9),
        ([60.0] * 32, 15),  # the upper bound
        ([1.0] * 31 + [400.0], 3),  # one silence of six minutes is no habit
        ([1.0] * 28 + [4.0] * 4, 12),
        ([0.001] * 5_000, 2),
        (([30.0] + [0.001] * 40) * 10, 15),  # forty frames of a burst are one moment
        ([5.0] * 40 + [0.5] * 40, 2),  # a new rhythm is learnt
    ],
)
def test_the_limit_is_the_instrument_s_own_habit_within_bounds(gaps: list[float], limit_s: int) -> None:
    one, _ = after(gaps)
    assert one.limit_ns == limit_s * SECOND


@given(gaps=st.lists(st.floats(0.0001, 1_000), max_size=80))
def test_no_habit_leaves_the_bounds_and_half_of_it_comes_before_all_of_it(gaps: list[float]) -> None:
    one, now = after(gaps)
    limit = one.limit_ns
    assert LIMIT_LEAST_NS <= limit <= LIMIT_MOST_NS
    assert not one.due(now, CHECK)
    assert one.due(now + (limit + 1) // 2, CHECK)
    assert not one.doubtful(now + limit)
    assert one.doubtful(now + limit + 1)


def test_silence_that_rest_confirms_lengthens_an_unknown_habit_and_no_known_one() -> None:
    for gaps, expected in (([], [5, 10, 15, 15]), ([0.2] * 32, [2, 2, 2, 2])):
        one, now = after(gaps)
        limits = []
        for _ in range(4):
            now += one.limit_ns // 2
            one.ask(now)
            assert one.judge(differs=False, ts_ns=now, check_ns=CHECK) is Verdict.EQUAL
            limits.append(one.limit_ns // SECOND)
        assert limits == expected


def test_an_equal_book_vouches_as_of_when_it_was_asked_for() -> None:
    one, now = after([0.2] * 32)
    one.ask(now + SECOND)
    one.judge(differs=False, ts_ns=now + 3 * SECOND, check_ns=CHECK)
    assert one.assured_ns == now + SECOND
    assert one.doubtful(now + SECOND + LIMIT_LEAST_NS + 1)


@pytest.mark.parametrize(
    ("steps", "verdicts"),
    [
        # d: differs, e: equal, n: REST says nothing, f: a frame came before the answer
        ("e", ["EQUAL"]),
        ("d", ["DIFFERS"]),
        ("dd", ["DIFFERS", "MUTE"]),
        ("ded", ["DIFFERS", "EQUAL", "DIFFERS"]),
        ("dnd", ["DIFFERS", "NOTHING", "MUTE"]),
        ("dfd", ["DIFFERS", "NOTHING"]),
        ("fdd", ["NOTHING", "DIFFERS"]),
        ("fddd", ["NOTHING", "DIFFERS", "MUTE"]),
        ("ddd", ["DIFFERS", "MUTE", "DIFFERS"]),
        ("nnn", ["NOTHING"] * 3),
    ],
)
def test_two_comparisons_in_a_row_that_differ_prove_an_instrument_mute(steps: str, verdicts: list[str]) -> None:
    one, now = after([0.2] * 32)
    said = []
    moved = False
    for step in steps:
        now += SECOND
        if step == "f":
            moved = True
            continue
        one.ask(now)
        if moved:
            one.heard(now + 1)
            moved = False
        verdict = one.judge(differs={"d": True, "e": False, "n": None}[step], ts_ns=now + 2, check_ns=CHECK)
        said.append(verdict.name)
    assert said == verdicts


def test_a_second_look_waits_for_frames_under_way() -> None:
    one, now = after([0.2] * 32)
    now += LIMIT_LEAST_NS // 2
    one.ask(now)
    assert not one.due(now + 10 * SECOND, CHECK), "one reading at a time"
    one.judge(differs=True, ts_ns=now, check_ns=CHECK)
    assert not one.due(now + SETTLE_NS - 1, CHECK)
    assert one.due(now + SETTLE_NS, CHECK)


def test_a_lively_book_is_looked_at_once_an_interval() -> None:
    one, now = after([])
    looks = 0
    for _ in range(600):
        now += SAMPLE_NS
        one.heard(now)
        if one.due(now, CHECK):
            looks += 1
            one.ask(now)
            one.judge(differs=False, ts_ns=now, check_ns=CHECK)
    assert looks == 2


def test_a_venue_that_does_not_answer_is_asked_ever_more_seldom() -> None:
    one, now = after([0.2] * 32)
    asked = []
    for _ in range(1_200):
        now += SAMPLE_NS
        if one.due(now, CHECK):
            asked.append(now)
            one.ask(now)
            one.judge(differs=None, ts_ns=now, check_ns=CHECK)
    assert 5 <= len(asked) <= 9


def test_a_connection_forgets_what_was_heard_and_keeps_the_habit_and_the_patience() -> None:
    one, now = after([3.0] * 32)
    assert one.may_end(now)
    one.begin(now)
    assert one.heard_ns == 0
    assert one.limit_ns == 9 * SECOND
    assert not one.may_end(now + PATIENCE_FIRST_NS - 1)
    waits = [PATIENCE_FIRST_NS]
    while waits[-1] < PATIENCE_MOST_NS:
        now += waits[-1]
        assert one.may_end(now)
        waits.append(min(PATIENCE_MOST_NS, 2 * waits[-1]))
        assert not one.may_end(now + waits[-1] - 1)
    one.mended()
    assert one.may_end(now)


def test_the_first_limit_lies_within_the_bounds() -> None:
    assert LIMIT_LEAST_NS <= LIMIT_FIRST_NS <= LIMIT_MOST_NS
