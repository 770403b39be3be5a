"""The live executor's lanes, stepped one record behind decide on one fold of the market.

Decides nothing about trades: the steps are those of `executors.lane`. A lane may fold a position as soon as decide is proved to have
folded it and every intent from before is there; here that is so after every single record, and the output is the same at any moment
of the proof (a law of the lane), so the lane goes on at once. Then decide and the paper venue stand at one position, and one fold
serves both: the lane is told what the record changed instead of folding it again. Must never let decide fold the next record before
the lane has done with this one. Pure.
"""

from collections.abc import Mapping, Sized
from typing import Final

from crossbook.market.book_state import BookState, Change
from crossbook.market.market_state import MarketState
from executors.engine import Engine
from executors.fold import ExecutorState
from executors.journal import JournalInput
from executors.lane import Journal, Lane
from executors.venues.paper import PaperVenue, _Order
from schemas.records import InstrumentListed, OrderSent, Record

_NOTHING: Final = Change("none")


class WatchedMarket(MarketState):
    """A fold that remembers what the last record changed."""

    def __init__(self) -> None:
        super().__init__()
        self.change = _NOTHING

    def apply(self, position: int, record: Record) -> Change:
        """As MarketState."""
        change = super().apply(position, record)
        self.change = change
        return change


class WatchedVenue(PaperVenue):
    """A paper venue that notes at which stream time the market stood when an order met it."""

    def __init__(self, market: MarketState) -> None:
        super().__init__(market)
        self.met_ns: dict[str, int] = {}

    def _match(self, order: _Order, listed: InstrumentListed, book: BookState, ts_ns: int) -> None:
        self.met_ns[order.request.order_id] = self._market.now_ns
        super()._match(order, listed, book, ts_ns)


class FollowingLane(Lane):
    """A lane over a market that somebody else folds. `market` is read, never changed; `position` must be kept up by the caller."""

    def __init__(self, partition: int, state: ExecutorState, journal: Journal, market: WatchedMarket) -> None:
        super().__init__(partition, state, journal)
        self._watched = market
        self.market = market
        self.watched_venue = WatchedVenue(market)
        self.venue = self.watched_venue

    def begin_at(self, intents: int) -> None:
        """Trade from here on: so many intents were before and are not ours."""
        self._arrived = intents

    def follow(self, record: Record) -> None:
        """Do what the record that the market stands at causes. What was due before its time must be done (`pass_time`)."""
        self.position = self.market.position
        change = self._watched.change
        self.venue.begin(change)
        self._follow(change, record, self.due_ns)

    def pass_time(self, due_ns: int) -> None:
        """As Lane, at the position that the market stands at."""
        self.position = self.market.position
        super().pass_time(due_ns)

    @property
    def intends(self) -> Sized:
        """Intents that wait, as they stand at any time."""
        return self._intents

    def take_intent(self) -> None:
        """Do what the next intent causes; the lane must have followed to its position."""
        super().step()

    @property
    def wake_ns(self) -> int:
        """Stream time before which a record can cause nothing here; 0 while every record counts.

        Every record counts at the venue, for a hedge whose price is watched, and for unmatched contracts whose mark is. Beside that there are those that touch a book that
        we took from, carry an intent or settle an instrument: the caller's to see.
        """
        state, partition = self._state, self.partition
        working = state.working.get(partition, ())
        if (
            self.venue.attentive
            or self.watches_marks
            or any(state.trades[trade_id].state == "hedging" for trade_id in working)
        ):
            return 0
        return self.due_ns


class FollowingEngine(Engine):
    """The live engine over following lanes. `journaled` counts journal records."""

    def __init__(self, markets: Mapping[int, WatchedMarket]) -> None:
        super().__init__(markets)
        self.following = {n: FollowingLane(n, self.state, self._journal, market) for n, market in markets.items()}
        self.lanes = dict(self.following)

    @property
    def journaled(self) -> int:
        """How many journal records there are."""
        return self.state.next_sequence

    @property
    def has_written(self) -> bool:
        """Whether `take` has something to give."""
        return bool(self._written)

    def put_sent(self, record: OrderSent) -> None:
        """Journal that an order left late, as the live run had it; passed over where that order is not out here."""
        lane = self.following.get(record.partition)
        if lane is not None and any(one.order_id == record.order_id for one in lane.venue.unsent()):
            self._journal(record)

    def put(self, record: JournalInput) -> None:
        """Journal an input that the live run had: settings, or what an operator said."""
        self._journal(record)
