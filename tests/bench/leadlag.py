"""Lead-lag against known truth: false leaders by ratio of update rates, found leaders, and the bias that the method must not have.

Worlds as in Huth and Abergel (arXiv 1111.7103, figure 3): two correlated walks seen at Poisson times. Without a lead, the ratio of
squared correlations is far from 1 in bars that carry the last value on, and 1 by Hayashi and Yoshida.
"""

import time

import numpy as np

from processors.leadlag.statistics import (
    Lead,
    Ticks,
    bar_lead,
    cross_correlation,
    hy_correlation,
    hy_lead,
    lag_grid,
    lead_lag_ratio,
    sample,
)
from tests.bench.report import Row
from tests.builders.leadlag_worlds import MS, T0, S, world

RATIOS = (1, 2, 5, 10, 20)
RATES = (0.2, 2.0)
WORLDS = 100
WORLDS_LED = 40
WINDOW_S = 600
#: Hours of one world whose bias is measured, and what DESIGN's research found for the same (rho .8, .2 updates/s).
BIAS_HOURS = 8
BIAS_WORLDS = 9
BARS_KNOWN = {1: 1.1, 2: 3.4, 5: 9.7, 10: 11.3, 20: 7.6}
LAGS = lag_grid(5 * S, 100 * MS)


def run() -> list[Row]:
    """False leaders, found leaders, bias, and the time that a window takes."""
    return [
        *(_false(rate, ratio) for rate in RATES for ratio in RATIOS),
        *(
            _found(rate_a, rate_b)
            for rate_a, rate_b in ((5.0, 5.0), (5.0, 1.0), (1.0, 5.0), (2.0, 2.0), (2.0, 0.4), (5.0, 0.25))
        ),
        *(_bias(ratio) for ratio in RATIOS),
    ]


def _both(a: Ticks, b: Ticks, seed: int) -> tuple[Lead | None, Lead | None]:
    end_ns = T0 + WINDOW_S * S
    bars = bar_lead(a, b, start_ns=T0, end_ns=end_ns, bar_ns=5 * S, lag_max_ns=60 * S, seed=seed)
    return bars, hy_lead(a, b, start_ns=T0, end_ns=end_ns, lags_ns=LAGS, seed=seed)


def _false(rate: float, ratio: int) -> Row:
    counts = [0, 0]
    said = [0, 0]
    for seed in range(WORLDS):
        a, b = world(seed * 1_000 + ratio, rate_a=rate, rate_b=rate / ratio)
        for method, lead in enumerate(_both(a, b, seed)):
            counts[method] += lead is not None and lead.leader != 0
            said[method] += lead is not None
    return Row(
        what=f"false leaders, no lead, {rate:g}/s against {rate / ratio:g}/s",
        figures={"bars": 100 * counts[0] / WORLDS, "ticks": 100 * counts[1] / WORLDS},
        unit="%",
        goals={"bars": ("≤", 5.0), "ticks": ("≤", 5.0)},
        n=WORLDS,
        note=f"windows of {WINDOW_S} s; enough was seen in {said[0]} by bars, {said[1]} by ticks",
    )


def _found(rate_a: float, rate_b: float) -> Row:
    right = [0, 0]
    wrong = [0, 0]
    lags = []
    started = time.perf_counter()
    for seed in range(WORLDS_LED):
        a, b = world(seed, rate_a=rate_a, rate_b=rate_b, lead_ms=500)
        found = _both(a, b, seed)
        for method, lead in enumerate(found):
            right[method] += lead is not None and lead.leader == 1
            wrong[method] += lead is not None and lead.leader == -1
        if found[1] is not None:
            lags.append(found[1].lag_ns / MS)
    each_ms = 1e3 * (time.perf_counter() - started) / WORLDS_LED
    low, middle, high = np.percentile(lags, [5, 50, 95])
    return Row(
        what=f"500 ms lead found, {rate_a:g}/s against {rate_b:g}/s",
        figures={"bars": 100 * right[0] / WORLDS_LED, "ticks": 100 * right[1] / WORLDS_LED},
        unit="%",
        n=WORLDS_LED,
        note=f"wrong way round: {wrong[0]} bars, {wrong[1]} ticks; lag by ticks {middle:.0f} ms ({low:.0f} to {high:.0f}); "
        f"{each_ms:.0f} ms a window with both methods",
    )


def _bias(ratio: int) -> Row:
    found = [_ratios(seed * 100 + ratio, ratio) for seed in range(BIAS_WORLDS)]
    middle = np.median(found, axis=0)
    return Row(
        what=f"lead-lag ratio, no lead, .2/s against {0.2 / ratio:g}/s, {BIAS_HOURS} h",
        figures=dict(zip(("bars", "ticks", "bars' lag s", "ticks' lag s"), map(float, middle), strict=True)),
        unit="ratio",
        n=BIAS_WORLDS,
        against=f"measured before: bars {BARS_KNOWN[ratio]}, ticks 1.0",
        note="medians; best of all lags to 60 s, no test against chance: this is what the method must not fall for",
    )


def _ratios(seed: int, ratio: int) -> tuple[float, float, float, float]:
    seconds = BIAS_HOURS * 3_600
    a, b = world(seed, rate_a=0.2, rate_b=0.2 / ratio, seconds=seconds)
    start = max(T0, int(a.times[0]), int(b.times[0]))
    grid = np.arange(start, T0 + seconds * S, 5 * S, dtype=np.int64)
    curve = cross_correlation(np.diff(sample(a, grid)), np.diff(sample(b, grid)), 12)
    lags = np.arange(-60, 61, 5, dtype=np.int64) * S
    ticks = hy_correlation(a, b, lags)
    best = [float(lags[np.argmax(np.abs(one))] / S) for one in (curve, ticks)]
    return lead_lag_ratio(curve), lead_lag_ratio(ticks), *best
