"""Everything that a report says in figures, derived from an Outcome and from nothing else. Pure.

Decides the figures, not the words (`words.py`) and not the page (`layout.py`). Money is int micros, times are stream time in Unix
ns, statistics are floats. The definitions of PnL, edge and slippage are those of the live views (`projections/clickhouse/sql/views.sql`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from deploy.lab.analysis.distribution import Distribution, Sharpe, distribution, sharpe
from deploy.lab.analysis.edges import (
    Episode,
    PackageCounts,
    Waterfall,
    clusters,
    episodes,
    fates,
    package_counts,
    waterfalls,
)
from deploy.lab.analysis.equity import Drawdown, EquityPoint, deepest, equity_curve
from deploy.lab.analysis.latency import LatencyRow, latency_rows
from deploy.lab.analysis.pnl import TradePnl, fold_equity, standing_fills
from deploy.lab.analysis.thinning import thinned
from deploy.lab.analysis.trades import HEDGED, UNSEEN, YEAR_NS, TradeRow, trade_rows
from deploy.lab.outcome.outcome import Outcome
from schemas.records import VenueHeld

#: Points of the equity curve that are kept; one a second for five hours. The page draws fewer.
EQUITY_POINTS_MAX = 20_000
NS_PER_S = 1_000_000_000


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """PnL of everything, micros: net = gross - fees = locked + marked; then contracts by what became of them.

    `unwound_micros` is the part of what is locked in that sales made or lost. What is marked is no profit: it is what unmatched
    contracts would bring now, less what they cost.
    """

    gross_micros: int
    fee_micros: int
    net_micros: int
    locked_micros: int
    marked_micros: int
    unwound_micros: int
    slippage_micros: int
    edge_planned_micros: int
    edge_realised_micros: int
    hedged_contracts_micros: int
    unwound_contracts_micros: int
    unmatched_contracts_micros: int


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


class VenueTime(msgspec.Struct, frozen=True, kw_only=True):
    """How long a venue took no new trade, by cause: `breaker`, or `reduce_only` for a stuck trade, which only a resume ends (`open`)."""

    venue: str
    state: str
    times: int
    held_ns: int
    open: int


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
    venue_times: tuple[VenueTime, ...]
    packages: tuple[PackageCounts, ...]


def analyse(outcome: Outcome) -> Analysis:
    """Derive every figure of an outcome."""
    fills = standing_fills(outcome)
    pnl, moves = fold_equity(outcome)
    trades = trade_rows(outcome, fills, pnl)
    curve = equity_curve(outcome, moves)
    found = episodes(outcome, trades)
    executed = [trade for trade in trades if trade.filled]
    bet_of = clusters(trades, found, outcome.settings)
    bets: dict[int, int] = defaultdict(int)
    for trade in executed:
        bets[bet_of[trade.trade_id]] += trade.net_micros
    hour = {trade.trade_id: hour_of(trade.ts_first_fill_ns or trade.ts_intent_ns) for trade in executed}
    return Analysis(
        totals=_totals(pnl, trades),
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
        by_pair=slices(pnl, lambda one: one.pair_id),
        by_venue=slices(pnl, lambda one: one.venues),
        by_category=slices(pnl, lambda one: one.category or "(none)"),
        by_hour=slices(pnl, lambda one: hour.get(one.trade_id, hour_of(one.ts_first_fill_ns)), ordered=True),
        latencies=latency_rows(outcome, trades),
        capital=_capital(executed),
        waterfalls=waterfalls(outcome, found),
        declines=_declines(trades),
        venue_times=_venue_times(outcome),
        packages=package_counts(outcome),
    )


def hour_of(ts_ns: int) -> str:
    """Hour of the day in UTC, "00" to "23"."""
    return f"{datetime.fromtimestamp(ts_ns // NS_PER_S, UTC):%H}"


def slices(pnl: Iterable[TradePnl], key_of: Callable[[TradePnl], str], *, ordered: bool = False) -> tuple[Slice, ...]:
    """PnL by a key; by key where `ordered`, else the largest effect first. The slices' sums are the totals."""
    groups: dict[str, list[TradePnl]] = defaultdict(list)
    for one in pnl:
        groups[key_of(one)].append(one)
    made = [
        Slice(
            key=key,
            trades=len(group),
            gross_micros=sum(one.gross_micros for one in group),
            fee_micros=sum(one.fee_micros for one in group),
            net_micros=sum(one.net_micros for one in group),
        )
        for key, group in groups.items()
    ]
    made.sort(key=(lambda one: (0, one.key)) if ordered else (lambda one: (-abs(one.net_micros), one.key)))
    return tuple(made)


def _totals(pnl: Sequence[TradePnl], trades: Sequence[TradeRow]) -> Totals:
    return Totals(
        gross_micros=sum(one.gross_micros for one in pnl),
        fee_micros=sum(one.fee_micros for one in pnl),
        net_micros=sum(one.net_micros for one in pnl),
        locked_micros=sum(one.locked_micros for one in pnl),
        marked_micros=sum(one.marked_micros for one in pnl),
        unwound_micros=sum(one.unwound_micros for one in pnl),
        slippage_micros=sum(trade.slippage_micros for trade in trades),
        edge_planned_micros=sum(t.edge_planned_micros for t in trades if t.edge_realised_micros is not None),
        edge_realised_micros=sum(t.edge_realised_micros or 0 for t in trades),
        hedged_contracts_micros=sum(one.matched_micros for one in pnl),
        unwound_contracts_micros=sum(one.unwound_contracts_micros for one in pnl),
        unmatched_contracts_micros=sum(one.unmatched_micros for one in pnl),
    )


def _venue_times(outcome: Outcome) -> tuple[VenueTime, ...]:
    """Holds of venues; one that begins within another of its kind counts only what it adds."""
    until: dict[tuple[str, str], int] = {}
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for record in outcome.journal:
        if isinstance(record, VenueHeld):
            key = (record.venue, record.state)
            begin = max(record.ts_ns, until.get(key, 0))
            found = sums[key]
            found[0] += 1
            found[1] += max(record.ts_until_ns - begin, 0)
            found[2] += record.ts_until_ns == 0
            until[key] = max(until.get(key, 0), record.ts_until_ns)
    return tuple(
        VenueTime(venue=venue, state=state, times=times, held_ns=held_ns, open=still)
        for (venue, state), (times, held_ns, still) in sorted(sums.items())
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
