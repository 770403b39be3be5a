"""Who moves first: cross-correlation of bars, and Hayashi-Yoshida on the ticks themselves, each held against chance. Pure numpy.

Decides whether one of two price series leads. Floats live here and never become a price. Must never take slow sampling for a lag:
in bars the series that is updated less often looks like the follower although it is not (Huth and Abergel, arXiv 1111.7103, and
Epps before them), and with few ticks the largest of many noisy correlations stands at any lag.

A leader is named only when three things hold: the correlation at the best lag beats what the same two series reach when one of them
is shifted in a circle by more than the largest lag (95 of 100 such shifts reach less); the best lag is not 0; and it lies beyond the
best lags of *all* surrogates: random walks without any lead that are observed at exactly the ticks of the two series, and whose
variance is spread over time as theirs is. The surrogates carry whatever the sampling does to the estimate, in bars as in ticks.

Lags are positive where the first series leads. Times are Unix ns. Everything random comes from the seed that the caller derives.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

#: Circular shifts of the placebo, and the share of them that must stay below.
PLACEBO_SHIFTS = 40
PLACEBO_QUANTILE = 0.95
#: Beyond all of 99 surrogates: at most 1 % of windows without a lead on either side.
SURROGATES = 99
#: With fewer increments on either side nothing is said.
TICKS_MIN = 8
BARS_MIN = 12
#: A correlation this near to the largest is taken for equal; the smallest lag among equals is meant.
TIE = 1e-9


class Ticks(NamedTuple):
    """A series as it was seen: `times` (Unix ns, rising) and the price from then on."""

    times: Ints
    values: Floats


class Lead(NamedTuple):
    """What one method found. `leader` is 1 (the first leads), -1 (the second) or 0 (neither can be named).

    `correlation` is the one at `lag_ns`, `placebo` what chance reaches, `ratio` the lead-lag ratio of Huth and Abergel: the sum of
    squared correlations at lags where the first leads over the sum where the second does. `observations` counts the bars in which
    both are known, or the increments of the rarer series.
    """

    lag_ns: int
    correlation: float
    placebo: float
    ratio: float
    leader: int
    observations: int


def lag_grid(lag_max_ns: int, step_ns: int) -> Ints:
    """Symmetric lags around 0: every step up to ten steps, then wider, because a long lag is known less sharply."""
    near = list(range(0, min(lag_max_ns, 10 * step_ns) + 1, step_ns))
    lag = near[-1]
    while lag < lag_max_ns:
        lag = min(lag_max_ns, lag + max(step_ns, lag // 5))
        near.append(lag)
    positive = np.array(near[1:], dtype=np.int64)
    return np.concatenate((-positive[::-1], np.zeros(1, np.int64), positive))


# Bars


def sample(ticks: Ticks, times: Ints) -> Floats:
    """The last value at or before each time; NaN before the first."""
    at = np.searchsorted(ticks.times, times, "right") - 1
    found = ticks.values[np.maximum(at, 0)].astype(np.float64)
    found[at < 0] = np.nan
    return found


def bar_closes(ticks: Ticks, start_ns: int, end_ns: int, bar_ns: int) -> Floats:
    """Closing values of the bars of a window, the value at its start in front; NaN while nothing is known."""
    return sample(ticks, np.arange(start_ns, end_ns + 1, bar_ns, dtype=np.int64))


def cross_correlation(returns_a: Floats, returns_b: Floats, lag_max: int) -> Floats:
    """Correlation of two return series (along the first axis) at lags from -lag_max to lag_max; 0 where a series never moves."""
    count = returns_a.shape[0]
    assert lag_max < count, "there must be more bars than lags"
    centred_a, centred_b = returns_a - returns_a.mean(axis=0), returns_b - returns_b.mean(axis=0)
    norm = np.sqrt((centred_a**2).sum(axis=0) * (centred_b**2).sum(axis=0))
    rows = [
        (centred_a[max(0, -lag) : count - max(0, lag)] * centred_b[max(0, lag) : count + min(0, lag)]).sum(axis=0)
        for lag in range(-lag_max, lag_max + 1)
    ]
    curve: Floats = np.divide(np.array(rows), norm, out=np.zeros((len(rows), *norm.shape)), where=norm > 0)
    return curve


def bar_lead(a: Ticks, b: Ticks, *, start_ns: int, end_ns: int, bar_ns: int, lag_max_ns: int, seed: int) -> Lead | None:
    """Lead by bars of a window; None when either never moves or is known too shortly."""
    grid = np.arange(start_ns, end_ns + 1, bar_ns, dtype=np.int64)
    closes_a, closes_b = sample(a, grid), sample(b, grid)
    known = ~(np.isnan(closes_a) | np.isnan(closes_b))  # the last value is carried, so this is the window's tail
    returns_a, returns_b = np.diff(closes_a[known]), np.diff(closes_b[known])
    count, lag_max = len(returns_a), lag_max_ns // bar_ns
    if count < max(BARS_MIN, 2 * lag_max + 2) or not returns_a.any() or not returns_b.any():
        return None
    curve = cross_correlation(returns_a, returns_b, lag_max)
    lags = np.arange(-lag_max, lag_max + 1, dtype=np.int64) * bar_ns
    best = int(best_index(curve, lags))
    rng = np.random.default_rng(seed)
    shifts = rng.integers(lag_max + 1, count - lag_max, PLACEBO_SHIFTS)
    shifted = np.stack([np.roll(returns_b, shift) for shift in shifts], axis=1)
    placebo = _placebo(cross_correlation(np.repeat(returns_a[:, None], PLACEBO_SHIFTS, 1), shifted, lag_max))
    leader = 0
    if lags[best] and abs(curve[best]) > placebo:
        walk_a, walk_b = surrogate_walks(a, b, abs(float(curve[best])), SURROGATES, rng)
        grid = grid[known]
        at_a = np.searchsorted(a.times, grid, "right") - 1
        at_b = np.searchsorted(b.times, grid, "right") - 1
        surrogate = cross_correlation(np.diff(walk_a[at_a], axis=0), np.diff(walk_b[at_b], axis=0), lag_max)
        leader = beyond(int(lags[best]), lags[best_index(surrogate, lags)])
    return Lead(int(lags[best]), float(curve[best]), placebo, lead_lag_ratio(curve), leader, count)


# Ticks


class _Overlaps(NamedTuple):
    """For each increment of the first series, the ticks of the second between which its interval lies: before, and at or after."""

    low: Ints
    high: Ints


def _overlaps(times_a: Ints, times_b: Ints, lag_ns: int) -> _Overlaps:
    shifted = times_a + lag_ns
    low = np.searchsorted(times_b, shifted[:-1], "right") - 1
    high = np.searchsorted(times_b, shifted[1:], "left")
    return _Overlaps(np.maximum(low, 0), np.minimum(np.maximum(high, 0), len(times_b) - 1))


def hayashi_yoshida(a: Ticks, b: Ticks, lags_ns: Ints) -> Floats:
    """Covariance of asynchronous ticks at each lag (Hayashi and Yoshida 2005), the contrast of Hoffmann, Rosenbaum and Yoshida.

    Products of all increments whose intervals overlap once the first series is moved later by the lag: O(n + m) a lag, up to the
    search (arXiv 1303.4871). Values may have a second axis: then each column is a series of its own on the same times.
    """
    steps = np.diff(a.values, axis=0)
    values = b.values
    rows = []
    for lag in lags_ns:
        low, high = _overlaps(a.times, b.times, int(lag))
        rows.append((steps * (values[high] - values[low])).sum(axis=0))
    return np.array(rows)


def hy_norm(a: Ticks, b: Ticks) -> Floats:
    """Square root of the product of both realised variances: what turns the covariance into a correlation."""
    norm: Floats = np.sqrt((np.diff(a.values, axis=0) ** 2).sum(axis=0) * (np.diff(b.values, axis=0) ** 2).sum(axis=0))
    return norm


def hy_correlation(a: Ticks, b: Ticks, lags_ns: Ints) -> Floats:
    """Hayashi-Yoshida correlation at each lag; 0 where a series never moves."""
    covariance, norm = hayashi_yoshida(a, b, lags_ns), hy_norm(a, b)
    return np.divide(covariance, norm, out=np.zeros_like(covariance), where=norm > 0)


def hy_lead(a: Ticks, b: Ticks, *, start_ns: int, end_ns: int, lags_ns: Ints, seed: int) -> Lead | None:
    """Lead by ticks of a window; None when either has too few increments or never moves.

    The value at the window's start is the last one before it. Nothing shorter than a step of `lags_ns` can be told.
    """
    a, b = clip(a, start_ns, end_ns), clip(b, start_ns, end_ns)
    fewest = min(len(a.times), len(b.times)) - 1
    if fewest < TICKS_MIN or not np.diff(a.values).any() or not np.diff(b.values).any():
        return None
    curve = hy_correlation(a, b, lags_ns)
    best = int(best_index(curve, lags_ns))
    rng = np.random.default_rng(seed)
    lag_max = int(lags_ns[-1])
    span = max(int(a.times[-1]), int(b.times[-1])) - min(int(a.times[0]), int(b.times[0]))
    low = min(2 * lag_max, span // 4)
    shifts = rng.integers(low, max(low + 1, span - low), PLACEBO_SHIFTS)
    placebo = _placebo(np.stack([hy_correlation(a, turn(b, int(s), span), lags_ns) for s in shifts], axis=1))
    leader = 0
    if lags_ns[best] and abs(curve[best]) > placebo:
        walk_a, walk_b = surrogate_walks(a, b, abs(float(curve[best])), SURROGATES, rng)
        surrogate = hayashi_yoshida(Ticks(a.times, walk_a), Ticks(b.times, walk_b), lags_ns)
        leader = beyond(int(lags_ns[best]), lags_ns[best_index(surrogate, lags_ns)])
    return Lead(int(lags_ns[best]), float(curve[best]), placebo, lead_lag_ratio(curve), leader, fewest)


def clip(ticks: Ticks, start_ns: int, end_ns: int) -> Ticks:
    """The ticks of [start, end), with the value known at the start as the first of them."""
    first = int(np.searchsorted(ticks.times, start_ns, "right")) - 1
    last = int(np.searchsorted(ticks.times, end_ns, "left"))
    if first < 0:
        return Ticks(ticks.times[:last], ticks.values[:last])
    times = ticks.times[first:last].copy()
    if len(times):
        times[0] = max(int(times[0]), start_ns)
    return Ticks(times, ticks.values[first:last])


def turn(ticks: Ticks, shift_ns: int, span_ns: int) -> Ticks:
    """The same increments, moved later in a circle of the span: what leaves at the end comes in at the start."""
    times, steps = ticks.times, np.diff(ticks.values)
    moved = times[0] + (times[1:] - times[0] + shift_ns) % (span_ns + 1)
    order = np.argsort(moved, kind="stable")
    return Ticks(np.concatenate((times[:1], moved[order])), np.concatenate(([0.0], np.cumsum(steps[order]))))


# Against chance


def lead_lag_ratio(curve: Floats) -> float:
    """Sum of squared correlations at lags where the first leads over the sum where the second leads; the grid is symmetric."""
    middle = len(curve) // 2
    behind = float((curve[:middle] ** 2).sum())
    return float((curve[middle + 1 :] ** 2).sum()) / behind if behind > 0 else 1.0


def best_index(curve: Floats, lags: Ints) -> npt.NDArray[np.intp]:
    """Index of the largest absolute correlation along the first axis; of equals the one with the smallest lag."""
    order = np.argsort(np.abs(lags), kind="stable")
    size = np.abs(curve[order])
    found: npt.NDArray[np.intp] = order[np.argmax(size >= size.max(axis=0) * (1 - TIE), axis=0)]
    return found


def _placebo(curves: Floats) -> float:
    return float(np.quantile(np.abs(curves).max(axis=0), PLACEBO_QUANTILE))


def beyond(lag_ns: int, without_lead: Ints) -> int:
    """1 or -1 when a lag lies beyond 0 and beyond every best lag of surrogates on its side, else 0."""
    if lag_ns > max(0, int(without_lead.max())):
        return 1
    return -1 if lag_ns < min(0, int(without_lead.min())) else 0


def surrogate_walks(
    a: Ticks, b: Ticks, correlation: float, walks: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Random walks without a lead, seen at the ticks of both: one row a tick, one column a surrogate.

    Both walk in the same intrinsic time, the mean of the two realised variances, so that bursts stay bursts; their correlation is
    the one that was found.
    """
    times = np.union1d(a.times, b.times)
    clock = _variance_clock(a, times) + _variance_clock(b, times)
    scale = np.sqrt(np.diff(clock, prepend=clock[0]))[:, None]
    size = (len(times), walks)
    common = rng.standard_normal(size)
    other = min(1.0, correlation) * common + np.sqrt(max(0.0, 1.0 - correlation**2)) * rng.standard_normal(size)
    walk_a, walk_b = np.cumsum(scale * common, axis=0), np.cumsum(scale * other, axis=0)
    return walk_a[np.searchsorted(times, a.times)], walk_b[np.searchsorted(times, b.times)]


def _variance_clock(ticks: Ticks, times: Ints) -> Floats:
    """Share of the realised variance reached at each time, spread evenly between two ticks."""
    squares = np.concatenate(([0.0], np.cumsum(np.diff(ticks.values) ** 2)))
    origin = ticks.times[0]
    at = np.interp((times - origin).astype(np.float64), (ticks.times - origin).astype(np.float64), squares)
    share: Floats = at / squares[-1]
    return share
