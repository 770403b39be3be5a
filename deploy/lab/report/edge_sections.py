"""The part of a backtest's page that is about edges: their lives, what was locked in, slippage, waterfalls, declines. Pure.

Decides what is shown, never what it comes to (`analysis.py`) nor what it means in words (`words.py`).
"""

from crossbook.domain.money import MICROS
from deploy.lab.analysis.analysis import Analysis
from deploy.lab.analysis.edges import Episode, Waterfall
from deploy.lab.analysis.pnl import truncated
from deploy.lab.outcome.outcome import Outcome
from deploy.lab.report.drawing.cells import PACKAGES
from deploy.lab.report.drawing.charts import Bar, Rule, Stage, bar_chart, histogram, scatter_chart, waterfall_chart
from deploy.lab.report.drawing.layout import Cell, Chart, Section, Table, Text
from deploy.lab.report.words import FATES, cents, contracts, dollars, moment, percent, plural, span, why_no_trade

#: Episodes are many; a page shows the best.
EPISODES_SHOWN = 100
#: Reasons of declines that get a bar.
BARS_SHOWN = 20


def edges_section(analysis: Analysis) -> Section:
    """How many edges were quoted, how long they lived, what became of them."""
    found = analysis.episodes
    if not found:
        return Section("edges", "Edges and how long they live", [])
    lives = [episode.life_ns for episode in found if episode.ending == "closed"]
    stretch = next((row for row in analysis.latencies if row.name == "plan → first fill"), None)
    rules = [Rule(stretch.ns.p50, "median way to a first fill")] if stretch is not None and stretch.ns.p50 > 0 else []
    total = len(found)
    bars = [
        Bar(FATES[fate], count, f"{count:,} ({percent(count / total)})")
        for fate, count in analysis.fates.items()
        if count
    ]
    life = analysis.life_ns
    words = f"{plural(total, 'edge')} were quoted with net > 0."
    if life is not None:
        words += f" Half of those that ended by price lived {span(life.p50)} or less, 95 % {span(life.p95)} or less."
    best = sorted(found, key=lambda one: (-one.net_per_contract_micros, one.ts_opened_ns))
    return Section(
        "edges",
        "Edges and how long they live",
        [
            Text(words),
            Chart(
                [
                    histogram(
                        [float(life) for life in lives],
                        title="Life of an edge",
                        description="Episodes that ended because net fell to zero; equal ratios a bin.",
                        x_unit="ns",
                        log=True,
                        x_rules=rules,
                    ),
                    bar_chart(bars, title="What became of them"),
                ]
            ),
            Table(
                (
                    "opened",
                    "pair",
                    "package",
                    "fate",
                    "#life",
                    "ended by",
                    "#contracts",
                    "#net a contract",
                    "#to the threshold",
                    "#net",
                ),
                [_episode_cells(one) for one in best[:EPISODES_SHOWN]],
                f"The best {min(total, EPISODES_SHOWN):,} of {plural(total, 'edge')}",
                folded=True,
            ),
        ],
    )


def _episode_cells(episode: Episode) -> list[str | Cell]:
    return [
        moment(episode.ts_opened_ns),
        episode.pair_id,
        PACKAGES[episode.package],
        Cell(FATES[episode.fate], episode.why) if episode.fate != "declined" else Cell(f"declined: {episode.why}"),
        span(episode.life_ns),
        episode.reason or episode.ending,
        contracts(episode.quantity_micros),
        cents(episode.net_per_contract_micros),
        Cell("reached" if episode.distance_micros >= 0 else cents(-episode.distance_micros)),
        dollars(episode.net_micros),
    ]


def entry_section(analysis: Analysis) -> Section:
    """What intents promised beside what fills locked in."""
    held = [trade for trade in analysis.trades if trade.edge_realised_micros is not None]
    if not held:
        return Section("entry", "Entry edge against realised", [])
    dots = [
        (
            trade.edge_planned_micros / MICROS,
            (trade.edge_realised_micros or 0) / MICROS,
            f"{trade.pair_id}: planned {dollars(trade.edge_planned_micros)}, realised {dollars(trade.edge_realised_micros)}",
        )
        for trade in held
    ]
    totals = analysis.totals
    share = totals.edge_realised_micros / totals.edge_planned_micros if totals.edge_planned_micros else None
    return Section(
        "entry",
        "Entry edge against realised",
        [
            Text(
                f"Intents of the {plural(len(held), 'trade')} with both legs promised {dollars(totals.edge_planned_micros)}; fills locked in "
                f"{dollars(totals.edge_realised_micros)} ({percent(share)}), net of fees, friction and lock-up."
            ),
            Chart(
                [
                    scatter_chart(
                        dots,
                        title="Edge locked in against edge promised, a trade",
                        description="On the dashed line both are equal; below it the trade came out worse than its intent.",
                        x_unit="$",
                        y_unit="$",
                        x_label="promised by the intent",
                        y_label="locked in by the fills",
                        diagonal=True,
                        zero=True,
                    )
                ]
            ),
        ],
    )


