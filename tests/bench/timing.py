"""Times calls one by one, so that a distribution and not only a mean is known.

Each sample holds the cost of reading the clock twice (about 0.1 µs here), and the garbage collector stays on as in a stage.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def time_calls(action: Callable[[T], object], inputs: Sequence[T], *, warm_up: int) -> list[int]:
    """Call with each input in order; return the ns of every call after the first `warm_up`."""
    clock = time.perf_counter_ns
    for one in inputs[:warm_up]:
        action(one)
    samples: list[int] = []
    note = samples.append
    for one in inputs[warm_up:]:
        start = clock()
        action(one)
        note(clock() - start)
    return samples


def rate_of(action: Callable[[], int]) -> tuple[float, int]:
    """Run once; return things a second and how many things, as the action counts them."""
    start = time.perf_counter_ns()
    done = action()
    return done * 1e9 / (time.perf_counter_ns() - start), done
