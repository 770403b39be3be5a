"""Small charts as HTML with inline SVG: no script, no network, both themes, legible on a telephone.

Decides how series become paths. Only shapes are SVG, stretched to the width of the page with strokes that keep theirs; every
text is HTML beside them, so that no font shrinks with the screen. Colours are the custom properties of `templates/style.css.j2`.
Each function returns one `<figure>`; texts are escaped here. Must never fetch, run or measure anything.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Literal, NamedTuple

from deploy.lab.analysis.thinning import thinned
from deploy.lab.report.drawing.axes import Tick, log_ticks, number, number_ticks, padded, time_label, time_ticks

#: A path of two thousand points is 20 kB and finer than any screen that shows it.
POINTS_MAX = 2_000
#: Slices of a line chart that show their value under the pointer.
SLICES_MAX = 120
COLOURS = 6
#: Widest logarithmic axis: from a nanosecond to more than a week.
RATIO_MAX = 1e15
WIDTH, HEIGHT = 2_000, 1_000

XKind = Literal["time", "number"]


class Series(NamedTuple):
    """A line: points (x, y) in order of x; y None breaks it. Time is Unix ns."""

    name: str
    points: Sequence[tuple[float, float | None]]
    dashed: bool = False


class Band(NamedTuple):
    """An area between two values: points (x, low, high) in order of x."""

    name: str
    points: Sequence[tuple[float, float, float]]


class Bar(NamedTuple):
    """A bar with its value in words; `note` shows under the pointer."""

    label: str
    value: float
    text: str
    note: str = ""


class Stage(NamedTuple):
    """A row of a waterfall: a total stands on zero, a change on what was left before it."""

    label: str
    value: float
    text: str
    total: bool = False


class Rule(NamedTuple):
    """A straight line at a value of an axis, with its name."""

    value: float
    label: str


class _Scale(NamedTuple):
    low: float
    high: float
    size: int
    log: bool = False

    def at(self, value: float) -> int:
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        place = math.log10(max(value, self.low)) if self.log else value
        return round((place - low) / (high - low) * self.size)

    def percent(self, value: float) -> float:
        return self.at(value) * 100 / self.size


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    description: str = "",
    x_kind: XKind = "time",
    x_unit: str = "",
    y_unit: str = "",
    step: bool = False,
    fill: bool = False,
    zero: bool = False,
    bands: Sequence[Band] = (),
    x_rules: Sequence[Rule] = (),
    y_rules: Sequence[Rule] = (),
) -> str:
    """Lines over time (Unix ns) or a number. `step` holds a value until the next, `fill` shades down to zero, `zero` keeps zero in view."""
    lines = [one._replace(points=_fewer(one.points)) for one in series]
    xs = [x for one in lines for x, _ in one.points] + [x for band in bands for x, _, _ in band.points]
    ys = [y for one in lines for _, y in one.points if y is not None]
    ys += [y for band in bands for _, *both in band.points for y in both] + [rule.value for rule in y_rules]
    if not xs or not ys:
        return empty_chart(title, "nothing to draw")
    x_low, x_high = (min(xs), max(xs)) if min(xs) < max(xs) else padded(xs)
    x, y = _Scale(x_low, x_high, WIDTH), _Scale(*padded(ys, zero=zero or fill), HEIGHT)
    shapes = [_band(band, x, y, number_) for number_, band in enumerate(bands)]
    base = _down(y, 0.0)
    for index, one in enumerate(lines):
        path = _path(one.points, x, y, step=step)
        colour = f"c{index % COLOURS + 1}"
        if fill and path and len(lines) == 1:
            first, last = x.at(one.points[0][0]), x.at(one.points[-1][0])
            shapes.append(f'<path class="fill {colour}" d="{path}L{last} {base}L{first} {base}Z"/>')
        shapes.append(f'<path class="line {colour}{" dashed" if one.dashed else ""}" d="{path}"/>')
    shapes += [_rule_x(rule, x) for rule in x_rules] + [_rule_y(rule, y) for rule in y_rules]
    shapes += _slices(lines, x, x_kind, x_unit, y_unit)
    x_ticks = time_ticks(x_low, x_high, 4) if x_kind == "time" else number_ticks(x_low, x_high, 4, x_unit)
    named = [(one.name, f"c{i % COLOURS + 1}") for i, one in enumerate(lines)] if len(lines) + len(bands) > 1 else []
    named += [(band.name, f"band c{i % COLOURS + 1}") for i, band in enumerate(bands)]
    return _figure(title, description, _plot(title, description, shapes, x, y, x_ticks, y_unit), legend=named)


def scatter_chart(
    points: Iterable[tuple[float, float, str]],
    *,
    title: str,
    description: str = "",
    x_kind: XKind = "number",
    x_unit: str = "",
    y_unit: str = "",
    x_label: str = "",
    y_label: str = "",
    diagonal: bool = False,
    zero: bool = False,
) -> str:
    """Dots (x, y, words under the pointer). `diagonal` draws x = y on equal scales: above it, better than expected."""
    dots = list(points)[:POINTS_MAX]
    if not dots:
        return empty_chart(title, "nothing to draw")
    xs, ys = [dot[0] for dot in dots], [dot[1] for dot in dots]
    x_range, y_range = padded(xs, zero=zero), padded(ys, zero=zero)
    if diagonal:
        x_range = y_range = padded(xs + ys, zero=zero)
    x, y = _Scale(*x_range, WIDTH), _Scale(*y_range, HEIGHT)
    shapes = []
    if diagonal:
        shapes.append(f'<path class="rule" d="M0 {HEIGHT}L{WIDTH} 0"><title>equal</title></path>')
    shapes += [
        f'<path class="dot" d="M{x.at(a)} {_down(y, b)}h0"><title>{escape(words)}</title></path>'
        for a, b, words in dots
    ]
    x_ticks = time_ticks(*x_range, 4) if x_kind == "time" else number_ticks(*x_range, 4, x_unit)
    return _figure(
        title, description, _plot(title, description, shapes, x, y, x_ticks, y_unit), axes=(x_label, y_label)
    )


def histogram(
    values: Sequence[float],
    *,
    title: str,
    description: str = "",
    x_unit: str = "",
    log: bool = False,
    bins: int = 24,
    x_rules: Sequence[Rule] = (),
) -> str:
    """Counts of values in bins of equal width; with `log`, of equal ratio (what is smaller than its first edge, such as zero, stands in the first bin)."""
    if not values:
        return empty_chart(title, "nothing to count")
    if log:
        positive = [value for value in values if value > 0] or [1.0]
        high = max(positive) * 1.5
        low = max(min(positive) / 1.5, high / RATIO_MAX)
        edges = [low * (high / low) ** (i / bins) for i in range(bins + 1)]
    else:
        low, high = padded(list(values))
        edges = [low + (high - low) * i / bins for i in range(bins + 1)]
    counts = [0] * bins
    width = math.log(high / low) if log else high - low
    for value in values:
        place = (math.log(max(value, low) / low) if log else value - low) / width
        counts[max(0, min(bins - 1, int(place * bins)))] += 1
    x, y = _Scale(low, high, WIDTH, log), _Scale(0.0, max(counts) * 1.06, HEIGHT)
    shapes = []
    for index, count in enumerate(counts):
        if count:
            left, right = x.at(edges[index]), x.at(edges[index + 1])
            top = _down(y, count)
            words = f"{number(edges[index], x_unit)} to {number(edges[index + 1], x_unit)}: {count:,}"
            shapes.append(
                f'<rect class="bar c1" x="{left}" y="{top}" width="{max(right - left - 6, 2)}" height="{HEIGHT - top}">'
                f"<title>{escape(words)}</title></rect>"
            )
    shapes += [_rule_x(rule, x) for rule in x_rules]
    x_ticks = log_ticks(low, high, x_unit) if log else number_ticks(low, high, 4, x_unit)
    rules = [(f"{rule.label} {number(rule.value, x_unit)}", "rule") for rule in x_rules]
    return _figure(title, description, _plot(title, description, shapes, x, y, x_ticks, None), legend=rules)


def bar_chart(bars: Sequence[Bar], *, title: str, description: str = "", signed: bool = False) -> str:
    """One row a bar: name, bar from zero, value in words. `signed`: gains and losses, told apart by side and colour."""
    if not bars:
        return empty_chart(title, "nothing to draw")
    scale = _row_scale([bar.value for bar in bars])
    rows = []
    for bar in bars:
        colour = ("pos" if bar.value >= 0 else "neg") if signed else "c1"
        shape = _row_rect(scale, 0.0, bar.value, colour, bar.note or f"{bar.label}: {bar.text}")
        rows.append(_row(bar.label, bar.text, scale, shape))
    return _figure(title, description, f'<div class="rows">{"".join(rows)}</div>')


def waterfall_chart(stages: Sequence[Stage], *, title: str, description: str = "", rule: Rule | None = None) -> str:
    """One row a stage, from what came in to what was left; `rule` is the level to be reached."""
    if not stages:
        return empty_chart(title, "nothing to draw")
    spans = []
    level = 0.0
    for stage in stages:
        start = 0.0 if stage.total else level
        level = stage.value if stage.total else level + stage.value
        spans.append((stage, start, level))
    reach = [value for _, start, end in spans for value in (start, end)] + ([rule.value] if rule else [])
    scale = _row_scale(reach)
    rows = []
    for stage, start, end in spans:
        colour = (
            ("total" if stage.value >= 0 else "neg") if stage.total else ("pos" if stage.value >= 0 else "neg soft")
        )
        shape = _row_rect(scale, start, end, colour, f"{stage.label}: {stage.text}")
        if rule is not None:
            at = scale.at(rule.value)
            shape += f'<path class="rule" d="M{at} 0V100"><title>{escape(rule.label)}</title></path>'
        rows.append(_row(stage.label, stage.text, scale, shape, strong=stage.total))
    legend = [(rule.label, "rule")] if rule else []
    return _figure(title, description, f'<div class="rows">{"".join(rows)}</div>', legend=legend)


def empty_chart(title: str, why: str) -> str:
    """The place of a chart that has nothing to show, and why."""
    return f'<figure class="chart"><figcaption>{escape(title)}</figcaption><p class="none">{escape(why)}</p></figure>'


def _fewer(points: Sequence[tuple[float, float | None]]) -> tuple[tuple[float, float | None], ...]:
    return thinned(points, POINTS_MAX, lambda point: 0.0 if point[1] is None else point[1])


def _down(scale: _Scale, value: float) -> int:
    return scale.size - scale.at(value)


def _path(points: Sequence[tuple[float, float | None]], x: _Scale, y: _Scale, *, step: bool) -> str:
    parts: list[str] = []
    drawing = False
    for at, value in points:
        if value is None:
            drawing = False
            continue
        px, py = x.at(at), _down(y, value)
        if not drawing:
            parts.append(f"M{px} {py}")
        else:
            parts.append(f"H{px}V{py}" if step else f"L{px} {py}")
        drawing = True
    return "".join(parts)


def _band(band: Band, x: _Scale, y: _Scale, index: int) -> str:
    if not band.points:
        return ""
    there = "L".join(f"{x.at(at)} {_down(y, high)}" for at, _, high in band.points)
    back = "L".join(f"{x.at(at)} {_down(y, low)}" for at, low, _ in reversed(band.points))
    return f'<path class="fill c{index % COLOURS + 1}" d="M{there}L{back}Z"/>'


def _rule_x(rule: Rule, x: _Scale) -> str:
    at = x.at(rule.value)
    return (
        f'<path class="rule" d="M{at} 0V{HEIGHT}"><title>{escape(rule.label)}</title></path>'
        if 0 <= at <= WIDTH
        else ""
    )


def _rule_y(rule: Rule, y: _Scale) -> str:
    at = _down(y, rule.value)
    return f'<path class="rule" d="M0 {at}H{WIDTH}"><title>{escape(rule.label)}</title></path>'


def _slices(lines: Sequence[Series], x: _Scale, x_kind: XKind, x_unit: str, y_unit: str) -> list[str]:
    """Invisible columns that say the values under the pointer."""
    longest = max(lines, key=lambda one: len(one.points), default=None)
    if longest is None or not longest.points:
        return []
    every = max(1, len(longest.points) // SLICES_MAX)
    picked = [at for at, _ in longest.points[::every]]
    step_s = (x.high - x.low) / 1e9 / 1_000
    found: list[str] = []
    places = [0] * len(lines)
    for index, at in enumerate(picked):
        left = x.at((picked[index - 1] + at) / 2) if index else 0
        right = x.at((at + picked[index + 1]) / 2) if index + 1 < len(picked) else WIDTH
        words = [time_label(int(at), min(step_s, 59)) + " UTC" if x_kind == "time" else number(at, x_unit)]
        for which, one in enumerate(lines):
            while places[which] + 1 < len(one.points) and one.points[places[which] + 1][0] <= at:
                places[which] += 1
            value = one.points[places[which]][1] if one.points else None
            if value is not None:
                words.append(f"{one.name} {number(value, y_unit)}")
        found.append(
            f'<rect class="hit" x="{left}" y="0" width="{max(right - left, 1)}" height="{HEIGHT}"><title>{escape(", ".join(words))}</title></rect>'
        )
    return found


def _plot(
    title: str,
    description: str,
    shapes: Sequence[str],
    x: _Scale,
    y: _Scale,
    x_ticks: Sequence[Tick],
    y_unit: str | None,
) -> str:
    # Without a unit, even an empty one, it is a count.
    y_ticks = number_ticks(y.low, y.high, 4, y_unit or "", whole=y_unit is None)
    gutter = max((len(tick.label) for tick in y_ticks), default=1)
    grid = "".join(
        f'<path class="{"zero" if tick.value == 0 else "grid"}" d="M0 {_down(y, tick.value)}H{WIDTH}"/>'
        for tick in y_ticks
    )
    y_labels = "".join(f'<span style="top:{100 - y.percent(t.value):.2f}%">{escape(t.label)}</span>' for t in y_ticks)
    x_labels = "".join(_x_label(tick, x) for tick in x_ticks)
    return (
        f'<div class="plot" style="--gutter:{gutter}ch"><div class="ys" aria-hidden="true">{y_labels}</div>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{escape(title)}">'
        f"<desc>{escape(description or title)}</desc>{grid}{''.join(shapes)}</svg>"
        f'<div class="xs" aria-hidden="true">{x_labels}</div></div>'
    )


def _x_label(tick: Tick, x: _Scale) -> str:
    percent = x.percent(tick.value)
    side = "first" if percent < 8 else "last" if percent > 92 else ""
    return f'<span class="{side}" style="left:{percent:.2f}%">{escape(tick.label)}</span>'


def _row_scale(values: Sequence[float]) -> _Scale:
    low, high = min(*values, 0.0), max(*values, 0.0)
    return _Scale(low, high if high > low else low + 1.0, WIDTH)


def _row_rect(scale: _Scale, start: float, end: float, colour: str, words: str) -> str:
    left, right = sorted((scale.at(start), scale.at(end)))
    return f'<rect class="bar {colour}" x="{left}" y="14" width="{max(right - left, 4)}" height="72"><title>{escape(words)}</title></rect>'


def _row(label: str, text: str, scale: _Scale, shape: str, *, strong: bool = False) -> str:
    zero = scale.at(0.0)
    return (
        f'<div class="row{" strong" if strong else ""}"><span class="k">{escape(label)}</span>'
        f'<svg viewBox="0 0 {WIDTH} 100" preserveAspectRatio="none" aria-hidden="true"><path class="zero" d="M{zero} 0V100"/>{shape}</svg>'
        f'<span class="v">{escape(text)}</span></div>'
    )


def _figure(
    title: str,
    description: str,
    body: str,
    *,
    legend: Sequence[tuple[str, str]] = (),
    axes: tuple[str, str] = ("", ""),
) -> str:
    entries = "".join(f'<li><i class="{colour}"></i>{escape(name)}</li>' for name, colour in legend)
    keys = f'<ul class="legend">{entries}</ul>' if entries else ""
    x_label, y_label = axes
    across = f'<p class="axis">→ {escape(x_label)}</p>' if x_label else ""
    upward = f'<p class="axis">↑ {escape(y_label)}</p>' if y_label else ""
    words = f'<p class="hint">{escape(description)}</p>' if description else ""
    return f'<figure class="chart"><figcaption>{escape(title)}</figcaption>{words}{keys}{upward}{body}{across}</figure>'
