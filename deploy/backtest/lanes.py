"""The live executor's lanes, stepped one record behind decide on one fold of the market.

Decides nothing about trades: the steps are those of `executors.lane`. A lane may fold a position as soon as decide is proved to have
folded it and every intent from before is there; here that is so after every single record, and the output is the same at any moment
of the proof (a law of the lane), so the lane goes on at once. Then decide and the paper venue stand at one position, and one fold
serves both: the lane is told what the record changed instead of folding it again. Must never let decide fold the next record before
the lane has done with this one. Pure.
"""

from collections.abc import Mapping, Sized
from typing import Final

from crossbook.domain.book_state import Change
from crossbook.domain.market_state import MarketState
from executors.engine import Engine
from executors.fold import ExecutorState
from executors.journal import JournalInput
from executors.lane import Journal, Lane
from executors.paper import PaperVenue
from schemas.records import Record

NEVER_NS: Final = 2**63 - 1
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

    def __init__(self, partition: int, state: ExecutorState, journal: Journal, market: WatchedMarket) -> None:
        super().__init__(partition, state, journal)
        self._watched = market
        self._floor_ns = 0
        self.market = market
        self.venue = PaperVenue(market)

    def begin_at(self, intents: int) -> None:
        """Trade from here on: so many intents were before and are not ours."""
        self._arrived = intents

    def follow(self, record: Record, floor_ns: int) -> None:
        """Do what the record that the market stands at causes; `floor_ns` is the stream time before it."""
        self._floor_ns = floor_ns
        self._records.append((self.market.position, record))
        super().step()

    def _fold(self, position: int, record: Record | None) -> Change | None:
        self.position = position
        if record is None:
            return None
        change = self._watched.change
        self.venue.begin(change, self._floor_ns)
        return change

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
        due, timer = self.venue.peek(), self._next_timer()
        wake_ns = NEVER_NS if due is None else due.ts_ns
        return wake_ns if timer is None else min(wake_ns, timer[0])


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

    def put(self, record: JournalInput) -> None:
        """Journal an input that the live run had: settings, or what an operator said."""
        self._journal(record)
