"""Lead-lag over a whole recording: curves pooled over windows, an interval by resampling whole blocks, chance beside them. Pure numpy.

Decides by how much one of two series leads over all that was recorded, and how sure that is. Must never treat neighbouring windows
as independent where they are not: a block (a recording session, or a window where there is nothing better) is drawn as a whole.

Each window counts equally: its covariances are divided by its own variances, so that a wild quarter of an hour does not speak for the
day. Placebo and surrogates (see `leadlag_statistics`) are pooled over the same windows, column by column.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from processors.leadlag.statistics import (
    BARS_MIN,
    PLACEBO_QUANTILE,
    TICKS_MIN,
    Floats,
    Ints,
    Ticks,
    best_index,
    beyond,
    clip,
    cross_correlation,
    hayashi_yoshida,
    hy_correlation,
    lead_lag_ratio,
    sample,
    surrogate_walks,
    turn,
)

#: Draws of the bootstrap, and the share of them within the interval.
DRAWS = 2_000
COVERAGE = 0.95
#: Turns of the placebo a window, and surrogates a window; both are pooled, so fewer serve than in a single window.
SHIFTS = 40
WALKS = 39


class Span(NamedTuple):
    """A window and the block that it belongs to."""

    block: str
    start_ns: int
    end_ns: int


class StudyTerms(NamedTuple):
    """Bar and largest lag of bars, lags looked at tick by tick, and the seed of everything random."""

    bar_ns: int
    bar_lag_max_ns: int
    lags_ns: Ints
    seed: int


class Method(NamedTuple):
    """What one method found: the pooled curve, what chance reaches at any lag, and the interval of lag and ratio.

    `leader` is 1 or -1 when the best correlation beats chance, its lag lies beyond that of every surrogate without a lead, and the
    interval does not hold 0. `bias_low_ns` to `bias_high_ns` is where the surrogates' best lags lie: what sampling alone does.
    """

    lags_ns: Ints
    curve: Floats
    placebo: float
    lag_ns: int
    lag_low_ns: int
    lag_high_ns: int
    ratio: float
    ratio_low: float
    ratio_high: float
    bias_low_ns: int
    bias_high_ns: int
    leader: int
    windows: int
    blocks: int

    @property
    def correlation(self) -> float:
        """The correlation at the best lag."""
        return float(self.curve[np.searchsorted(self.lags_ns, self.lag_ns)])


class Study(NamedTuple):
    """Both methods side by side; None where no window had enough."""

    bars: Method | None
    ticks: Method | None


class _Window(NamedTuple):
    block: str
    curve: Floats
    placebo: Floats
    walks: Floats


def study(a: Ticks, b: Ticks, spans: Sequence[Span], terms: StudyTerms) -> Study:
    """Compare two series over windows."""
    rng = np.random.default_rng(terms.seed)
    bars = [found for span in spans if (found := _bars(a, b, span, terms, rng)) is not None]
    ticks = [found for span in spans if (found := _ticks(a, b, span, terms, rng)) is not None]
    steps = terms.bar_lag_max_ns // terms.bar_ns
    bar_lags = np.arange(-steps, steps + 1, dtype=np.int64) * terms.bar_ns
    return Study(_pool(bars, bar_lags, rng), _pool(ticks, terms.lags_ns, rng))


def _bars(a: Ticks, b: Ticks, span: Span, terms: StudyTerms, rng: np.random.Generator) -> _Window | None:
    grid = np.arange(span.start_ns, span.end_ns + 1, terms.bar_ns, dtype=np.int64)
    closes_a, closes_b = sample(a, grid), sample(b, grid)
    known = ~(np.isnan(closes_a) | np.isnan(closes_b))
    grid = grid[known]
    returns_a, returns_b = np.diff(closes_a[known]), np.diff(closes_b[known])
    count, steps = len(returns_a), terms.bar_lag_max_ns // terms.bar_ns
    if count < max(BARS_MIN, 2 * steps + 2) or not returns_a.any() or not returns_b.any():
        return None
    curve = cross_correlation(returns_a, returns_b, steps)
    shifts = rng.integers(steps + 1, count - steps, SHIFTS)
    shifted = np.stack([np.roll(returns_b, shift) for shift in shifts], axis=1)
    placebo = cross_correlation(np.repeat(returns_a[:, None], SHIFTS, 1), shifted, steps)
    near_a, near_b = clip(a, span.start_ns, span.end_ns + 1), clip(b, span.start_ns, span.end_ns + 1)
    walk_a, walk_b = surrogate_walks(near_a, near_b, float(np.abs(curve).max()), WALKS, rng)
    at_a = np.searchsorted(near_a.times, grid, "right") - 1
    at_b = np.searchsorted(near_b.times, grid, "right") - 1
    walks = cross_correlation(np.diff(walk_a[at_a], axis=0), np.diff(walk_b[at_b], axis=0), steps)
    return _Window(span.block, curve, placebo, walks)


def _ticks(a: Ticks, b: Ticks, span: Span, terms: StudyTerms, rng: np.random.Generator) -> _Window | None:
    a, b = clip(a, span.start_ns, span.end_ns), clip(b, span.start_ns, span.end_ns)
    if min(len(a.times), len(b.times)) <= TICKS_MIN or not np.diff(a.values).any() or not np.diff(b.values).any():
        return None
    lags = terms.lags_ns
    length = max(int(a.times[-1]), int(b.times[-1])) - min(int(a.times[0]), int(b.times[0]))
    low = min(2 * int(lags[-1]), length // 4)
    shifts = rng.integers(low, max(low + 1, length - low), SHIFTS)
    curve = hy_correlation(a, b, lags)
    placebo = np.stack([hy_correlation(a, turn(b, int(shift), length), lags) for shift in shifts], axis=1)
    walk_a, walk_b = surrogate_walks(a, b, float(np.abs(curve).max()), WALKS, rng)
    walks = hayashi_yoshida(Ticks(a.times, walk_a), Ticks(b.times, walk_b), lags)
    return _Window(span.block, curve, placebo, walks / np.abs(walks).max(axis=0))


def _pool(windows: Sequence[_Window], lags: Ints, rng: np.random.Generator) -> Method | None:
    if not windows:
        return None
    curve = np.mean([one.curve for one in windows], axis=0)
    placebo = float(
        np.quantile(np.abs(np.mean([one.placebo for one in windows], axis=0)).max(axis=0), PLACEBO_QUANTILE)
    )
    bias = lags[best_index(np.mean([one.walks for one in windows], axis=0), lags)]
    best = int(best_index(curve, lags))
    lag_ns = int(lags[best])
    blocks = list(dict.fromkeys(one.block for one in windows))
    sums = np.array([np.sum([one.curve for one in windows if one.block == block], axis=0) for block in blocks])
    drawn = np.array([sums[rng.integers(0, len(blocks), len(blocks))].sum(axis=0) for _ in range(DRAWS)]).T
    edges = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)
    lag_low, lag_high = np.quantile(lags[best_index(drawn, lags)], edges, method="nearest")
    ratios = np.quantile([lead_lag_ratio(column) for column in drawn.T], edges)
    sure = abs(curve[best]) > placebo and (lag_low > 0 or lag_high < 0)
    return Method(
        lags_ns=lags,
        curve=curve,
        placebo=placebo,
        lag_ns=lag_ns,
        lag_low_ns=int(lag_low),
        lag_high_ns=int(lag_high),
        ratio=lead_lag_ratio(curve),
        ratio_low=float(ratios[0]),
        ratio_high=float(ratios[1]),
        bias_low_ns=int(bias.min()),
        bias_high_ns=int(bias.max()),
        leader=beyond(lag_ns, bias) if sure else 0,
        windows=len(windows),
        blocks=len(blocks),
    )