def slippage_section(analysis: Analysis) -> Section:
    """What executions cost more than displayed."""
    legs = [leg for trade in analysis.trades for leg in trade.legs if leg.fills]
    if not legs:
        return Section("slippage", "Slippage", [])
    groups: dict[str, list[int]] = {}
    values = []
    for leg in legs:
        name = f"{leg.venue}, {leg.role or 'leg'}"
        groups.setdefault(name, []).append(leg.slippage_micros)
        if leg.quantity_micros:
            values.append(leg.slippage_micros / leg.quantity_micros * 100)
    # Drawn as what it did to the account, so that worse than planned points to the left like any loss.
    bars = [
        Bar(name, -sum(group) / MICROS, dollars(-sum(group), sign=True), f"{plural(len(group), 'leg')}")
        for name, group in sorted(groups.items())
    ]
    better, worse = sum(leg.slippage_micros < 0 for leg in legs), sum(leg.slippage_micros > 0 for leg in legs)
    return Section(
        "slippage",
        "Slippage",
        [
            Text(
                f"Against the prices displayed when the intent was made: {dollars(analysis.totals.slippage_micros)} in all, over "
                f"{plural(len(legs), 'leg')}: {worse:,} worse than planned, {better:,} better. Sales of an unwind count too."
            ),
            Chart(
                [
                    histogram(
                        values,
                        title="Slippage a contract",
                        description="Cents; right of zero is worse than planned.",
                        x_unit="¢",
                    ),
                    bar_chart(bars, title="Effect on the account by venue and role", signed=True),
                ]
            ),
        ],
    )


def waterfall_section(outcome: Outcome, analysis: Analysis) -> Section:
    """From gross to net, a contract; why nothing was traded where there is nothing to draw."""
    if not analysis.waterfalls:
        words = [] if analysis.counts.executed else [Text(why_no_trade(outcome, analysis))]
        return Section("waterfall", "Where the edge went", words)
    charts = [_waterfall_chart(one) for one in analysis.waterfalls]
    return Section(
        "waterfall",
        "Where the edge went",
        [
            Text(
                "From what the package pays more than it costs, down to what is left after the fees of both venues, friction and the "
                "return forgone until the payout; cents a contract, weighed by quantity."
            ),
            Chart(charts),
        ],
    )


def _waterfall_chart(one: Waterfall) -> str:
    def each(micros: int) -> int:
        return truncated(micros * MICROS, one.quantity_micros)

    stages = [Stage("gross", each(one.gross_micros) / 1e4, cents(each(one.gross_micros)), total=True)]
    for venue, fee in sorted(one.fees_micros.items()):
        stages.append(Stage(f"fee {venue}", -each(fee) / 1e4, cents(-each(fee))))
    stages.append(Stage("friction", -each(one.friction_micros) / 1e4, cents(-each(one.friction_micros))))
    stages.append(Stage("lock-up", -each(one.lockup_micros) / 1e4, cents(-each(one.lockup_micros))))
    stages.append(Stage("net", each(one.net_micros) / 1e4, cents(each(one.net_micros)), total=True))
    rule = None
    words = f"{one.count:,} of them, {contracts(one.quantity_micros)} contracts, {dollars(one.net_micros)} net."
    if one.threshold_micros is not None:
        short = one.threshold_micros - each(one.net_micros)
        rule = Rule(one.threshold_micros / 1e4, f"threshold {cents(one.threshold_micros)}")
        words += f" {cents(short)} short of the threshold." if short > 0 else " On average above the threshold."
    return waterfall_chart(stages, title=one.name[0].upper() + one.name[1:], description=words, rule=rule)


def declined_section(analysis: Analysis) -> Section:
    """What the risk gate refused, and why."""
    if not analysis.declines:
        return Section("declined", "Declined, and why", [])
    bars = [
        Bar(
            one.reason or "(no reason)",
            one.trades,
            f"{one.trades:,} ({dollars(one.edge_micros)})",
            f"{one.reason}: {one.trades:,}",
        )
        for one in analysis.declines[:BARS_SHOWN]
    ]
    return Section(
        "declined",
        "Declined, and why",
        [
            Chart(
                [
                    bar_chart(
                        bars,
                        title="Intents declined by the risk gate",
                        description="In brackets the net edge that they promised.",
                    )
                ]
            )
        ],
    )


def counters_section(analysis: Analysis) -> Section:
    """Decide's counters of every package."""
    if not analysis.packages:
        return Section("counters", "Every package", [])
    rows = [
        (
            one.pair_id,
            PACKAGES[one.package],
            f"{one.evaluations:,}",
            f"{one.gross_positive:,}",
            f"{one.net_positive:,}",
            f"{one.at_threshold:,}",
            f"{one.episodes:,}",
            cents(one.net_best_micros),
        )
        for one in analysis.packages
    ]
    columns = ("pair", "package", "#evaluations", "#gross > 0", "#net > 0", "#at threshold", "#episodes", "#best net")
    return Section("counters", "Every package", [Table(columns, rows)])
