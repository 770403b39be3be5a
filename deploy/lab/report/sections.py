"""The report of a backtest as a page: which figures stand where, in the order in which a careful reader asks for them. Pure.

Decides what is shown, never what it comes to (`analysis.py`) nor what it means in words (`words.py`). Without trades the page says
why and shows where the money of the edges went; sections that would be empty are left out.
"""

from collections.abc import Sequence

from crossbook.domain.money import MICROS
from deploy.lab.analysis.analysis import Analysis, Slice
from deploy.lab.analysis.trades import TradeRow
from deploy.lab.outcome.outcome import Outcome
from deploy.lab.report.drawing.axes import MINUS
from deploy.lab.report.drawing.cells import PACKAGES, money_cell, tone
from deploy.lab.report.drawing.charts import (
    Bar,
    Series,
    bar_chart,
    histogram,
    line_chart,
    scatter_chart,
)
from deploy.lab.report.drawing.layout import Block, Cell, Chart, Fact, Facts, Notes, Page, Section, Table, Text, Tile
from deploy.lab.report.edge_sections import (
    counters_section,
    declined_section,
    edges_section,
    entry_section,
    slippage_section,
    waterfall_section,
)
from deploy.lab.report.words import (
    cents,
    contracts,
    dollars,
    moment,
    percent,
    plural,
    span,
    surprises,
    verdict,
)

DAY_NS = 86_400_000_000_000
BARS_SHOWN = 20


def report_page(outcome: Outcome, analysis: Analysis) -> Page:
    """The whole page."""
    traded = bool(analysis.counts.executed)
    about = _surprises(outcome, analysis)
    waterfall = waterfall_section(outcome, analysis)
    if traded:
        middle = [
            _equity(analysis),
            _trades(outcome, analysis),
            edges_section(analysis),
            entry_section(analysis),
            slippage_section(analysis),
            _breakdowns(analysis),
            _latency(analysis),
            _capital(analysis),
            waterfall,
            declined_section(analysis),
        ]
    else:
        middle = [
            waterfall,
            declined_section(analysis),
            edges_section(analysis),
            _trades(outcome, analysis),
            _latency(analysis),
        ]
    sections = [
        about,
        _assumptions(outcome),
        *middle,
        counters_section(analysis),
        _comparisons(outcome),
        _origin(outcome),
    ]
    stretch = span(outcome.ts_last_ns - outcome.ts_first_ns)
    return Page(
        title=title_of(outcome),
        subtitle=f"{outcome.source} · {moment(outcome.ts_first_ns)} to {moment(outcome.ts_last_ns)} UTC ({stretch}) · "
        f"{outcome.events:,} events · {outcome.positions} positions",
        verdict=verdict(outcome, analysis),
        tiles=_tiles(outcome, analysis),
        sections=[section for section in sections if section.blocks],
        foot="Money is counted in integer micros of a dollar; this page rounds it. Times are stream time in UTC.",
    )


def _tiles(outcome: Outcome, analysis: Analysis) -> list[Tile]:
    counts, totals = analysis.counts, analysis.totals
    evaluations = sum(one.evaluations for one in analysis.packages)
    edges = Tile("Edges quoted", f"{len(analysis.episodes):,}", f"in {evaluations:,} evaluations")
    if not counts.executed:
        bests = [one.net_best_micros for one in analysis.packages if one.net_best_micros is not None]
        threshold = outcome.settings.get("decide.min_edge_micros")
        return [
            Tile("Net PnL", dollars(0)),
            Tile("Trades", "0", f"of {plural(counts.intents, 'intent')}"),
            edges,
            Tile(
                "Best net edge",
                cents(max(bests)) if bests else "–",
                f"threshold {cents(threshold)}" if isinstance(threshold, int) else "a contract",
            ),
        ]
    luck = analysis.sharpe
    fall = analysis.drawdown
    return [
        Tile(
            "Locked in",
            dollars(totals.locked_micros, sign=True),
            f"after fees {dollars(totals.fee_micros)}",
            tone(totals.locked_micros),
        ),
        Tile(
            "At mark",
            dollars(totals.marked_micros, sign=True),
            f"{contracts(totals.unmatched_contracts_micros)} contracts unmatched",
        ),
        Tile("Both legs held", f"{counts.hedged:,}", f"of {plural(counts.intents, 'intent')}"),
        Tile(
            "Contracts hedged",
            contracts(totals.hedged_contracts_micros),
            f"{contracts(totals.unwound_contracts_micros)} sold again, {dollars(totals.unwound_micros, sign=True)}",
        ),
        Tile("Hit rate", percent(analysis.hit_rate), f"of {plural(counts.executed, 'trade')}"),
        Tile(
            "Sharpe, a bet",
            "–" if luck is None else f"{luck.ratio:.2f} ± {luck.error:.2f}".replace("-", MINUS),
            plural(analysis.independent_trades, "independent bet"),
        ),
        Tile("Worst drawdown", dollars(0 if fall is None else fall.depth_micros)),
        Tile("A year on capital", percent(analysis.capital.annualised, 1), "simple, held to payout"),
        edges,
    ]


