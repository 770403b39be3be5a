"""Two clocks: one that names moments, one that only goes forward."""

import time

from crossbook.runtime.clock import boot_ns, now_ns


def test_the_wall_clock_is_unix_nanoseconds() -> None:
    before = time.time_ns()
    assert before <= now_ns() <= time.time_ns()


def test_the_boot_clock_never_goes_back() -> None:
    stamps = [boot_ns() for _ in range(1_000)]
    assert stamps == sorted(stamps)
    assert stamps[0] > 0
