"""The market and the gateway of a lane, folded record by record; and folded again at a start, with what the journal holds.

Decides how far a record takes stream time, and that a venue which is told the same again must say the same again: a difference
stops the start. Must never look at an intent, a timer or a wall clock.
"""

from collections import deque

import msgspec

from crossbook.market.book_state import Change
from crossbook.market.market_state import MarketState
from executors.errors import JournalError
from executors.terms import PaperTerms
from executors.venues.port import ARRIVAL, Cancel, Command, Gateway, Place, Replace
from schemas.records import CancelRequested, OrderReport, OrderRequested, OrderSent, Record

#: What the journal holds of a venue: requests, with the terms they were sent under, when they left, and its reports.
Journaled = tuple[OrderRequested | CancelRequested | OrderSent | OrderReport, PaperTerms]


class MarketLane:
    """One partition of `market` and what the gateway does on it. `position` is the last one folded, -1 before the first.

    The market is folded here, or by somebody else whom the lane follows.
    """

    def __init__(self, partition: int, market: MarketState, gateway: Gateway) -> None:
        self.partition = partition
        self.market = market
        self.venue = gateway
        self.position = -1

    def _reach_ns(self, record: Record | None) -> int:
        return self.market.now_ns if record is None else self.market.reach_ns(record)

    def _fold(self, position: int, record: Record | None) -> Change | None:
        floor_ns = self.market.now_ns
        change = None
        if record is None:
            self.market.skip(position)
        else:
            change = self.market.apply(position, record)
            self.venue.begin(change)
        self.position = position
        assert self.market.now_ns >= floor_ns, "stream time is monotone"
        return change

    def catch_up(self, journaled: deque[Journaled]) -> None:
        """Take from `journaled` what the position of a checkpoint caused after it was taken.

        Raises JournalError as `replay` does.
        """
        while journaled and journaled[0][0].position <= self.position:
            entry, terms = journaled.popleft()
            if isinstance(entry, OrderReport):
                self._expect(entry)
            else:
                self._tell_venue(entry, terms)

    def replay(self, position: int, record: Record | None, journaled: deque[Journaled]) -> None:
        """Fold a position again that was committed before, with what the journal holds for it taken from `journaled`.

        Raises JournalError naming both records when the venue reports something else than it did.
        """
        reach_ns = self._reach_ns(record)
        while (due := self.venue.peek()) is not None and due.ts_ns < reach_ns:
            report = self.venue.pop()
            if report is not None:
                raise JournalError(
                    f"the paper venue reports {report.report_id} ({report.order_status}) at position {self.position}, which the "
                    f"journal does not hold; was `market` changed, or the code of the venue?"
                )
        self._fold(position, record)
        self.catch_up(journaled)
        while (due := self.venue.peek()) is not None and due.kind == ARRIVAL and due.ts_ns <= self.market.now_ns:
            self.venue.pop()

    def command(self, request: OrderRequested | CancelRequested, terms: PaperTerms) -> Command:
        """The command of a request that was just journaled."""
        if isinstance(request, CancelRequested):
            return Cancel(request, terms)
        listed = self.market.instruments.get(request.instrument_id)
        place = Place(request, terms, 0 if listed is None else listed.taker_delay_ms)
        return Replace(place, request.replaces) if request.replaces else place

    def _tell_venue(self, entry: OrderRequested | CancelRequested | OrderSent, terms: PaperTerms) -> None:
        if isinstance(entry, OrderSent):
            self.venue.sent(entry)
        else:
            self.venue.send((self.command(entry, terms),))

    def _expect(self, entry: OrderReport) -> None:
        while (due := self.venue.peek()) is not None and due.ts_ns <= entry.ts_ns:
            report = self.venue.pop()
            if report is not None:
                again = msgspec.structs.replace(
                    report,
                    sequence=entry.sequence,
                    portfolio=entry.portfolio,
                    life=entry.life,
                    strategy=entry.strategy,
                    position=entry.position,
                )
                if again != entry:
                    raise JournalError(f"the paper venue reports {again}, the journal holds {entry}")
                return
        raise JournalError(
            f"the journal holds {entry}, which the paper venue does not report at position {self.position}"
        )
