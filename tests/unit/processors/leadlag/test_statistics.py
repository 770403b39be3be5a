"""Leads that are there are found, leads that are not there are not, whatever the sampling."""

import numpy as np
import pytest

from processors.leadlag.statistics import (
    Ticks,
    bar_closes,
    bar_lead,
    clip,
    cross_correlation,
    hayashi_yoshida,
    hy_correlation,
    hy_lead,
    lag_grid,
    lead_lag_ratio,
    turn,
)
from tests.builders.leadlag_worlds import MS, T0, S, world

END = T0 + 600 * S
LAGS = lag_grid(5 * S, 100 * MS)


def by_bars(a, b, seed=1, bar_ns=5 * S):
    return bar_lead(a, b, start_ns=T0, end_ns=END, bar_ns=bar_ns, lag_max_ns=12 * bar_ns, seed=seed)


def by_ticks(a, b, seed=1):
    return hy_lead(a, b, start_ns=T0, end_ns=END, lags_ns=LAGS, seed=seed)


def swapped(lead):
    return (-lead.lag_ns, -lead.leader)


def test_lags_are_symmetric_fine_near_zero_and_reach_the_end():
    assert list(LAGS) == [-lag for lag in LAGS[::-1]]
    assert list(LAGS[len(LAGS) // 2 :][:4]) == [0, 100 * MS, 200 * MS, 300 * MS]
    assert LAGS[-1] == 5 * S
    assert list(lag_grid(100, 200)) == [-100, 0, 100]


def test_bars_carry_the_last_value_and_know_nothing_before_the_first():
    ticks = Ticks(np.array([T0 + 7, T0 + 12]), np.array([1.0, 2.0]))
    found = bar_closes(ticks, T0, T0 + 20, 5)
    assert np.isnan(found[:2]).all()
    assert list(found[2:]) == [1.0, 2.0, 2.0]


def test_correlation_of_a_moved_series_peaks_at_the_move():
    steps = np.random.default_rng(1).standard_normal(200)
    curve = cross_correlation(steps[3:], steps[:-3], 5)
    assert int(np.argmax(curve)) - 5 == 3, "positive lags: the first leads"


def naive(a, b, lag):
    """The definition, interval by interval."""
    total = 0.0
    for i in range(1, len(a.times)):
        for j in range(1, len(b.times)):
            low, high = a.times[i - 1] + lag, a.times[i] + lag
            if b.times[j] > low and b.times[j - 1] < high:
                total += (a.values[i] - a.values[i - 1]) * (b.values[j] - b.values[j - 1])
    return total


@pytest.mark.parametrize("seed", range(5))
def test_hayashi_yoshida_is_its_definition_at_every_lag(seed):
    rng = np.random.default_rng(seed)
    a, b = (
        Ticks(np.sort(rng.choice(200, size, replace=False)).astype(np.int64), rng.standard_normal(size))
        for size in (30, 17)
    )
    lags = np.array([-250, -40, -3, 0, 1, 25, 250], dtype=np.int64)
    assert hayashi_yoshida(a, b, lags) == pytest.approx([naive(a, b, int(lag)) for lag in lags])


def test_columns_are_series_of_their_own():
    rng = np.random.default_rng(3)
    times_a, times_b = np.arange(0, 90, 3), np.arange(0, 90, 5)
    a, b = rng.standard_normal((30, 4)), rng.standard_normal((18, 4))
    lags = np.array([-6, 0, 6], dtype=np.int64)
    whole = hayashi_yoshida(Ticks(times_a, a), Ticks(times_b, b), lags)
    for column in range(4):
        assert whole[:, column] == pytest.approx(
            hayashi_yoshida(Ticks(times_a, a[:, column]), Ticks(times_b, b[:, column]), lags)
        )


def test_a_series_is_its_own_twin():
    a, _ = world(1, rate_a=2, rate_b=2)
    assert hy_correlation(a, a, np.array([0], dtype=np.int64)) == pytest.approx([1.0])


def test_clipping_keeps_the_value_known_at_the_start_and_turning_keeps_the_increments():
    ticks = Ticks(np.array([1, 5, 9, 14]), np.array([1.0, 2.0, 4.0, 3.0]))
    near = clip(ticks, 6, 14)
    assert list(near.times) == [6, 9]
    assert list(near.values) == [2.0, 4.0]
    moved = turn(ticks, 7, 20)
    assert sorted(np.diff(moved.values)) == [-1.0, 1.0, 2.0]
    assert (np.diff(moved.times) >= 0).all()


def test_the_ratio_is_one_for_a_symmetric_curve_and_above_where_the_first_leads():
    assert lead_lag_ratio(np.array([0.2, 0.5, 0.2])) == pytest.approx(1.0)
    assert lead_lag_ratio(np.array([0.1, 0.5, 0.2])) == pytest.approx(4.0)
    assert lead_lag_ratio(np.zeros(3)) == 1.0


@pytest.mark.parametrize("ratio", [1, 2, 5, 10, 20])
def test_slow_updates_are_not_taken_for_a_lag(ratio):
    """No lead, rates of .2/s and 2/s against a slower series: at most one in twenty may be named; of twice eight worlds at most one is."""
    named = {"bars": 0, "ticks": 0}
    for rate in (0.2, 2.0):
        for seed in range(8):
            a, b = world(seed * 100 + ratio, rate_a=rate, rate_b=rate / ratio)
            for name, lead in (("bars", by_bars(a, b, seed)), ("ticks", by_ticks(a, b, seed))):
                named[name] += lead is not None and lead.leader != 0
    assert max(named.values()) <= 1


def test_the_trap_is_there_naive_bars_call_the_slower_series_the_follower():
    lags = [by_bars(*world(seed, rate_a=0.2, rate_b=0.04, seconds=1_200), seed).lag_ns for seed in range(20)]
    assert np.median(lags) > 0


@pytest.mark.parametrize(("rate_a", "rate_b"), [(5.0, 5.0), (5.0, 1.0), (1.0, 5.0), (2.0, 2.0)])
def test_a_lead_of_500_ms_is_found_by_ticks_and_not_by_bars_of_5_s(rate_a, rate_b):
    found = [world(seed, rate_a=rate_a, rate_b=rate_b, lead_ms=500) for seed in range(6)]
    ticks = [by_ticks(a, b) for a, b in found]
    assert [lead.leader for lead in ticks] == [1] * 6
    assert np.median([lead.lag_ns for lead in ticks]) == pytest.approx(500 * MS, abs=100 * MS)
    assert [by_bars(a, b).leader for a, b in found] == [0] * 6
    assert [swapped(by_ticks(b, a)) for a, b in found] == [(lead.lag_ns, lead.leader) for lead in ticks]


def test_a_lead_of_two_bars_is_found_by_bars():
    found = [by_bars(*world(seed, rate_a=2, rate_b=2, lead_ms=10_000)) for seed in range(4)]
    assert [(lead.lag_ns, lead.leader) for lead in found] == [(10 * S, 1)] * 4


def test_unrelated_series_stay_below_chance():
    named = 0
    for seed in range(12):
        a, _ = world(seed, rate_a=2, rate_b=1)
        _, b = world(seed + 500, rate_a=2, rate_b=1)
        named += bool(by_ticks(a, b, seed).leader) + bool(by_bars(a, b, seed).leader)
    assert named <= 1


def test_nothing_is_said_of_a_series_that_stands_still_or_is_hardly_seen():
    a, b = world(1, rate_a=2, rate_b=2)
    still = Ticks(b.times, np.ones(len(b.times)))
    few = Ticks(b.times[:5], b.values[:5])
    late = Ticks(b.times[b.times > END - 20 * S], b.values[b.times > END - 20 * S])
    assert by_ticks(a, still) is by_bars(a, still) is None
    assert by_ticks(a, few) is None
    assert by_bars(a, late) is None


def test_equal_seeds_give_equal_findings():
    a, b = world(4, rate_a=2, rate_b=1)
    assert by_ticks(a, b, 9) == by_ticks(a, b, 9)
    assert by_bars(a, b, 9) == by_bars(a, b, 9)
