"""Scales and their labels: round ticks, few of them, and short texts for numbers, durations and times. Pure.

Decides where ticks stand and what they say. Times are Unix ns, shown in UTC.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

NS_PER_S = 1_000_000_000
#: Steps that people count time in, seconds.
_TIME_STEPS_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600,
    2_592_000, 7_776_000, 15_552_000, 31_536_000,
)  # fmt: skip
_DURATIONS = ((86_400e9, "d"), (3_600e9, "h"), (60e9, "min"), (1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
#: Ticks of a logarithmic axis of durations.
_SPANS_NS = (
    1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 6e10, 6e11, 3.6e12, 2.16e13, 8.64e13, 6.048e14, 2.592e15, 3.1536e16, 3.1536e17,
)  # fmt: skip
MINUS = "−"


class Tick(NamedTuple):
    """A value and what stands beside it."""

    value: float
    label: str


def number_ticks(low: float, high: float, count: int, unit: str = "", *, whole: bool = False) -> list[Tick]:
    """About `count` round ticks within a range; unit "$" stands before, "ns" becomes a duration, any other stands behind.

    `whole`: no ticks between whole numbers, for counts.
    """
    step = _round_step((high - low) / max(count, 1))
    if whole and step != int(step):
        step = float(math.ceil(step))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [Tick(n * step, number(n * step, unit, step)) for n in range(first, last + 1)]


def time_ticks(low_ns: float, high_ns: float, count: int) -> list[Tick]:
    """About `count` ticks at round moments of UTC."""
    span_s = max((high_ns - low_ns) / NS_PER_S, 1e-9)
    if span_s < count:  # below a second a step: count milliseconds
        step_s = _round_step(span_s / count)
    else:
        step_s = next((s for s in _TIME_STEPS_S if s >= span_s / count), _TIME_STEPS_S[-1])
    first = math.ceil(low_ns / NS_PER_S / step_s - 1e-9)
    last = math.floor(high_ns / NS_PER_S / step_s + 1e-9)
    return [Tick(n * step_s * NS_PER_S, time_label(int(n * step_s * NS_PER_S), step_s)) for n in range(first, last + 1)]


def log_ticks(low: float, high: float, unit: str = "") -> list[Tick]:
    """Powers of ten (of durations: spans that have a name) within a range of positive numbers, thinned to about five."""
    if unit == "ns":
        spans = [span for span in _SPANS_NS if low * 0.999 <= span <= high * 1.001]
        return [Tick(span, duration(span)) for span in spans[:: max(1, math.ceil(len(spans) / 5))]]
    exponents = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    every = max(1, math.ceil(len(exponents) / 5))
    return [Tick(10.0**e, number(10.0**e, unit)) for e in exponents if e % every == 0]


def time_label(ts_ns: int, step_s: float) -> str:
    """A moment, as exactly as steps of that size need."""
    moment = datetime.fromtimestamp(ts_ns // NS_PER_S, UTC)
    if step_s < 1:
        return f"{moment:%H:%M:%S}.{ts_ns % NS_PER_S // 1_000_000:03d}"
    if step_s < 60:
        return f"{moment:%H:%M:%S}"
    if step_s < 86_400:
        return f"{moment:%H:%M}"
    return f"{moment:%Y-%m}" if step_s >= 2_592_000 else f"{moment:%m-%d}"


def number(value: float, unit: str = "", step: float = 0.0) -> str:
    """A number as a label: thousands as k, M, G, and no more places than the step needs."""
    if unit == "ns":
        return duration(value)
    size = abs(value)
    divisor, suffix = next(((d, s) for d, s in ((1e9, "G"), (1e6, "M"), (1e4, "k")) if size >= d), (1.0, ""))
    divisor = 1e3 if suffix == "k" else divisor
    scaled = size / divisor
    places = 0
    if step:
        fine = step / divisor
        places = next((p for p in range(9) if math.isclose(round(fine, p), fine, rel_tol=1e-6)), 9)
    elif scaled and scaled < 100:
        places = 2 if scaled >= 1 else min(6, 1 - math.floor(math.log10(scaled)))
    text = f"{scaled:,.{min(places, 8)}f}"
    if not step and "." in text:
        text = text.rstrip("0").rstrip(".")
    sign = MINUS if value < 0 and text.strip("0.,") else ""
    return f"{sign}${text}{suffix}" if unit == "$" else f"{sign}{text}{suffix}{unit}"


def duration(ns: float) -> str:
    """A span of time with three digits that count: 1.25 s, 350 ms, 2.1 d."""
    size = abs(ns)
    if size == 0:
        return "0 s"
    scale, unit = next((one for one in _DURATIONS if size >= one[0]), _DURATIONS[-1])
    value = size / scale
    text = f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    return f"{MINUS if ns < 0 else ''}{text} {unit}"


def padded(values: Sequence[float], *, zero: bool = False) -> tuple[float, float]:
    """Lowest and highest of some values with a little room; never an empty range."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        room = abs(low) * 0.1 or 1.0
        return low - room, high + room
    room = (high - low) * 0.06
    return (low if zero and low == 0 else low - room), (high if zero and high == 0 else high + room)


def _round_step(rough: float) -> float:
    if rough <= 0:
        return 1.0
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next(step * magnitude for step in (1, 2, 2.5, 5, 10) if step * magnitude >= rough * (1 - 1e-9))
