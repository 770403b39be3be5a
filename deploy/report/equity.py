"""The equity curve: cash and the value of what is held, at every stream time at which either moved, and its drawdown.

Decides what the account was worth at each moment from what was known by then: an execution counts until it is reversed, a
payout from when it became known. Its last point is the net PnL of `pnl.py`, to the micro. Must never use a float.
"""

from collections.abc import Iterator, Sequence

import msgspec

from deploy.backtest.outcome import Outcome
from deploy.report.pnl import LegSums, mid_of
from schemas.records import Fill, FillReversed


class EquityPoint(msgspec.Struct, frozen=True):
    """Net PnL at a stream time: cash, less fees, plus the value of what is held. micros."""

    ts_ns: int
    equity_micros: int
    drawdown_micros: int


class Drawdown(msgspec.Struct, frozen=True, kw_only=True):
    """The deepest fall below an earlier high, micros; times are those of the high, the low, and the recovery if there was one."""

    depth_micros: int
    ts_peak_ns: int
    ts_trough_ns: int
    ts_recovered_ns: int | None


class _Account:
    """Legs by instrument. The worth of an instrument at a mark is kept, because quotes keep returning to a few prices."""

    def __init__(self) -> None:
        self.equity = 0
        self._marks: dict[str, int | None] = {}
        self._legs: dict[str, dict[str, LegSums]] = {}
        self._worth: dict[str, dict[int | None, int]] = {}

    def fill(self, fill: Fill, sign: int) -> None:
        """An execution happened, or was taken back."""
        instrument_id = fill.instrument_id
        legs = self._legs.setdefault(instrument_id, {})
        worth = self._worth.setdefault(instrument_id, {})
        leg = legs.setdefault(fill.trade_id, LegSums())
        before = {mark: leg.gross(mark) - leg.fees for mark in worth}
        mark = self._marks.get(instrument_id)
        was = leg.gross(mark) - leg.fees
        leg.add(fill, sign)
        for known in worth:
            worth[known] += leg.gross(known) - leg.fees - before[known]
        self.equity += leg.gross(mark) - leg.fees - was

    def mark(self, instrument_id: str, mark: int) -> None:
        """One YES of an instrument is worth this much from here on."""
        if instrument_id in self._legs:
            self.equity += self._at(instrument_id, mark) - self._at(instrument_id, self._marks.get(instrument_id))
        self._marks[instrument_id] = mark

    def _at(self, instrument_id: str, mark: int | None) -> int:
        worth = self._worth[instrument_id]
        if mark not in worth:
            worth[mark] = sum(leg.gross(mark) - leg.fees for leg in self._legs[instrument_id].values())
        return worth[mark]


def equity_curve(outcome: Outcome) -> list[EquityPoint]:
    """Equity wherever it changed, with the first and the last moment of the range; empty for a range without time."""
    if outcome.ts_first_ns > outcome.ts_last_ns:
        return []
    account = _Account()
    settled: set[str] = set()
    values: list[tuple[int, int]] = [(outcome.ts_first_ns, 0)]
    for ts_ns, happening in _happenings(outcome):
        match happening:
            case (Fill() as fill, sign):
                account.fill(fill, int(sign))
            case (str() as instrument_id, int(worth), bool(final)):
                if instrument_id in settled and not final:
                    continue
                if final:
                    settled.add(instrument_id)
                account.mark(instrument_id, worth)
        if account.equity != values[-1][1] or ts_ns == values[-1][0]:
            _put(values, ts_ns, account.equity)
    _put(values, max(outcome.ts_last_ns, values[-1][0]), account.equity)
    high = 0
    curve = []
    for ts_ns, equity in values:
        high = max(high, equity)
        curve.append(EquityPoint(ts_ns, equity, high - equity))
    return curve


def _put(values: list[tuple[int, int]], ts_ns: int, equity: int) -> None:
    """One point a moment: what it came to at its end."""
    if values[-1][0] >= ts_ns:
        values[-1] = (values[-1][0], equity)
    else:
        values.append((ts_ns, equity))


def _happenings(
    outcome: Outcome,
) -> Iterator[tuple[int, tuple[Fill, int] | tuple[str, int, bool]]]:
    """Marks, executions, reversals and payouts in order of stream time; marks first, so that an execution meets its own book."""
    fills = {record.fill_id: record for record in outcome.fills if isinstance(record, Fill)}
    timed: list[tuple[int, int, tuple[Fill, int] | tuple[str, int, bool]]] = []
    for mark in outcome.marks:
        mid = mid_of(mark)
        if mid is not None:
            timed.append((mark.ts_ns, 0, (mark.instrument_id, mid, False)))
    for record in outcome.fills:
        if isinstance(record, Fill):
            timed.append((record.ts_ns, 1, (record, 1)))
        elif isinstance(record, FillReversed) and record.fill_id in fills:
            timed.append((record.ts_ns, 2, (fills[record.fill_id], -1)))
    timed += [(ts_ns, 3, (name, payout, True)) for name, (payout, ts_ns) in outcome.settled.items()]
    timed.sort(key=lambda item: item[:2])  # stable: what came first stays first
    for ts_ns, _, happening in timed:
        yield ts_ns, happening


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
