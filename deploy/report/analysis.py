"""Everything that a report says in figures, derived from an Outcome and from nothing else. Pure.

Decides the figures, not the words (`words.py`) and not the page (`layout.py`). Money is int micros, times are stream time in Unix
ns, statistics are floats. The definitions of PnL, edge and slippage are those of the live views (`projections/sql/views.sql`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from deploy.backtest.outcome import Outcome
from deploy.report.distribution import Distribution, Sharpe, distribution, sharpe
from deploy.report.edges import (
    Episode,
    PackageCounts,
    Waterfall,
    clusters,
    episodes,
    fates,
    package_counts,
    waterfalls,
)
from deploy.report.equity import Drawdown, EquityPoint, deepest, equity_curve
from deploy.report.latency import LatencyRow, latency_rows
from deploy.report.pnl import PnlLeg, final_marks, pnl_legs, standing_fills
from deploy.report.thinning import thinned
from deploy.report.trades import HEDGED, UNSEEN, YEAR_NS, TradeRow, trade_rows

#: Points of the equity curve that are kept; one a second for five hours. The page draws fewer.
EQUITY_POINTS_MAX = 20_000
NS_PER_S = 1_000_000_000


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """PnL of everything, micros: net = gross - fees = realised + unrealised. `unpriced` holdings are valued at cost."""

    gross_micros: int
    fee_micros: int
    net_micros: int
    realised_micros: int
    unrealised_micros: int
    slippage_micros: int
    edge_planned_micros: int
    edge_realised_micros: int
    unpriced: int


class TradeCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Intents by what came of them. `unwound` is flat after a fill, `unfilled` flat without one, `open` still at work."""

    intents: int
    hedged: int
    unwound: int
    unfilled: int
    declined: int
    stuck: int
    open: int
    unseen: int
    executed: int
    fills: int


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """PnL of one part of a breakdown, micros."""

    key: str
    trades: int
    gross_micros: int
    fee_micros: int
    net_micros: int


class Decline(msgspec.Struct, frozen=True, kw_only=True):
    """Intents declined for one reason, and the net edge that they promised."""

    reason: str
    trades: int
    edge_micros: int


class Capital(msgspec.Struct, frozen=True, kw_only=True):
    """What was paid for holdings and for how long. `annualised` weighs each trade by capital × time; simple interest.

    `peak_micros` is the most that was paid out at once and not yet paid back within the range.
    """

    locked_micros: int
    peak_micros: int
    trades_with_payout_time: int
    lockup_ns: Distribution | None
    annualised: float | None


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one backtest (or of a live log read as one)."""

    totals: Totals
    counts: TradeCounts
    trades: tuple[TradeRow, ...]
    equity: tuple[EquityPoint, ...]
    equity_points: int
    drawdown: Drawdown | None
    episodes: tuple[Episode, ...]
    fates: dict[str, int]
    life_ns: Distribution | None
    hit_rate: float | None
    sharpe: Sharpe | None
    independent_trades: int
    by_pair: tuple[Slice, ...]
    by_venue: tuple[Slice, ...]
    by_category: tuple[Slice, ...]
    by_hour: tuple[Slice, ...]
    latencies: tuple[LatencyRow, ...]
    capital: Capital
    waterfalls: tuple[Waterfall, ...]
    declines: tuple[Decline, ...]
    packages: tuple[PackageCounts, ...]
    marks_micros: dict[str, int]


def analyse(outcome: Outcome) -> Analysis:
    """Derive every figure of an outcome."""
    fills = standing_fills(outcome)
    marks = final_marks(outcome.marks, outcome.settled)
    legs = pnl_legs(fills, marks, outcome.settled)
    trades = trade_rows(outcome, fills, legs)
    curve = equity_curve(outcome)
    found = episodes(outcome, trades)
    executed = [trade for trade in trades if trade.filled]
    bet_of = clusters(trades, found, outcome.settings)
    bets: dict[int, int] = defaultdict(int)
    for trade in executed:
        bets[bet_of[trade.trade_id]] += trade.net_micros
    hour = {trade.trade_id: hour_of(trade.ts_first_fill_ns or trade.ts_intent_ns) for trade in executed}
    return Analysis(
        totals=_totals(legs, trades),
        counts=_counts(trades),
        trades=trades,
        equity=thinned(curve, EQUITY_POINTS_MAX, lambda point: point.equity_micros),
        equity_points=len(curve),
        drawdown=deepest(curve),
        episodes=found,
        fates=dict(fates(found)),
        life_ns=distribution(episode.life_ns for episode in found if episode.ending == "closed"),
        hit_rate=sum(trade.net_micros > 0 for trade in executed) / len(executed) if executed else None,
        sharpe=sharpe(list(bets.values())),
        independent_trades=len(bets),
        by_pair=slices(legs, lambda leg: leg.pair_id),
        by_venue=slices(legs, lambda leg: leg.venue),
        by_category=slices(legs, lambda leg: leg.category or "(none)"),
        by_hour=slices(legs, lambda leg: hour.get(leg.trade_id, hour_of(leg.ts_first_fill_ns)), ordered=True),
        latencies=latency_rows(outcome, trades),
        capital=_capital(executed),
        waterfalls=waterfalls(outcome, found),
        declines=_declines(trades),
        packages=package_counts(outcome),
        marks_micros=dict(sorted(marks.items())),
    )


def hour_of(ts_ns: int) -> str:
    """Hour of the day in UTC, "00" to "23"."""
    return f"{datetime.fromtimestamp(ts_ns // NS_PER_S, UTC):%H}"


def slices(legs: Iterable[PnlLeg], key_of: Callable[[PnlLeg], str], *, ordered: bool = False) -> tuple[Slice, ...]:
    """PnL by a key; by key where `ordered`, else the largest effect first. The slices' sums are the totals."""
    groups: dict[str, list[PnlLeg]] = defaultdict(list)
    for leg in legs:
        groups[key_of(leg)].append(leg)
    made = [
        Slice(
            key=key,
            trades=len({leg.trade_id for leg in group}),
            gross_micros=sum(leg.gross_micros for leg in group),
            fee_micros=sum(leg.fee_micros for leg in group),
            net_micros=sum(leg.net_micros for leg in group),
        )
        for key, group in groups.items()
    ]
    made.sort(key=(lambda one: (0, one.key)) if ordered else (lambda one: (-abs(one.net_micros), one.key)))
    return tuple(made)


