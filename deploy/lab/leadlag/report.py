"""`crossbook leadlag`: who moves first over a whole log or recording, bars and ticks side by side, with chance and an interval.

Decides which figures are shown and in what words. Must never name a leader that `leadlag_study` does not name: the page says what
was found, how sure it is, and what each method cannot see.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deploy.errors import UsageError
from deploy.lab.leadlag.sources import Comparison
from deploy.lab.report.drawing.charts import Band, Rule, Series, line_chart
from deploy.lab.report.drawing.layout import Block, Cell, Chart, Notes, Page, Section, Table, Tile, write_page
from processors.leadlag.statistics import lag_grid
from processors.leadlag.study import COVERAGE, Method, StudyTerms, study

NS_PER_MS = 1_000_000
COLUMNS = (
    "pair", "method", "leader", "lag ms", "interval ms", "correlation", "chance", "ratio", "ratio interval", "windows", "blocks",
)  # fmt: skip


class Lengths(NamedTuple):
    """Lengths of the comparison, in ns."""

    bar_ns: int
    bar_lag_max_ns: int
    lag_max_ns: int
    step_ns: int


class Found(NamedTuple):
    """One pair, compared."""

    group: str
    name_a: str
    name_b: str
    bars: Method | None
    ticks: Method | None

    @property
    def methods(self) -> list[tuple[str, Method]]:
        """Those that had enough to say something."""
        both = (("bars", self.bars), ("ticks (Hayashi-Yoshida)", self.ticks))
        return [(name, method) for name, method in both if method is not None]

    def leader(self, method: Method) -> str:
        """Name of the leader; empty for none."""
        return {1: self.name_a, -1: self.name_b, 0: ""}[method.leader]


def compare(
    comparisons: Iterable[Comparison], lengths: Lengths, seed: int, told: Callable[[str], None] = lambda _name: None
) -> list[Found]:
    """Study each comparison; `told` hears the name of each before it is begun."""
    found = []
    for one in comparisons:
        told(f"{one.name_a} and {one.name_b}")
        name = f"{seed} {one.group} {one.name_a} {one.name_b}"
        terms = StudyTerms(
            bar_ns=lengths.bar_ns,
            bar_lag_max_ns=lengths.bar_lag_max_ns,
            lags_ns=lag_grid(lengths.lag_max_ns, lengths.step_ns),
            seed=int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]),
        )
        result = study(one.a, one.b, one.spans, terms)
        found.append(Found(one.group, one.name_a, one.name_b, result.bars, result.ticks))
    return found


def rows(found: Sequence[Found]) -> list[tuple[str, ...]]:
    """One row a pair and method, in the order of `COLUMNS`."""
    return [
        (
            f"{one.name_a} · {one.name_b}",
            name,
            one.leader(method) or "none",
            _ms(method.lag_ns),
            f"{_ms(method.lag_low_ns)} to {_ms(method.lag_high_ns)}",
            f"{method.correlation:.3f}",
            f"{method.placebo:.3f}",
            f"{method.ratio:.2f}",
            f"{method.ratio_low:.2f} to {method.ratio_high:.2f}",
            str(method.windows),
            str(method.blocks),
        )
        for one in found
        for name, method in one.methods
    ]


def as_dict(found: Sequence[Found], source: str, lengths: Lengths) -> dict[str, Any]:
    """Everything, ready for JSON; lags positive: the first leads."""
    return {
        "source": source,
        "lengths_ns": lengths._asdict(),
        "pairs": [
            {
                "group": one.group,
                "a": one.name_a,
                "b": one.name_b,
                "methods": {
                    name.split()[0]: method._asdict()
                    | {
                        "lags_ns": method.lags_ns.tolist(),
                        "curve": [round(float(value), 6) for value in method.curve],
                        "correlation": method.correlation,
                        "leader": one.leader(method) or None,
                    }
                    for name, method in one.methods
                },
            }
            for one in found
        ],
    }


def write_report(found: Sequence[Found], source: str, lengths: Lengths, path: Path) -> int:
    """Write the page, and the JSON beside it; return the page's size in bytes.

    Raises:
        ReportError: it cannot be written.
        UsageError: there was nothing to compare.
    """
    if not any(one.methods for one in found):
        raise UsageError(
            f"{source}: no pair of series with enough windows; record longer, or shorten the windows with --window-s"
        )
    size = write_page(_page(found, source, lengths), path)
    path.with_suffix(".json").write_text(json.dumps(as_dict(found, source, lengths)))
    return size


def _ms(ns: int) -> str:
    return f"{ns / NS_PER_MS:g}"


def _page(found: Sequence[Found], source: str, lengths: Lengths) -> Page:
    named = [(one, method) for one in found for _, method in one.methods if method.leader]
    pairs = {(one.group, one.name_a, one.name_b) for one, _ in named}
    first = max(named, key=lambda entry: entry[1].correlation, default=None)
    verdict = "No pair has a leader that chance and sampling cannot explain."
    if first is not None:
        one, method = first
        other = one.name_b if method.leader > 0 else one.name_a
        verdict = (
            f"{one.leader(method)} leads {other} by {_ms(abs(method.lag_ns))} ms "
            f"({COVERAGE:.0%} interval {_interval(method)} ms over {method.blocks} blocks)."
        )
    sections = [Section("pairs", "Pairs", [_table(found)])]
    sections += [
        Section(f"pair-{number}", f"{one.name_a} and {one.name_b}", _charts(one))
        for number, one in enumerate(found[:20])
    ]
    sections.append(Section("words", "How to read this", [Notes(_notes(lengths))]))
    return Page(
        title="Lead-lag",
        subtitle=f"Who moves first in {source}: correlation of price moves at every lag, beside what chance reaches.",
        verdict=verdict,
        tiles=[
            Tile("pairs compared", str(len(found))),
            Tile("pairs with a leader", str(len(pairs))),
            Tile("bar", f"{_ms(lengths.bar_ns)} ms"),
            Tile("smallest lag told by ticks", f"{_ms(lengths.step_ns)} ms"),
        ],
        sections=sections,
    )


def _interval(method: Method) -> str:
    low, high = sorted((abs(method.lag_low_ns), abs(method.lag_high_ns)))
    return f"{_ms(low)} to {_ms(high)}"


def _table(found: Sequence[Found]) -> Table:
    numbers = {"lag ms", "correlation", "chance", "ratio", "windows", "blocks"}
    columns = [f"#{name}" if name in numbers else name for name in COLUMNS]
    return Table(columns, [[Cell(text, tone="quiet" if text == "none" else "") for text in row] for row in rows(found)])


def _charts(one: Found) -> list[Block]:
    return [Chart([_chart(one, name, method) for name, method in one.methods])]


def _chart(one: Found, name: str, method: Method) -> str:
    lags = [float(lag) / NS_PER_MS for lag in method.lags_ns]
    edges = [(lags[0], -method.placebo, method.placebo), (lags[-1], -method.placebo, method.placebo)]
    return line_chart(
        [Series("correlation", list(zip(lags, map(float, method.curve), strict=True)))],
        title=f"By {name}",
        description=f"Right of 0 {one.name_a} moves first, left of 0 {one.name_b}.",
        x_kind="number",
        x_unit="ms",
        zero=True,
        bands=[Band("chance (95 of 100)", edges)],
        x_rules=[Rule(method.lag_ns / NS_PER_MS, f"{_ms(method.lag_ns)} ms")],
    )


def _notes(lengths: Lengths) -> list[str]:
    return [
        (
            f"Bars carry the last mid on; they cannot see a lead shorter than a bar, here {_ms(lengths.bar_ns)} ms, and the series that is "
            "updated less often looks like the follower in them."
        ),
        (
            "Ticks are compared by Hayashi and Yoshida: increments count together when their intervals overlap, so that nothing is "
            f"carried on. The smallest lag that is told is {_ms(lengths.step_ns)} ms."
        ),
        (
            "Chance is what the same series reach at any lag when one of them is moved in a circle by more than the largest lag: the "
            "largest of all lags stays below it in 95 of 100 such moves."
        ),
        (
            "A leader is named when the best correlation beats chance, its lag lies beyond that of every random walk without a lead "
            f"seen at the same ticks, and the {COVERAGE:.0%} interval of the lag does not hold 0."
        ),
        "Intervals come from drawing whole blocks again: recording sessions, or stretches of time in a log.",
        (
            "The ratio is that of Huth and Abergel: squared correlations at lags where the first leads over those where the second "
            "does; 1 means neither."
        ),
        "A lag is one of arrival at the computer that recorded both: what the network adds to each feed is part of it.",
    ]
