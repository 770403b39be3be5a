"""What a person must be told of, found in what the executor has just written.

Decides which records of a batch are an alarm: a trade that became stuck or was declined for an error, a report about no order of
ours, an intent for whose kind there is no machine, an input that could not be folded. Must never touch the state; the shell logs what it is given.
"""

from collections.abc import Iterable
from typing import NamedTuple

from executors.state import ExecutorState
from schemas.records import OrderReport, Record, TradeUpdate


class Alarm(NamedTuple):
    """An event for the log, with its fields."""

    event: str
    fields: dict[str, object]


class Alarms:
    """Follows the executor from batch to batch; what stood before its first batch is no news."""

    def __init__(self, state: ExecutorState) -> None:
        self._state = state
        self._fault = state.standing.halts.fault

    def of(self, records: Iterable[Record]) -> list[Alarm]:
        """The alarms of a batch of records."""
        found: list[Alarm] = []
        for record in records:
            match record:
                case TradeUpdate(state="stuck"):
                    found.append(_of_trade("execute.stuck", record))
                case TradeUpdate(state="declined", reason="no_machine"):
                    found.append(_of_trade("execute.no_machine", record))
                case TradeUpdate(state="declined", reason=reason) if ": " in reason:  # an error, not a word of the gate
                    found.append(_of_trade("execute.declined_by_error", record))
                case OrderReport():
                    trade = self._state.trades.get(record.trade_id)
                    if trade is None or trade.order(record.order_id) is None:
                        fields: dict[str, object] = {
                            "report_id": record.report_id,
                            "order_id": record.order_id,
                            "status": record.order_status,
                        }
                        found.append(Alarm("execute.report_of_no_order", fields))
                case _:
                    pass
        fault = self._state.standing.halts.fault
        if fault and fault != self._fault:
            found.append(Alarm("execute.input_not_folded", {"error": fault}))
        self._fault = fault
        return found


def _of_trade(event: str, record: TradeUpdate) -> Alarm:
    fields: dict[str, object] = {
        "trade_id": record.trade_id,
        "reason": record.reason,
        "quantity_a_micros": record.quantity_a_micros,
        "quantity_b_micros": record.quantity_b_micros,
    }
    return Alarm(event, fields)
