"""The table of a sid's numbers."""

import pytest

from producers.kalshi.sequence import Sequence, Verdict

N, R, H = Verdict.NEXT, Verdict.REPLAY, Verdict.HOLE


@pytest.mark.parametrize(
    ("frames", "verdicts"),
    [
        ([(1, True), (2, True), (3, True)], [N, N, N]),
        ([(1, True), (1, True), (2, True), (1, True)], [N, R, N, R]),
        ([(1, True), (3, True), (4, True)], [N, H, N]),
        ([(2, True)], [H]),  # the first frame was missed
        ([(1, True), (2, False), (3, True)], [N, N, N]),  # acknowledgements count along
        ([(1, True), (2, False), (4, True)], [N, N, H]),
        ([(1, True), (3, False), (4, True)], [N, H, N]),  # a hole before an acknowledgement
        ([(1, True), (2, False), (2, True), (3, True), (9, False), (4, True)], [N, N, N, N, R, N]),  # counted apart
    ],
)
def test_verdicts(frames: list[tuple[int, bool]], verdicts: list[Verdict]) -> None:
    sequence = Sequence()
    assert [sequence.take(seq, is_data=is_data) for seq, is_data in frames] == verdicts
