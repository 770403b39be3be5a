"""What a run looks like while it goes on: a live terminal page, or plain lines where there is no terminal.

Reads ClickHouse and Kafka like anybody else would; it is given no figure by the stages.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from crossbook.domain.errors import StageError
from crossbook.domain.money import format_rounded
from crossbook.runtime.settings import Settings
from deploy.demo.summary import Summary
from deploy.operate.lag import LagRow, lag_rows
from projections.clickhouse import queries

GOOD, BAD, DIM = "green", "red", "bright_black"
OPEN = ("opened", "changed")
#: What a package buys, in the narrow form of a table.
PACKAGES = {"yes_a_no_b": "Ya+Nb", "no_a_yes_b": "Na+Yb", "yes_a_yes_b": "Ya+Yb", "no_a_no_b": "Na+Nb"}
TRADE_STYLES = {"hedged": GOOD, "closed": GOOD, "flat": "yellow", "stuck": BAD, "declined": DIM}


class Page(NamedTuple):
    """Everything that one refresh shows."""

    elapsed_s: float
    seconds: float
    source: str
    market: queries.MarketCounts
    totals: queries.EdgeTotals
    pairs: tuple[queries.PairBoard, ...]
    trades: tuple[queries.TradeRow, ...]
    declined: tuple[queries.Declined, ...]
    counts: queries.TradeCounts
    pnl: queries.PnlTotals
    latencies: dict[str, queries.Latency]
    lag: Sequence[LagRow]


def read_page(client: Any, database: str, settings: Settings, *, elapsed_s: float, seconds: float, source: str) -> Page:
    """Read one refresh."""
    try:
        lags: Sequence[LagRow] = lag_rows(settings.kafka, sample_s=0.0)
    except StageError:
        lags = ()
    return Page(
        elapsed_s,
        seconds,
        source,
        queries.market_counts(client, database),
        queries.edge_totals(client, database),
        queries.pair_board(client, database),
        queries.recent_trades(client, database, 8),
        queries.declined(client, database),
        queries.trade_counts(client, database),
        queries.pnl_totals(client, database),
        queries.latencies(client, database),
        lags,
    )


def cents(micros: int | None, places: int = 2) -> str:
    """A price or an amount a contract in cents."""
    return "–" if micros is None else format_rounded(micros * 100, places)


def dollars(micros: int | None, places: int = 2) -> str:
    """An amount in dollars."""
    return "–" if micros is None else format_rounded(micros, places)


def render_page(page: Page) -> RenderableType:
    """The live page."""
    head = Text.assemble(
        ("crossbook ", "bold"),
        f"{page.source}   {page.elapsed_s:.0f}/{page.seconds:.0f} s   "
        if page.seconds
        else f"{page.source}   {page.elapsed_s:.0f} s   ",
        f"{page.market.updates:,} updates   {page.totals.evaluations:,} evaluations   ",
        f"{page.totals.edges:,} edges, {page.totals.edges_at_threshold:,} at the threshold",
    )
    return Group(
        head,
        Text("\ntops (a Polymarket, b Kalshi) and edges, cents a contract", style="bold"),
        _pairs_table(page.pairs),
        Text("\ntrades", style="bold"),
        _trades_table(page.trades),
        Text(),
        _foot(page),
    )


def _pairs_table(pairs: Sequence[queries.PairBoard]) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("pair", no_wrap=True, min_width=10, overflow="ellipsis", ratio=1)
    for name in ("a bid/ask", "b bid/ask"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("best", no_wrap=True)
    for name in ("gross", "fees", "frict", "lock", "net", "to go", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    for pair in pairs:
        tops = [
            f"{cents(top.bid_price_micros, 1)}/{cents(top.ask_price_micros, 1)}" for top in (pair.top_a, pair.top_b)
        ]
        usable = pair.top_a.valid and pair.top_a.fresh and pair.top_b.valid and pair.top_b.fresh
        live = [package for package in pair.packages if package.quantity_micros > 0]
        best = max(live, key=lambda package: (package.state in OPEN, package.net_per_contract_micros), default=None)
        if best is None:
            table.add_row(pair.pair_id, *tops, "none yet", *[""] * 7, style="" if usable else DIM)
            continue
        net = Text(
            cents(best.net_per_contract_micros), style=GOOD if best.state in OPEN and best.distance_micros >= 0 else ""
        )
        table.add_row(
            pair.pair_id,
            *tops,
            f"{PACKAGES[best.package]} {best.state}",
            *(cents(value) for value in _waterfall(best)),
            net,
            cents(max(0, -best.distance_micros)),
            dollars(best.quantity_micros, 0),
            style="" if best.state in OPEN and usable else DIM,
        )
    return table


def _waterfall(edge: queries.Waterfall) -> list[int]:
    """Gross, fees, friction and lock-up, micros a contract."""
    amounts = (edge.gross_micros, edge.fee_a_micros + edge.fee_b_micros, edge.friction_micros, edge.lockup_micros)
    return [amount * 1_000_000 // edge.quantity_micros for amount in amounts]


def _trades_table(trades: Sequence[queries.TradeRow]) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("pair", no_wrap=True, min_width=10, overflow="ellipsis", ratio=1)
    for name in ("leg a", "leg b", "residual", "locked $"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True, overflow="ellipsis", ratio=1)
    for trade in trades:
        legs = [
            f"{outcome} {dollars(quantity, 2)} @ {cents(price, 1)}" if price else "–"
            for outcome, quantity, price in (
                (trade.outcome_a, trade.quantity_a_micros, trade.price_a_micros),
                (trade.outcome_b, trade.quantity_b_micros, trade.price_b_micros),
            )
        ]
        state = Text(
            trade.state + (f" ({trade.reason})" if trade.reason else ""), style=TRADE_STYLES.get(trade.state, "cyan")
        )
        table.add_row(trade.pair_id, *legs, dollars(trade.residual_micros, 2), dollars(trade.locked_micros), state)
    if not trades:
        table.add_row(Text("none yet", style=DIM))
    return table


def _foot(page: Page) -> Group:
    counts, pnl = page.counts, page.pnl
    behind = max(page.lag, key=lambda row: row.lag_seconds, default=None)
    lines = [
        (
            f"trades   {counts.hedged} hedged, {counts.unwound} unwound, {counts.unfilled} unfilled, {counts.declined} declined, "
            f"{counts.stuck} stuck, {counts.open} open; {counts.fills} fills"
        ),
        f"PnL      locked in ${dollars(pnl.locked)} after fees ${dollars(pnl.fees)} (of it unwinding ${dollars(pnl.unwound)}); at mark ${dollars(pnl.marked)}",
        "latency  "
        + (", ".join(_latency(name, value) for name, value in sorted(page.latencies.items())) or "none yet"),
        "lag      "
        + (
            "none"
            if behind is None or behind.lag_seconds == 0
            else f"{behind.group} on {behind.topic}: {behind.lag_messages} records, {behind.lag_seconds:.2f} s"
        ),
    ]
    if page.declined:
        lines.append("declined " + ", ".join(f"{row.reason} {row.trades}" for row in page.declined[:4]))
    return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))


def _latency(name: str, figures: queries.Latency) -> str:
    return f"{name} {figures.p50:.1f}/{figures.p99:.1f} ms p50/p99 (n {figures.n})"


def plain_line(page: Page) -> str:
    """One refresh as one line, for logs and pipes."""
    counts = page.counts
    return (
        f"{page.elapsed_s:6.1f} s  updates {page.market.updates}  evaluations {page.totals.evaluations}  "
        f"at threshold {page.totals.edges_at_threshold}  hedged {counts.hedged}  unwound {counts.unwound}  declined {counts.declined}  "
        f"stuck {counts.stuck}  fills {counts.fills}  locked in ${dollars(page.pnl.locked)}  at mark ${dollars(page.pnl.marked)}"
    )


def render_summary(summary: Summary, best: Sequence[queries.BestEdge], min_edge_micros: int) -> RenderableType:
    """The summary as two columns, and the waterfall of the best edges seen."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    trades, pnl = summary.trades, summary.pnl_micros
    table.add_row("log", f"{summary.updates:,} book updates")
    table.add_row(
        "edges",
        f"{summary.evaluations:,} evaluations, {summary.gross_positive:,} gross > 0, {summary.net_positive:,} net > 0 in "
        f"{summary.edges:,} episodes; {summary.edges_at_threshold:,} at ≥ {cents(min_edge_micros)}¢; best net {cents(summary.best_net_micros, 4)}¢",
    )
    table.add_row(
        "trades", f"{summary.intents:,} intents: " + ", ".join(f"{count} {name}" for name, count in trades.items())
    )
    contracts = summary.contracts_micros
    table.add_row("contracts", ", ".join(f"{dollars(quantity, 2)} {name}" for name, quantity in contracts.items()))
    others = ", ".join(f"{count} {reason}" for reason, count in summary.declines.items() if reason != "late")
    table.add_row("declined", f"{summary.declines.get('late', 0)} seen too late" + (f"; {others}" if others else ""))
    if summary.venue_holds:
        table.add_row("held venues", "; ".join(map(_hold, summary.venue_holds)))
    table.add_row(
        "fills",
        f"{summary.fills:,}, {summary.partial_fills:,} orders filled in part; largest residual {dollars(summary.residual_contracts_micros, 6)} contracts",
    )
    table.add_row(
        "PnL",
        f"locked in ${dollars(pnl['locked'])} after fees ${dollars(pnl['fees'])} (of it unwinding ${dollars(pnl['unwound'])}); "
        f"at mark ${dollars(pnl['marked'])}",
    )
    if summary.planted["edges"]:
        planted = summary.planted
        table.add_row(
            "planted", f"{planted['found']} of {planted['edges']} planted edges found, {planted['false']} false"
        )
    for stage, figures in sorted(summary.latency_ms.items()):
        table.add_row(
            stage,
            f"p50 {figures['p50']:.1f}  p95 {figures['p95']:.1f}  p99 {figures['p99']:.1f}  max {figures['max']:.1f} ms  (n {figures['n']:.0f})",
        )
    table.add_row("lag", f"{summary.lag['messages']:.0f} records, {summary.lag['seconds']:.2f} s")
    verified = summary.verified
    table.add_row(
        "verified",
        Text(
            f"{verified['decisions']:,} decisions and {verified['executions']:,} executions folded again: {verified['mismatches']} mismatches",
            style=BAD if verified["mismatches"] else GOOD,
        ),
    )
    if summary.first_hedged_fill_s is not None:
        table.add_row("first hedge", f"{summary.first_hedged_fill_s:.1f} s after the start")
    return Group(table, _best_table(best, min_edge_micros)) if best else table


def _hold(hold: Mapping[str, Any]) -> str:
    """A venue that took no new trade, and why."""
    if hold["state"] == "breaker":
        return f"{hold['venue']} {hold['held_ns'] / 1e9:.1f} s by its breaker"
    return f"{hold['venue']} by {hold['open']} stuck, until resumed"


def _best_table(best: Sequence[queries.BestEdge], min_edge_micros: int) -> Group:
    table = Table(box=None, pad_edge=False)
    table.add_column("pair", no_wrap=True, overflow="ellipsis")
    table.add_column("buys", no_wrap=True)
    for name in ("size", "gross", "fees", "frict", "lock", "net", "to go"):
        table.add_column(name, justify="right", no_wrap=True)
    for pair_id, edge in best[:8]:
        table.add_row(
            pair_id,
            PACKAGES[edge.package],
            dollars(edge.quantity_micros, 0),
            *(cents(value) for value in _waterfall(edge)),
            cents(edge.net_per_contract_micros, 4),
            cents(max(0, min_edge_micros - edge.net_per_contract_micros)),
        )
    return Group(Text("best edge of each package: the waterfall, cents a contract", style="bold"), table)
