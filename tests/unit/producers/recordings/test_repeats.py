"""A row that comes twice is a repeat if it is equal, a contradiction if it is not, whatever rows it is read with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.recordings.repeats import Repeats, fingerprints


def judged(rows, cuts=()):
    """For rows of (number, content, whether it goes on with the message before): n(ew), r(epeated) or c(ontradicting) each."""
    repeats, found = Repeats(), ""
    for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        part = rows[start:end]
        if not part:
            continue
        numbers = np.array([row[0] for row in part], dtype=np.int64)
        content = np.array([row[1] for row in part], dtype=np.int64)
        verdict = repeats.judge(
            numbers, fingerprints({"n": numbers, "c": content}, ("n", "c")), np.array([row[2] for row in part])
        )
        for index in range(len(part)):
            repeated = verdict is not None and verdict.repeated[index]
            found += "r" if repeated else "c" if verdict is not None and verdict.contradicting[index] else "n"
    return found


#: rows → verdicts
TABLE = {
    "in order": ([(1, 5, False), (2, 5, False), (3, 5, False)], "nnn"),
    "doubled at once": ([(1, 5, False), (1, 5, False), (2, 6, False), (2, 6, False)], "nrnr"),
    "joined with itself": ([(1, 5, False), (2, 6, False), (1, 5, False), (2, 6, False)], "nnrr"),
    "the same number, another content": ([(1, 5, False), (1, 6, False), (2, 7, False)], "ncn"),
    "an older number, another content": ([(1, 5, False), (2, 6, False), (1, 7, False)], "nnc"),
    "an older number that was not there": ([(1, 5, False), (3, 6, False), (2, 7, False), (2, 7, False)], "nnnr"),
    "a message of three rows": ([(1, 5, False), (1, 6, True), (1, 7, True), (2, 8, False)], "nnnn"),
    "each row of a message twice": ([(1, 5, False), (1, 5, True), (1, 6, True), (1, 6, True)], "nrnr"),
    "the newest message twice": (
        [(1, 5, False), (2, 6, False), (2, 7, True), (1, 5, False), (2, 6, False), (2, 7, True)],
        "nnnrrr",
    ),
    "a message twice": ([(1, 5, False), (1, 6, True), (2, 8, False), (1, 5, False), (1, 6, True)], "nnnrr"),
    "a message again with another row": (
        [(1, 5, False), (1, 6, True), (2, 8, False), (1, 5, False), (1, 9, True)],
        "nnnrc",
    ),
    "a late message of two rows": ([(1, 5, False), (3, 8, False), (2, 6, False), (2, 7, True)], "nnnn"),
    "one absurd number": ([(1, 5, False), (2**62, 6, False), (2, 7, False), (3, 8, False), (3, 8, False)], "nnnnr"),
}


@pytest.mark.parametrize("name", TABLE)
def test_table(name):
    rows, verdicts = TABLE[name]
    assert judged(rows) == verdicts
    assert judged(rows, range(1, len(rows))) == verdicts, "one at a time"


numbered = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), st.booleans()), min_size=1, max_size=25)


@given(numbered, st.sets(st.integers(1, 24)))
def test_batches_do_not_show(rows, cuts):
    rows = [(n, c, f and i > 0 and rows[i - 1][0] == n) for i, (n, c, f) in enumerate(rows)]
    assert judged(rows, sorted(cut for cut in cuts if cut < len(rows))) == judged(rows)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20))
def test_a_recording_joined_with_itself_is_the_recording(contents):
    rows = [(number, content, False) for number, content in enumerate(contents)]
    assert judged(rows + rows) == "n" * len(rows) + "r" * len(rows)


def test_other_columns_are_other_prints():
    columns = {name: np.array([1, 2, 2**62, -(2**63)], dtype=np.int64) for name in ("a", "b")}
    swapped = {"a": columns["a"][::-1].copy(), "b": columns["b"]}
    assert len(set(fingerprints(columns, ("a", "b")).tolist()) | set(fingerprints(swapped, ("a", "b")).tolist())) == 8
