"""Charts: well-formed, bounded, escaped, and drawing what they are given."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.lab.analysis.thinning import thinned
from deploy.lab.report.drawing.axes import duration, log_ticks, number, number_ticks, time_ticks
from deploy.lab.report.drawing.charts import (
    POINTS_MAX,
    Band,
    Bar,
    Rule,
    Series,
    Stage,
    bar_chart,
    histogram,
    line_chart,
    scatter_chart,
    waterfall_chart,
)
from tests.builders.pages import Tree

EVIL = "<script>alert('x')</script>\"&"


def parsed(markup):
    tree = Tree()
    tree.feed(markup)
    tree.close()
    assert tree.open == []
    return tree


FLOATS = st.floats(-1e9, 1e9, allow_nan=False)
POINTS = st.lists(st.tuples(FLOATS, st.none() | FLOATS), max_size=40).map(
    lambda points: sorted(points, key=lambda p: p[0])
)


@settings(max_examples=60, deadline=None)
@given(points=POINTS, step=st.booleans(), fill=st.booleans(), kind=st.sampled_from(("time", "number")))
def test_a_line_is_well_formed_whatever_its_points(points, step, fill, kind):
    markup = line_chart(
        [Series(EVIL, points), Series("b", points, dashed=True)],
        title=EVIL,
        x_kind=kind,
        step=step,
        fill=fill,
        y_unit="$",
    )
    parsed(markup)
    assert "<script" not in markup
    assert "nan" not in markup


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(0, 1e18), min_size=1, max_size=40), log=st.booleans())
def test_a_histogram_counts_each_value_once(values, log):
    tree = parsed(histogram(values, title="lives", x_unit="ns", log=log))
    counts = [int(text.rpartition(": ")[2].replace(",", "")) for text in tree.text if " to " in text]
    assert sum(counts) == len(values)


def test_a_chart_has_a_name_for_those_who_do_not_see_it():
    tree = parsed(
        line_chart([Series("a", [(0, 1), (1, 2)])], title="Equity", description="in dollars", x_kind="number")
    )
    (svg,) = [attrs for tag, attrs in tree.tags if tag == "svg"]
    assert (svg["role"], svg["aria-label"]) == ("img", "Equity")
    assert "in dollars" in tree.text


def test_a_long_line_is_thinned_and_keeps_its_spike():
    points = [(float(n), 0.0) for n in range(50_000)]
    points[31_234] = (31_234.0, 7.0)
    markup = line_chart([Series("a", points)], title="long", x_kind="number")
    path = re.search(r'class="line c1" d="([^"]+)"', markup).group(1)
    assert len(re.findall("[ML]", path)) <= POINTS_MAX
    assert len(markup) < 60_000
    assert min(int(y) for y in re.findall(r" (\d+)", path)) < 100


def test_a_hole_breaks_the_line():
    markup = line_chart([Series("a", [(0, 1), (1, None), (2, 3)])], title="hole", x_kind="number")
    assert re.search(r'class="line c1" d="M0 \d+M2000 \d+"', markup)


def test_bands_and_rules_are_drawn():
    markup = line_chart(
        [Series("correlation", [(-5, 0.1), (5, 0.4)])],
        title="lead-lag",
        x_kind="number",
        bands=[Band("placebo", [(-5, 0.0, 0.2), (5, 0.0, 0.2)])],
        x_rules=[Rule(0, "no lag"), Rule(99, "outside")],
        y_rules=[Rule(0.3, "level")],
    )
    tree = parsed(markup)
    assert {"correlation", "placebo", "no lag", "level"} <= set(tree.text)
    assert "outside" not in tree.text


def test_bars_and_stages_stand_where_they_should():
    bars = parsed(bar_chart([Bar("gain", 3, "+3"), Bar("loss", -1, "−1")], title="PnL", signed=True))
    rects = [attrs for tag, attrs in bars.tags if tag == "rect"]
    assert [(r["class"], int(r["x"]), int(r["width"])) for r in rects] == [("bar pos", 500, 1500), ("bar neg", 0, 500)]
    stages = [Stage("gross", 4, "4", total=True), Stage("fee", -3, "-3"), Stage("net", 1, "1", total=True)]
    rects = [
        attrs for tag, attrs in parsed(waterfall_chart(stages, title="w", rule=Rule(2, "t"))).tags if tag == "rect"
    ]
    assert [(int(r["x"]), int(r["width"])) for r in rects] == [(0, 2000), (500, 1500), (0, 500)]


@pytest.mark.parametrize(
    "markup",
    [
        line_chart([], title="none"),
        histogram([], title="none"),
        bar_chart([], title="none"),
        waterfall_chart([], title="none"),
        scatter_chart([], title="none"),
    ],
)
def test_nothing_to_draw_says_so(markup):
    assert "nothing to" in "".join(parsed(markup).text)


@pytest.mark.parametrize(
    ("low", "high", "unit", "labels"),
    [
        (-1.2, 8.1, "¢", ["0.0¢", "2.5¢", "5.0¢", "7.5¢"]),
        (0, 100, "", ["0", "25", "50", "75", "100"]),
        (-30, 70, "$", ["−$25", "$0", "$25", "$50"]),
        (0, 2_500_000, "", ["0", "1M", "2M"]),
        (0.001, 0.004, "", ["0.001", "0.002", "0.003", "0.004"]),
    ],
)
def test_ticks_are_round_and_say_what_they_are(low, high, unit, labels):
    assert [tick.label for tick in number_ticks(low, high, 4, unit)] == labels


def test_counts_have_no_halves():
    assert [tick.label for tick in number_ticks(0, 3, 4, whole=True)] == ["0", "1", "2", "3"]


def test_times_stand_at_round_moments():
    hour = 3_600 * 10**9
    assert [tick.label for tick in time_ticks(0, 4 * hour, 4)] == ["00:00", "01:00", "02:00", "03:00", "04:00"]
    assert [tick.label for tick in time_ticks(0, 2 * 10**9, 4)] == [
        "00:00:00.000",
        "00:00:00.500",
        "00:00:01.000",
        "00:00:01.500",
        "00:00:02.000",
    ]
    assert [tick.label for tick in log_ticks(2e6, 3e11, "ns")] == ["10 ms", "100 ms", "1 s", "10 s", "1 min"]


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 s"), (350e6, "350 ms"), (1.25e9, "1.25 s"), (-90e9, "−1.5 min"), (172_800e9, "2 d"), (12, "12 ns")],
)
def test_durations_read_like_durations(ns, text):
    assert duration(ns) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1234, "1,234"), (12_345, "12.35k"), (-0.0042, "−0.0042"), (1e9, "1G")]
)
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_thinning_keeps_ends_lows_and_highs():
    items = [*range(1_000), 5_000, *range(1_000), -7]
    kept = thinned(items, 10, float)
    assert len(kept) <= 10
    assert (kept[0], kept[-1], max(kept)) == (0, -7, 5_000)
    assert thinned(items, 10_000, float) == tuple(items)
