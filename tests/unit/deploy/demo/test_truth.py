"""A quote is of a planted edge while the plant stands and shortly after it; every other one at the threshold is false."""

import pytest

from deploy.demo.truth import SLACK_NS, Planted, Score, Seen, score

S = 1_000_000_000
PLANT = Planted("pair", "yes_a_no_b", 10 * S, 20 * S)


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        (Seen("pair", "yes_a_no_b", 10 * S), True),
        (Seen("pair", "yes_a_no_b", 20 * S), True),
        (Seen("pair", "yes_a_no_b", 20 * S + SLACK_NS), True),
        (Seen("pair", "yes_a_no_b", 20 * S + SLACK_NS + 1), False),
        (Seen("pair", "yes_a_no_b", 10 * S - 1), False),
        (Seen("pair", "no_a_yes_b", 15 * S), False),
        (Seen("other", "yes_a_no_b", 15 * S), False),
    ],
)
def test_a_quote_belongs_to_a_plant_of_its_pair_package_and_time(quote, found):
    assert score([PLANT], [quote], ts_first_ns=0, ts_last_ns=99 * S) == Score(1, int(found), int(not found))


@pytest.mark.parametrize(("first_s", "last_s", "edges"), [(10, 20, 1), (11, 20, 0), (10, 19, 0), (0, 99, 1)])
def test_only_plants_that_stood_wholly_within_the_run_are_counted_but_none_of_their_quotes_is_false(first_s, last_s, edges):  # fmt: skip
    quote = Seen("pair", "yes_a_no_b", 15 * S)
    assert score([PLANT], [quote, quote], ts_first_ns=first_s * S, ts_last_ns=last_s * S) == Score(edges, edges, 0)


def test_nothing_planted_and_nothing_seen():
    assert score([], [], ts_first_ns=0, ts_last_ns=S) == Score(0, 0, 0)
