"""Measures the executor by the wall clock: tick to committed plan, and what a hedge took of our own time.

A tick of a recorded log is measured from when its intent was read: its own stamp says nothing about us.

Decides nothing; what it finds is journaled as `LatencyObserved` and masked wherever two runs are compared. Must never mix the
paper venue's simulated time into ours: of a hedge only the stretches are added up in which we held the ball, from taking an
input in hand to the commit of what followed.
"""

from collections.abc import Container, Sequence
from typing import NamedTuple

from executors.journal import key_of
from executors.orders.work import SEEN
from executors.state import ExecutorState
from schemas.records import Fill, LatencyKind, OrderRequested, Record, TradePlan, TradeUpdate


class Observation(NamedTuple):
    """One measurement, wall clock, ns."""

    trade_id: str
    kind: LatencyKind
    start_ns: int
    end_ns: int
    latency_ns: int


class LatencyWatch:
    """Follows trades from batch to batch."""

    def __init__(self) -> None:
        self._hedges: dict[str, tuple[int, int]] = {}  # trade: (start, own time so far)

    def committed(
        self,
        records: Sequence[Record],
        state: ExecutorState,
        began_ns: int,
        ended_ns: int,
        recorded: Container[int] = (),
    ) -> list[Observation]:
        """A batch was committed that was begun at one moment and ended at another; what it completed.

        `recorded`: partitions whose stamps are a recording's.
        """
        found: list[Observation] = []
        seen = {key_of(r): r.ts_seen_ns for r in records if isinstance(r, SEEN)}
        touched: dict[str, None] = {}
        hedged: dict[str, None] = {}
        for record in records:
            match record:
                case TradePlan():
                    tick_ns = state.trades[record.trade_id].intent.ts_received_ns
                    start = (
                        seen.get(record.trade_id, began_ns) if record.partition in recorded else min(tick_ns, ended_ns)
                    )
                    found.append(Observation(record.trade_id, "tick_to_plan", start, ended_ns, ended_ns - start))
                case Fill():
                    self._hedges.setdefault(record.trade_id, (began_ns, 0))
                    touched[record.trade_id] = None
                case OrderRequested():
                    touched[record.trade_id] = None
                case TradeUpdate():
                    touched[record.trade_id] = None
                    if record.state == "hedged":
                        hedged[record.trade_id] = None
                    elif record.state in {"unwinding", "flat", "stuck"}:
                        self._hedges.pop(record.trade_id, None)
                case _:
                    pass
        for trade_id in touched:
            if trade_id in self._hedges:
                start, own = self._hedges[trade_id]
                self._hedges[trade_id] = (start, own + ended_ns - began_ns)
        for trade_id in hedged:
            if trade_id in self._hedges:
                start, own = self._hedges.pop(trade_id)
                found.append(Observation(trade_id, "hedge", start, ended_ns, own))
        return found
