"""Distributions and ratios with their uncertainty: floats live here, money does not.

Decides percentiles (as ClickHouse's quantileExact: a value that was observed, never one in between) and the Sharpe ratio with
its standard error. Must never turn a figure back into money.
"""

import math
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """How many, and values that half, 95 and 99 % lie at or below; the unit is the caller's."""

    n: int
    minimum: int
    p50: int
    p95: int
    p99: int
    maximum: int
    mean: float


class Sharpe(msgspec.Struct, frozen=True, kw_only=True):
    """Mean over standard deviation of independent results, not annualised, with its standard error sqrt((1 + S²/2) / n) (Lo 2002)."""

    ratio: float
    error: float
    n: int


def distribution(values: Iterable[int]) -> Distribution | None:
    """The distribution of some values; None for none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Distribution(
        n=len(ordered),
        minimum=ordered[0],
        p50=quantile(ordered, 0.5),
        p95=quantile(ordered, 0.95),
        p99=quantile(ordered, 0.99),
        maximum=ordered[-1],
        mean=float(np.mean(np.asarray(ordered, dtype=np.float64))),
    )


def quantile(ordered: Sequence[int], level: float) -> int:
    """The value at a level (0..1) of values in ascending order, as ClickHouse's quantileExact takes it."""
    return ordered[min(len(ordered) - 1, int(level * len(ordered)))]


def sharpe(results: Sequence[int]) -> Sharpe | None:
    """Sharpe ratio of results that do not depend on each other; None where fewer than three or all equal, for then it says nothing."""
    if len(results) < 3:
        return None
    values = np.asarray(results, dtype=np.float64)
    deviation = float(values.std(ddof=1))
    if deviation == 0.0:
        return None
    ratio = float(values.mean()) / deviation
    return Sharpe(ratio=ratio, error=math.sqrt((1 + ratio * ratio / 2) / len(results)), n=len(results))
