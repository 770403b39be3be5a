"""A wait ends by standing still, or at a bound that no working machine reaches."""

import pytest

from deploy.stack.progress import Progress


@pytest.mark.parametrize(
    ("looks", "verdicts"),
    [
        ([(0, "a"), (10, "a"), (11, "a")], ["moves", "moves", "stands still"]),
        ([(0, "a"), (10, "b"), (20, "b"), (21, "b")], ["moves", "moves", "moves", "stands still"]),
        ([(0, "a"), (9, "b"), (18, "a"), (27, "b")], ["moves"] * 4),  # any change is a move
        ([(float(number), number) for number in range(0, 101, 10)], ["moves"] * 11),
        ([(0, 0), (60, 1), (101, 2)], ["moves", "moves", "takes too long"]),
        ([(0, None), (11, None)], ["moves", "stands still"]),
    ],
)
def test_verdicts(looks, verdicts):
    progress = Progress(0.0, still_s=10, bound_s=100)
    assert [progress.look(now_s, position) for now_s, position in looks] == verdicts
