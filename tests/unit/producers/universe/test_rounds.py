"""Rounds over a list that changes: nobody is asked twice in a round, nobody is left out for ever."""

from hypothesis import given
from hypothesis import strategies as st

from producers.universe.rounds import Rounds


def test_a_round_goes_on_where_the_last_one_stopped() -> None:
    rounds = Rounds()
    assert [rounds.take("abcde", 2) for _ in range(4)] == [["a", "b"], ["c", "d"], ["e", "a"], ["b", "c"]]
    assert rounds.take("", 2) == []
    assert rounds.take("xy", 5) in (["x", "y"], ["y", "x"])


@given(st.integers(1, 40), st.integers(1, 7))
def test_everybody_is_asked(count: int, most: int) -> None:
    rounds = Rounds()
    asked = [one for _ in range(-(-count // most)) for one in rounds.take(range(count), most)]
    assert set(asked) == set(range(count))
