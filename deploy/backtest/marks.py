"""What holdings are marked with: for each instrument and second of stream time the last two-sided, valid top that decide wrote.

Decides that alone. A live run and its backtest mark by this one rule, so that their PnL differs by trades and by nothing else. Pure.
"""

from typing import Final

from deploy.backtest.outcome import Mark
from executors.terms import NS_PER_S
from schemas.records import TopOfBook

MARK_INTERVAL_NS: Final = NS_PER_S


class Marks:
    """Marks in the making."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, int], Mark] = {}

    def take(self, top: TopOfBook) -> Mark | None:
        """Keep a top as the mark of its second; None when it is no price to mark with."""
        if not top.valid or top.bid_price_micros is None or top.ask_price_micros is None:
            return None
        mark = Mark(top.ts_ns, top.instrument_id, top.bid_price_micros, top.ask_price_micros)
        self._last[top.instrument_id, top.ts_ns // MARK_INTERVAL_NS] = mark
        return mark

    def kept(self) -> tuple[Mark, ...]:
        """All marks by stream time; of one time, by instrument."""
        return tuple(sorted(self._last.values()))