def _totals(legs: Sequence[PnlLeg], trades: Sequence[TradeRow]) -> Totals:
    return Totals(
        gross_micros=sum(leg.gross_micros for leg in legs),
        fee_micros=sum(leg.fee_micros for leg in legs),
        net_micros=sum(leg.net_micros for leg in legs),
        realised_micros=sum(leg.realised_micros for leg in legs),
        unrealised_micros=sum(leg.unrealised_micros for leg in legs),
        slippage_micros=sum(trade.slippage_micros for trade in trades),
        edge_planned_micros=sum(t.edge_planned_micros for t in trades if t.edge_realised_micros is not None),
        edge_realised_micros=sum(t.edge_realised_micros or 0 for t in trades),
        unpriced=sum(not leg.priced for leg in legs),
    )


def _counts(trades: Sequence[TradeRow]) -> TradeCounts:
    ended = HEDGED | {"flat", "declined", "stuck", UNSEEN}
    return TradeCounts(
        intents=len(trades),
        hedged=sum(trade.state in HEDGED for trade in trades),
        unwound=sum(trade.state == "flat" and trade.filled for trade in trades),
        unfilled=sum(trade.state == "flat" and not trade.filled for trade in trades),
        declined=sum(trade.state == "declined" for trade in trades),
        stuck=sum(trade.state == "stuck" for trade in trades),
        open=sum(trade.state not in ended for trade in trades),
        unseen=sum(trade.state == UNSEEN for trade in trades),
        executed=sum(trade.filled for trade in trades),
        fills=sum(len(trade.fills) for trade in trades),
    )


def _declines(trades: Iterable[TradeRow]) -> tuple[Decline, ...]:
    groups: dict[str, list[TradeRow]] = defaultdict(list)
    for trade in trades:
        if trade.state == "declined":
            groups[trade.reason].append(trade)
    made = [
        Decline(reason=reason, trades=len(group), edge_micros=sum(trade.edge_planned_micros for trade in group))
        for reason, group in groups.items()
    ]
    return tuple(sorted(made, key=lambda one: (-one.trades, one.reason)))


def _capital(executed: Sequence[TradeRow]) -> Capital:
    dated = [t for t in executed if t.lockup_ns and t.capital_micros > 0 and t.annualised is not None]
    # Weighted by capital × time, so that a cent locked for a second does not outweigh a dollar locked for a year.
    weight = sum(t.capital_micros * (t.lockup_ns or 0) for t in dated) / YEAR_NS
    gained = sum((t.annualised or 0.0) * t.capital_micros * (t.lockup_ns or 0) / YEAR_NS for t in dated)
    moves: list[tuple[int, int]] = []
    for trade in executed:
        if trade.capital_micros > 0 and trade.ts_hedged_ns is not None:
            moves.append((trade.ts_hedged_ns, trade.capital_micros))
            if trade.lockup_ns is not None:
                moves.append((trade.ts_hedged_ns + trade.lockup_ns, -trade.capital_micros))
    level = peak = 0
    for _, change in sorted(moves):
        level += change
        peak = max(peak, level)
    return Capital(
        locked_micros=sum(trade.capital_micros for trade in executed),
        peak_micros=peak,
        trades_with_payout_time=len(dated),
        lockup_ns=distribution(trade.lockup_ns or 0 for trade in dated),
        annualised=gained / weight if weight > 0 else None,
    )


def as_builtins(value: Any) -> Any:
    """Any struct of the report as plain dicts, lists, numbers and texts."""
    return msgspec.to_builtins(value)
