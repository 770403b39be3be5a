"""How long things took: by the wall clock where a live run stamped them, by stream time in any run.

Decides which moments are compared. Must never mix the two clocks in one figure.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

import msgspec

from deploy.lab.analysis.distribution import Distribution, distribution
from deploy.lab.analysis.trades import TradeRow
from deploy.lab.outcome.outcome import Outcome
from schemas.records import LatencyObserved, OrderReport, OrderRequested

Clock = Literal["stream", "wall"]


class LatencyRow(msgspec.Struct, frozen=True, kw_only=True):
    """Distribution of one stretch, ns."""

    name: str
    clock: Clock
    ns: Distribution


def latency_rows(outcome: Outcome, trades: Iterable[TradeRow]) -> tuple[LatencyRow, ...]:
    """Every stretch that was seen at least once; stream time first."""
    found: dict[tuple[Clock, str], list[int]] = defaultdict(list)
    requested: dict[str, OrderRequested] = {}
    answered: set[str] = set()
    for trade in trades:
        if trade.ts_opened_ns is None:
            continue
        found["stream", "intent → plan"].append(trade.ts_opened_ns - trade.ts_intent_ns)
        if trade.ts_first_fill_ns is not None:
            found["stream", "plan → first fill"].append(trade.ts_first_fill_ns - trade.ts_opened_ns)
        if trade.ts_hedged_ns is not None:
            found["stream", "plan → both legs held"].append(trade.ts_hedged_ns - trade.ts_opened_ns)
    for record in outcome.journal:
        match record:
            case OrderRequested(order_id=order_id):
                requested[order_id] = record
            case OrderReport(order_id=order_id, order_status=status) if status != "requested":
                if order_id in requested and order_id not in answered:
                    answered.add(order_id)
                    request = requested[order_id]
                    found["stream", f"request → first report, {request.venue}"].append(record.ts_ns - request.ts_ns)
            case LatencyObserved(kind=kind, latency_ns=latency_ns):
                found[
                    "wall", {"tick_to_plan": "tick → plan committed", "hedge": "hedge, venue time taken out"}[kind]
                ].append(latency_ns)
            case _:
                pass
    rows = []
    for (clock, name), values in sorted(found.items(), key=lambda item: (item[0][0] == "wall", item[0][1])):
        spread = distribution(values)
        assert spread is not None, "a stretch that was found has a value"
        rows.append(LatencyRow(name=name, clock=clock, ns=spread))
    return tuple(rows)