def _surprises(outcome: Outcome, analysis: Analysis) -> Section:
    notes = surprises(analysis)
    warnings = [Text(warning, "warn") for warning in outcome.warnings]
    blocks: list[Block] = [*warnings]
    if notes:
        blocks.append(Notes(notes))
    return Section("surprises", "Before you believe it", blocks)


def _assumptions(outcome: Outcome) -> Section:
    blocks: list[Block] = []
    if all(model.name != "live" for model in outcome.models):
        words = (
            "Every fill here is simulated: decide, the risk gate, the hedge machine and the ledger are the live code, the venues are not. "
            "A real account differs by what these models leave out."
        )
        blocks.append(Text(words))
    if outcome.models:
        blocks.append(
            Facts([Fact(model.name.replace("_", " "), model.value, model.meaning) for model in outcome.models])
        )
    if outcome.changed:
        blocks.append(
            Facts(
                [Fact(name, _value(value)) for name, value in outcome.changed.items()], "Settings changed for this run"
            )
        )
    every = [(name, _value(value)) for name, value in sorted(outcome.settings.items())]
    if every:
        blocks.append(Table(("setting", "value"), every, f"All {len(every):,} settings in force", folded=True))
    return Section("assumptions", "Assumptions", blocks)


def _value(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _equity(analysis: Analysis) -> Section:
    points = [(float(point.ts_ns), point.equity_micros / MICROS) for point in analysis.equity]
    falls = [(float(point.ts_ns), -point.drawdown_micros / MICROS) for point in analysis.equity]
    fall = analysis.drawdown
    words = "Equity never fell below an earlier high."
    if fall is not None:
        back = (
            "not recovered within the range"
            if fall.ts_recovered_ns is None
            else f"recovered at {moment(fall.ts_recovered_ns)}"
        )
        words = f"The deepest fall was {dollars(fall.depth_micros)}, from {moment(fall.ts_peak_ns)} to {moment(fall.ts_trough_ns)} UTC, {back}."
    return Section(
        "equity",
        "Equity and drawdown",
        [
            Chart(
                [
                    line_chart(
                        [Series("equity", points), Series("locked in by fills", _locked(analysis))],
                        title="Equity",
                        description="Cash less fees, matched contracts at their worst payout, unmatched ones at what they would bring; beside it what hedged trades locked in.",
                        y_unit="$",
                        step=True,
                        zero=True,
                    ),
                    line_chart(
                        [Series("drawdown", falls)],
                        title="Drawdown",
                        description="Distance to the highest equity so far.",
                        y_unit="$",
                        step=True,
                        fill=True,
                    ),
                ]
            ),
            Text(words),
        ],
    )


def _locked(analysis: Analysis) -> list[tuple[float, float | None]]:
    """Worst payouts less costs and fees of the trades whose legs are both held, added up."""
    held = sorted(
        (t.ts_hedged_ns, t.locked_micros)
        for t in analysis.trades
        if t.ts_hedged_ns and t.edge_realised_micros is not None
    )
    total = 0
    points: list[tuple[float, float | None]] = [(float(analysis.equity[0].ts_ns), 0.0)] if analysis.equity else []
    for ts_ns, locked in held:
        total += locked
        points.append((float(ts_ns), total / MICROS))
    return [*points, (float(analysis.equity[-1].ts_ns), total / MICROS)] if analysis.equity else points


def _trades(outcome: Outcome, analysis: Analysis) -> Section:
    short = outcome.ts_last_ns - outcome.ts_first_ns < DAY_NS
    shown = [trade for trade in analysis.trades if trade.state != "declined"]
    if not shown:
        return Section("trades", "Trades", [])
    counts = analysis.counts
    parts = [
        (counts.hedged, "with both legs held"),
        (counts.unwound, "unwound"),
        (counts.unfilled, "not filled"),
        (counts.stuck, "stuck"),
        (counts.open, "still open"),
        (counts.unseen, "not reached before the range ends"),
        (counts.declined, "declined"),
    ]
    words = ", ".join(f"{count:,} {what}" for count, what in parts if count)
    columns = (
        "time", "pair", "package", "category", "state", "#hedged", "#sold again", "#leg a", "#leg b", "#edge planned", "#edge realised",
        "#locked in", "#at mark", "#slippage", "#fees", "#capital", "#locked for", "#a year",
    )  # fmt: skip
    rows = [_trade_cells(outcome, trade, short=short) for trade in shown]
    return Section(
        "trades",
        "Trades",
        [
            Text(
                f"{plural(counts.intents, 'intent')}: {words}. Prices are averages paid, in the terms of the outcome bought."
            ),
            Table(columns, rows),
        ],
    )


def _trade_cells(outcome: Outcome, trade: TradeRow, *, short: bool) -> list[str | Cell]:
    legs = [
        Cell(
            cents(leg.price_average_micros),
            f"{leg.venue} {leg.instrument_id}: {leg.outcome} {contracts(leg.quantity_micros)} in {plural(leg.fills, 'fill')}, "
            f"planned {cents(leg.price_planned_micros)}{', ' + leg.role if leg.role else ''}",
        )
        for leg in trade.legs
    ]
    titles = [
        outcome.instruments[leg.instrument_id].title for leg in trade.legs if leg.instrument_id in outcome.instruments
    ]
    return [
        Cell(moment(trade.ts_opened_ns or trade.ts_intent_ns, short=short), f"intent {trade.intent_id}"),
        Cell(trade.pair_id, " / ".join(titles)),
        Cell(PACKAGES[trade.package], " + ".join(f"{leg.outcome} {leg.venue}" for leg in trade.legs)),
        trade.category,
        Cell(
            f"{trade.state}: {trade.reason}" if trade.reason else trade.state,
            " → ".join(trade.states),
            "neg" if trade.state == "stuck" else "",
        ),
        Cell(
            contracts(trade.matched_micros),
            f"planned {contracts(trade.quantity_planned_micros)}, unmatched {contracts(trade.unmatched_micros)}",
        ),
        Cell(
            contracts(trade.unwound_contracts_micros) if trade.unwound_contracts_micros else "",
            f"selling made {dollars(trade.unwound_micros, sign=True)}" if trade.unwound_contracts_micros else "",
        ),
        *legs,
        money_cell(trade.edge_planned_micros),
        money_cell(trade.edge_realised_micros),
        money_cell(trade.locked_micros),
        money_cell(trade.marked_micros),
        Cell(dollars(trade.slippage_micros, sign=True)),
        Cell(dollars(trade.fee_micros)),
        Cell(dollars(trade.capital_micros)),
        span(trade.lockup_ns),
        percent(trade.annualised),
    ]


def _breakdowns(analysis: Analysis) -> Section:
    parts = (
        ("PnL by pair", analysis.by_pair),
        ("PnL by venues", analysis.by_venue),
        ("PnL by category", analysis.by_category),
        ("PnL by hour (UTC) of the first fill", analysis.by_hour),
    )
    tables: list[Block] = [
        Table(
            (title.partition(" (")[0].removeprefix("PnL by "), "#trades", "#gross", "#fees", "#net"),
            [
                (
                    one.key,
                    f"{one.trades:,}",
                    money_cell(one.gross_micros),
                    Cell(dollars(one.fee_micros)),
                    money_cell(one.net_micros),
                )
                for one in slices
            ],
            f"{title}, as a table",
            folded=True,
        )
        for title, slices in parts
    ]
    charts = [
        bar_chart(_slice_bars(slices), title=title, description=_beyond(slices), signed=True) for title, slices in parts
    ]
    words = "A hedged trade pays at one of its venues, whichever that will be: its PnL belongs to both together."
    return Section("breakdowns", "Where it came from", [Chart(charts), Text(words, "hint"), *tables])


def _slice_bars(slices: Sequence[Slice]) -> list[Bar]:
    return [
        Bar(
            one.key,
            one.net_micros / MICROS,
            dollars(one.net_micros, sign=True),
            f"{one.key}: {plural(one.trades, 'trade')}",
        )
        for one in slices[:BARS_SHOWN]
    ]


def _beyond(slices: Sequence[Slice]) -> str:
    rest = slices[BARS_SHOWN:]
    return (
        f"The {BARS_SHOWN} largest; {len(rest):,} more come to {dollars(sum(one.net_micros for one in rest), sign=True)}."
        if rest
        else ""
    )


def _latency(analysis: Analysis) -> Section:
    rows = [
        (
            row.name,
            row.clock,
            f"{row.ns.n:,}",
            span(row.ns.p50),
            span(row.ns.p95),
            span(row.ns.p99),
            span(row.ns.maximum),
        )
        for row in analysis.latencies
    ]
    if not rows:
        return Section("latency", "Latency", [])
    words = "Stream time is the time of the market and what the models add; wall time is what our own code took, measured only in a live run."
    return Section(
        "latency",
        "Latency",
        [Text(words), Table(("stretch", "clock", "#n", "#p50", "#p95", "#p99", "#max"), rows)],
    )


def _capital(analysis: Analysis) -> Section:
    capital = analysis.capital
    if not capital.locked_micros:
        return Section("capital", "Capital and time", [])
    words = f"{dollars(capital.locked_micros)} were paid for holdings, at most {dollars(capital.peak_micros)} at once."
    blocks: list[Block] = []
    if capital.lockup_ns is None:
        words += " No payout date is known, so no return over time is stated."
    else:
        words += (
            f" Half of the trades wait {span(capital.lockup_ns.p50)} or less for their payout. Weighed by money and time the locked-in edges "
            f"return {percent(capital.annualised, 1)} a year, simple interest, if the same could be had again and again."
        )
        dated = [trade for trade in analysis.trades if trade.annualised is not None and trade.lockup_ns]
        blocks.append(
            Chart(
                [
                    histogram(
                        [float(trade.lockup_ns or 0) for trade in dated],
                        title="Time until the payout",
                        x_unit="ns",
                        log=True,
                    ),
                    scatter_chart(
                        [
                            (
                                (trade.lockup_ns or 0) / DAY_NS,
                                100 * (trade.annualised or 0.0) * (trade.lockup_ns or 0) / DAY_NS / 365,
                                f"{trade.pair_id}: {percent(trade.annualised)} a year over {span(trade.lockup_ns)}",
                            )
                            for trade in dated
                        ],
                        title="Return on capital a trade",
                        x_unit=" d",
                        y_unit=" %",
                        x_label="days until the payout",
                        y_label="return on what was paid",
                        zero=True,
                    ),
                ]
            )
        )
    return Section("capital", "Capital and time", [Text(words), *blocks])


def _comparisons(outcome: Outcome) -> Section:
    if not outcome.comparisons:
        return Section("live", "Against the live run", [])
    rows = [
        (
            one.topic,
            f"{one.equal:,}",
            Cell(f"{one.different:,}", tone="neg" if one.different else ""),
            Cell(f"{one.missing:,}", tone="neg" if one.missing else ""),
            Cell(f"{one.extra:,}", tone="neg" if one.extra else ""),
            one.first_difference,
        )
        for one in outcome.comparisons
    ]
    apart = sum(one.different + one.missing + one.extra for one in outcome.comparisons)
    words = "Records of this run beside those that the live run wrote to the same log: "
    words += "byte for byte the same." if not apart else f"{plural(apart, 'record differs', 'records differ')}."
    if late := max(one.late for one in outcome.comparisons):
        words += f" {plural(late, 'trade is', 'trades are')} set apart: the live executor was late there, a backtest never is."
    return Section(
        "live",
        "Against the live run",
        [Text(words), Table(("topic", "#equal", "#different", "#missing", "#extra", "first difference"), rows)],
    )


def _origin(outcome: Outcome) -> Section:
    facts = [
        Fact("command", command_of(outcome), code=True),
        Fact("log", outcome.log_id, code=True),
        Fact("code of decide", outcome.code_digest, code=True),
        Fact("seed", str(outcome.seed)),
        Fact("took", f"{outcome.elapsed_s:.1f} s, {outcome.rss_mb:.0f} MB, {_rate(outcome)}"),
    ]
    return Section("again", "Run it again", [Facts(facts)])


def title_of(outcome: Outcome) -> str:
    """Name of the run; one that was given none is called by what it was run on."""
    return f"Backtest of {outcome.source}" if outcome.name in {"", "backtest"} else outcome.name


def command_of(outcome: Outcome) -> str:
    """The command that repeats the backtest over the whole of its log; a part of it also needs --from and --to."""
    kind, _, place = outcome.source.partition(" ")
    name = place.strip("'\"")
    before, where = {
        "archive": ("", f" --archive {name}"),
        "prefix": (f"CROSSBOOK_KAFKA__PREFIX={name} ", ""),
    }.get(kind, ("", ""))
    # The seed stands among the changes when it was given.
    changes = "".join(f" --set {name}={value}" for name, value in sorted(outcome.changed.items()) if name != "seed")
    return f"{before}crossbook backtest{where} --positions {outcome.positions} --seed {outcome.seed}{changes}"


def _rate(outcome: Outcome) -> str:
    return f"{outcome.events / outcome.elapsed_s:,.0f} events/s" if outcome.elapsed_s > 0 else "no time measured"
