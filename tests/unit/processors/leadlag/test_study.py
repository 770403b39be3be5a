"""A whole recording: the interval holds the planted lag, and no lead gives no leader."""

import numpy as np
import pytest

from processors.leadlag.statistics import Ticks, lag_grid
from processors.leadlag.study import Span, StudyTerms, study
from tests.builders.leadlag_worlds import MS, T0, S, world

WINDOW = 120 * S
TERMS = StudyTerms(bar_ns=S, bar_lag_max_ns=10 * S, lags_ns=lag_grid(3 * S, 50 * MS), seed=3)


def spans(count):
    return [Span(str(number // 2), T0 + number * WINDOW, T0 + (number + 1) * WINDOW) for number in range(count)]


def test_the_interval_holds_a_planted_lead():
    a, b = world(2, rate_a=4, rate_b=2, lead_ms=300, seconds=1_200)
    found = study(a, b, spans(10), TERMS)
    ticks = found.ticks
    assert ticks.leader == 1
    assert ticks.lag_low_ns <= 300 * MS <= ticks.lag_high_ns
    assert ticks.lag_low_ns > 0
    assert ticks.ratio_low > 1
    assert (ticks.windows, ticks.blocks) == (10, 5)
    assert ticks.correlation == pytest.approx(ticks.curve.max())
    assert ticks.correlation > ticks.placebo
    mirrored = study(b, a, spans(10), TERMS).ticks
    assert mirrored.leader == -1
    assert mirrored.lag_ns == -ticks.lag_ns


@pytest.mark.parametrize("ratio", [1, 5, 20])
def test_no_lead_gives_no_leader(ratio):
    for seed in range(3):
        a, b = world(seed, rate_a=4, rate_b=4 / ratio, seconds=1_200)
        found = study(a, b, spans(10), TERMS)
        assert [method.leader for method in found if method is not None] == [0] * sum(one is not None for one in found)


def test_nothing_to_compare_is_said():
    a, _ = world(1, rate_a=2, rate_b=2)
    still = Ticks(a.times, np.ones(len(a.times)))
    assert study(a, still, spans(4), TERMS) == (None, None)
    assert study(a, a, [], TERMS) == (None, None)
