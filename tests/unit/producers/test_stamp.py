"""Receive stamps never step back, whatever the wall clock does."""

from hypothesis import given
from hypothesis import strategies as st

from producers.stamp import STEP_NS, ReceiveStamp


@given(st.lists(st.tuples(st.integers(-10 * STEP_NS, 10 * STEP_NS), st.integers(0, STEP_NS)), max_size=40))
def test_never_steps_back(moves: list[tuple[int, int]]) -> None:
    clock = {"wall": 10**18, "monotonic": 0}
    stamp = ReceiveStamp(wall=lambda: clock["wall"], monotonic=lambda: clock["monotonic"])
    last = 0
    for wall_step, passed in moves:
        clock["wall"] += wall_step
        clock["monotonic"] += passed
        now = stamp()
        assert now >= last
        last = now


def test_goes_on_at_the_monotonic_pace_when_the_wall_clock_fell_back() -> None:
    clock = {"wall": 10**18, "monotonic": 0}
    stamp = ReceiveStamp(wall=lambda: clock["wall"], monotonic=lambda: clock["monotonic"])
    first = stamp()
    clock["wall"] -= 3_600 * 10**9
    clock["monotonic"] += 10**9
    assert stamp() == first + 10**9


def test_starts_no_earlier_than_its_floor() -> None:
    stamp = ReceiveStamp(wall=lambda: 5, monotonic=lambda: 0)
    stamp.raise_to(9)
    assert stamp() == 9
