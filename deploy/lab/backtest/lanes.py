"""The live executor's lanes, stepped one record behind decide on one fold of the market.

Decides nothing about trades: the steps are those of `executors.lane`. A lane may fold a position as soon as decide is proved to have
folded it and every intent from before is there; here that is so after every single record, and the output is the same at any moment
of the proof (a law of the lane), so the lane goes on at once. Then decide and the paper venue stand at one position, and one fold
serves both: the lane is told what the record changed instead of folding it again. Must never let decide fold the next record before
the lane has done with this one. Pure.
"""

from collections.abc import Mapping
from typing import Final

from crossbook.market.book_state import Change
from crossbook.market.market_state import MarketState
from executors.engine import Engine
from executors.lane import Journal, Lane
from executors.state import ExecutorState
from executors.venues.paper import PaperVenue
from executors.venues.port import Gateway
from schemas.records import OrderSent, Record

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


class FollowingLane(Lane):
    """A lane over a market that somebody else folds. `market` is read, never changed; `position` must be kept up by the caller."""

    def __init__(
        self, partition: int, state: ExecutorState, journal: Journal, market: WatchedMarket, gateway: Gateway
    ) -> None:
        super().__init__(partition, state, journal, market, gateway)
        self._watched = market

    def follow_on(self, record: Record) -> None:
        """Do what the record that the market stands at causes. What was due before its time must be done (`pass_time`)."""
        self.position = self.market.position
        change = self._watched.change
        self.venue.begin(change)
        self.follow(change, record, self.due_ns)

    def pass_time(self, due_ns: int) -> None:
        """As Lane, at the position that the market stands at."""
        self.position = self.market.position
        super().pass_time(due_ns)

    def take_intent(self) -> None:
        """Do what the next intent causes; the lane must have followed to its position."""
        self.step()

    @property
    def wake_ns(self) -> int:
        """Stream time before which a record can cause nothing here; 0 while every record counts.

        Every record counts at the venue, for a hedge whose price is watched, and for unmatched contracts whose mark is. Beside that there are those that touch a book that
        we took from, carry an intent or settle an instrument: the caller's to see.
        """
        state, partition = self.state, self.partition
        working = state.working.get(partition, ())
        if (
            self.venue.attentive
            or self.watches_marks
            or any(self._machine(trade).watches(trade) for trade in map(state.trades.__getitem__, working))
        ):
            return 0
        return self.due_ns


class FollowingEngine(Engine):
    """The live engine over following lanes, all on paper. `journaled` counts journal records.

    `met_ns`: order → stream time of the books that it met.
    """

    def __init__(self, markets: Mapping[int, WatchedMarket]) -> None:
        super().__init__(())
        self.met_ns: dict[str, int] = {}
        self.following = {
            number: FollowingLane(number, self.state, self.journal, market, PaperVenue(market, self.met_ns.__setitem__))
            for number, market in markets.items()
        }
        self.lanes = dict(self.following)

    @property
    def journaled(self) -> int:
        """How many journal records there are."""
        return self.state.next_sequence

    def put_sent(self, record: OrderSent) -> None:
        """Journal that an order left late, as the live run had it; passed over where that order is not out here."""
        lane = self.following.get(record.partition)
        if lane is not None and any(one.order_id == record.order_id for one in lane.venue.unsent()):
            self.journal(record)
