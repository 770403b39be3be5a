"""The equity curve: what all trades were worth at every stream time at which that moved, and its drawdown.

Decides only how moves of equity (`pnl.py`) become points in time; partitions are put into one order by their stamps. Its last point
is the net PnL of all trades, to the micro. Must never use a float.
"""

from collections.abc import Sequence

import msgspec

from deploy.lab.analysis.pnl import Move
from deploy.lab.outcome.outcome import Outcome


class EquityPoint(msgspec.Struct, frozen=True):
    """Net PnL of all trades at a stream time, and its distance to the highest so far, micros."""

    ts_ns: int
    equity_micros: int
    drawdown_micros: int


class Drawdown(msgspec.Struct, frozen=True, kw_only=True):
    """The deepest fall below an earlier high, micros; times are those of the high, the low, and the recovery if there was one."""

    depth_micros: int
    ts_peak_ns: int
    ts_trough_ns: int
    ts_recovered_ns: int | None


def equity_curve(outcome: Outcome, moves: Sequence[Move]) -> list[EquityPoint]:
    """Equity wherever it changed, with the first and the last moment of the range; empty for a range without time."""
    if outcome.ts_first_ns > outcome.ts_last_ns:
        return []
    equity = high = 0
    values: dict[int, int] = {outcome.ts_first_ns: 0}
    for ts_ns, change in sorted(moves, key=lambda move: move.ts_ns):
        equity += change
        values[max(ts_ns, outcome.ts_first_ns)] = equity  # one point a moment: what it came to at its end
    values[max(outcome.ts_last_ns, *values)] = equity
    curve = []
    for ts_ns, value in values.items():
        high = max(high, value)
        curve.append(EquityPoint(ts_ns, value, high - value))
    return curve


def deepest(curve: Sequence[EquityPoint]) -> Drawdown | None:
    """The deepest drawdown; None where equity never fell below a high."""
    if not curve:
        return None
    trough = max(range(len(curve)), key=lambda i: curve[i].drawdown_micros)
    depth = curve[trough].drawdown_micros
    if depth == 0:
        return None
    high = curve[trough].equity_micros + depth
    peak = next((point for point in curve[:trough] if point.equity_micros == high), curve[0])
    recovered = next((point for point in curve[trough:] if point.equity_micros >= high), None)
    return Drawdown(
        depth_micros=depth,
        ts_peak_ns=peak.ts_ns,
        ts_trough_ns=curve[trough].ts_ns,
        ts_recovered_ns=None if recovered is None else recovered.ts_ns,
    )
