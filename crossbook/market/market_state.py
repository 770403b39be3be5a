"""Everything that one `market` partition has said so far: instruments, pairs, books, feeds, settings and stream time.

Decides which book events count and which books may be used now. decide and the paper venue both fold the log with it, so they
can never disagree about a book. Must never read a clock, a file or another partition; what it holds is a function of the
records folded, in their order.

A book is `valid` from a whole snapshot on, until a hole, an impossible level, a newer session or a word of its feed breaks it;
then it needs a snapshot. A crossed book is broken, or only suspended until it uncrosses, as its listing says. A book is `usable` when it is valid, fresh at the stream time reached, and its
instrument is listed, priced, not settled, and trades now: between its open and its close by the clock, and in no pause of its venue.
"""

from collections.abc import Callable
from typing import Any, Final

from crossbook.domain.errors import BookError, FeeError, GridError
from crossbook.domain.fees import check_changes, check_schedule, schedule_in_force
from crossbook.domain.grid import PriceGrid
from crossbook.domain.identities import LEGS_CHANGED, TOKENS_CHANGED, Identities
from crossbook.domain.trading_hours import FOREVER, Hours, hours
from crossbook.market.book_state import BookState, Change, ChangeKind, FeedHealth
from crossbook.market.configuration import MARKET_TERMS, STRATEGY_TERMS, said_with
from crossbook.market.feed_clock import RECORDED, FeedClock
from crossbook.market.keyframes import PAIR_TERMS, TERMS, VENUE_TERMS, same_but, same_levels
from crossbook.market.references import References
from schemas.records import (
    BookDelta,
    BookSnapshot,
    FeedStatus,
    FeeSchedule,
    FrictionPack,
    InstrumentListed,
    InstrumentMoved,
    InstrumentSettled,
    LogOpened,
    MarketConfigured,
    Observation,
    PairDelisted,
    PairListed,
    PublicTrade,
    Record,
    ReferencePrice,
    ReferenceStatus,
    StrategyConfigured,
    VenueStatus,
)

__all__ = ["BookState", "Change", "ChangeKind", "FeedHealth", "MarketState"]

#: Windows before the first MarketConfigured: those of DESIGN (2 s each).
WINDOW_DEFAULT_NS: Final = 2_000_000_000


_LOG: Final = Change("log")
_CONFIGURED: Final = Change("configured")
_STRATEGY: Final = Change("strategy")
_FRICTION: Final = Change("friction")
_HEARTBEAT: Final = Change("feed", reason="heartbeat")
_KEYFRAME: Final = Change("none", reason="keyframe")
_UNLISTED: Final = Hours("unlisted", FOREVER)
_REFUSED: Final = Hours("refused", FOREVER)
_SETTLED: Final = Hours("settled", FOREVER)


class MarketState:
    """Fold of one partition of `market`; see the module.

    `position` is that of the last record folded (-1: none), `instruments`, `venues`, `pairs`, `friction`, `configured` and
    `strategies` the newest word, `identities` what an id has stood for, `refused` why an instrument cannot be used, `settled` the payout of YES in micros: the
    first one told, `contradicted` another one told later; `recorded` says that stamps are a recording's (LogOpened).
    """

    def __init__(self) -> None:
        self.clock = FeedClock()
        self.position = -1
        self.log_id = ""
        self.partition = -1
        self.partitions = 0
        self.base_offset = 0
        self.recorded = False
        self.instruments: dict[str, InstrumentListed] = {}
        self.grids: dict[str, PriceGrid] = {}
        self.refused: dict[str, str] = {}
        self.books: dict[str, BookState] = {}
        self.feeds: dict[str, FeedHealth] = {}
        self.references = References()
        self.pairs: dict[str, PairListed] = {}
        self.identities = Identities()
        self.settled: dict[str, int] = {}
        self.contradicted: dict[str, int] = {}
        self.venues: dict[str, VenueStatus] = {}
        self._hours: dict[str, Hours] = {}  # memo, each until its time is over
        self.friction: FrictionPack | None = None
        self.configured: MarketConfigured | None = None
        self.strategies: dict[str, StrategyConfigured] = {}
        self.jump_ns = WINDOW_DEFAULT_NS
        self.polled_fresh_ns = WINDOW_DEFAULT_NS
        self.feed_stale_ns = WINDOW_DEFAULT_NS
        self._appliers: dict[type[Record], Callable[[Any], Change]] = {
            BookDelta: self._delta,
            BookSnapshot: self._snapshot,
            FeedStatus: self._feed_status,
            VenueStatus: self._venue_status,
            PublicTrade: self._trade,
            Observation: self._observation,
            ReferencePrice: self._reference_price,
            ReferenceStatus: self._reference_status,
            InstrumentListed: self._instrument_listed,
            InstrumentMoved: self._instrument_moved,
            InstrumentSettled: self._instrument_settled,
            PairListed: self._pair_listed,
            PairDelisted: self._pair_delisted,
            FrictionPack: self._friction_pack,
            MarketConfigured: self._market_configured,
            StrategyConfigured: self._strategy_configured,
            LogOpened: self._log_opened,
        }

    @property
    def now_ns(self) -> int:
        """Stream time, Unix ns; 0 before the first event of a feed."""
        return self.clock.now_ns

    @property
    def clamped(self) -> int:
        """How many events had a stamp behind stream time."""
        return self.clock.clamped

    @property
    def suspect(self) -> bool:
        """Whether a jump of the clock is claimed and not confirmed: nothing may be intended."""
        return bool(self.clock.claims)

    def apply(self, position: int, record: Record) -> Change:
        """Fold the record at a position and say what it did. A record type that `market` does not hold changes nothing."""
        assert position > self.position, (
            f"position {position} came after {self.position}; fold each record once, in order"
        )
        self.position = position
        applier = self._appliers.get(type(record))
        return Change("none", reason="unknown_record") if applier is None else applier(record)

    def skip(self, position: int) -> None:
        """Pass a record that could not be decoded: it counts as an event that changes nothing."""
        assert position > self.position, (
            f"position {position} came after {self.position}; fold each record once, in order"
        )
        self.position = position

    def reach_ns(self, record: Record) -> int:
        """Stream time that folding a record next will reach."""
        stamp = record.ts_received_ns if type(record) in self._appliers else 0  # type: ignore[attr-defined]  # each of them has it
        return self.clock.reach(stamp, getattr(record, "feed", None), getattr(record, "jump_ns", self.jump_ns))

    def usable(self, instrument_id: str, at_ns: int = 0) -> bool:
        """Whether the book may be traded on now, or at a later moment; the clock's suspicion is the caller's to ask."""
        state = self.books.get(instrument_id)
        if state is None or not state.valid or not self.fresh(state, at_ns):
            return False
        return not self.hours(instrument_id, at_ns).shut

    def why_unusable(self, instrument_id: str) -> str:
        """Why the book may not be traded on now; empty when it may."""
        if self.usable(instrument_id):
            return ""
        state = self.books.get(instrument_id)
        if state is None:
            return "no_book"
        if not state.valid:
            return state.reason
        return self.hours(instrument_id).shut if self.fresh(state) else "stale"

    def hours(self, instrument_id: str, at_ns: int = 0) -> Hours:
        """Whether an order in the instrument would be taken at the stream time reached, or at a later moment, and until when that holds."""
        known = self._hours.get(instrument_id)
        now = self.clock.now_ns
        if at_ns > now and (known is None or at_ns >= known.until_ns):
            return self._find_hours(instrument_id, at_ns)
        if known is None or now >= known.until_ns:
            known = self._hours[instrument_id] = self._find_hours(instrument_id, now)
        return known

    def _find_hours(self, instrument_id: str, now: int) -> Hours:
        listed = self.instruments.get(instrument_id)
        if listed is None:
            return _UNLISTED
        if instrument_id in self.settled:
            return _SETTLED
        if instrument_id in self.refused:
            return _REFUSED
        return hours(listed, self.venues.get(listed.venue), now)

    def schedule(self, instrument_id: str, ts_ns: int) -> FeeSchedule:
        """The fee schedule that charges a fill of a listed instrument at a moment, announced changes counted."""
        listed = self.instruments[instrument_id]
        return schedule_in_force(listed.fee_schedule, listed.fee_changes, ts_ns)[0]

    def fresh(self, state: BookState, at_ns: int = 0) -> bool:
        """Whether a book is young enough, or will be at a later moment: polled by its own age, streaming by its feed's last word."""
        now = max(self.clock.now_ns, at_ns)
        if state.delivery == "polled":
            return now - state.refreshed_ns <= self.polled_fresh_ns
        feed = self.feeds.get(state.feed)
        return feed is not None and feed.state == "live" and now - feed.last_status_now <= self.feed_stale_ns

    # Books

    def _delta(self, record: BookDelta) -> Change:
        clock = self.clock
        clock.advance(record.ts_received_ns, record.feed, self.jump_ns)
        instrument_id = record.instrument_id
        state = self.books.get(instrument_id)
        if state is None:
            return Change("none", instrument_id, reason="no_snapshot")
        if record.feed != state.feed:
            return Change("none", instrument_id, reason="other_feed")
        if record.session != state.session:
            if record.session < state.session:
                return Change("none", instrument_id, reason="old_session")
            return self._break(state, "session")
        if state.broken:
            return Change("none", instrument_id, reason=state.broken)
        if record.sequence <= state.sequence:
            return Change("none", instrument_id, reason="duplicate")
        if record.previous_sequence != state.sequence:
            return self._break(state, "hole")
        state.sequence = record.sequence
        state.ts_received_ns = record.ts_received_ns
        now = clock.now_ns
        state.refreshed_ns = record.ts_received_ns if record.ts_received_ns < now else now
        state.refreshed_position = self.position
        on_grid = state.on_grid
        if not (
            on_grid.issuperset(record.bid_prices) and on_grid.issuperset(record.ask_prices)
        ) and not self._all_on_grid(state, record.bid_prices, record.ask_prices):
            return self._break(state, "off_grid")
        try:
            top_changed = state.book.set_levels(
                record.bid_prices, record.bid_sizes, record.ask_prices, record.ask_sizes
            )
        except BookError:
            state.book.replace((), (), (), ())  # it may hold a part of the change: what a broken book shows is nothing
            return self._break(state, "malformed")
        # Validity follows from the two best levels alone, so an unchanged top needs no second look.
        if top_changed:
            state.settle_validity()
        return state.change(top_changed=top_changed)

    def _snapshot(self, record: BookSnapshot) -> Change:
        self.clock.advance(record.ts_received_ns, record.feed, self.jump_ns)
        instrument_id = record.instrument_id
        feed = self.feeds.get(record.feed)
        if feed is not None and record.session < feed.session:
            return Change("none", instrument_id, reason="old_session")
        state = self.books.get(instrument_id)
        if state is None:
            state = self.books[instrument_id] = BookState(instrument_id, self.instruments.get(instrument_id))
        elif record.feed == state.feed:
            if record.session < state.session:
                return Change("none", instrument_id, reason="old_session")
            if record.session == state.session:
                if record.sequence < state.sequence or (record.sequence == state.sequence and not record.keyframe):
                    return Change("none", instrument_id, reason="duplicate")
                if record.keyframe and not state.broken and same_levels(state.book, record):
                    state.sequence = record.sequence  # the next delta may name the keyframe as the one before it
                    return _KEYFRAME
        return self._start(state, record)

    def _start(self, state: BookState, record: BookSnapshot) -> Change:
        state.feed = record.feed
        state.session = record.session
        state.sequence = record.sequence
        state.delivery = record.delivery
        state.ts_received_ns = record.ts_received_ns
        state.refreshed_ns = min(record.ts_received_ns, self.clock.now_ns)
        state.refreshed_position = self.position
        if not self._all_on_grid(state, record.bid_prices, record.ask_prices):
            return self._break(state, "off_grid")
        try:
            top_changed = state.book.replace(record.bid_prices, record.bid_sizes, record.ask_prices, record.ask_sizes)
        except BookError:
            return self._break(state, "malformed")
        state.broken = ""
        validity_changed = state.settle_validity()
        return Change(
            "book",
            state.instrument_id,
            top_changed=top_changed or validity_changed,
            refreshed=record.delivery == "polled" and not record.keyframe,
            reason=state.reason,
        )

    def _break(self, state: BookState, reason: str) -> Change:
        """Declare a book unusable until its next snapshot."""
        known = bool(state.broken)
        state.broken = reason
        state.settle_validity()
        if known:
            return Change("none", state.instrument_id, reason=reason)
        return Change("book", state.instrument_id, top_changed=True, reason=reason)

    def _all_on_grid(self, state: BookState, bid_prices: tuple[int, ...], ask_prices: tuple[int, ...]) -> bool:
        grid = self.grids.get(state.instrument_id)
        if grid is None:  # not listed, or refused: not usable anyway, and looked at again when a grid comes
            return True
        known = state.on_grid
        for price in (*bid_prices, *ask_prices):
            if price not in known:
                if not grid.contains(price):
                    return False
                known.add(price)
        return True

    def _trade(self, record: PublicTrade) -> Change:
        self.clock.advance(record.ts_received_ns, record.feed, self.jump_ns)
        feed = self.feeds.get(record.feed)
        if feed is not None and record.session < feed.session:
            return Change("none", record.instrument_id, reason="old_session")
        return Change("trade", record.instrument_id, told=record)

    def _observation(self, record: Observation) -> Change:
        self.clock.advance(record.ts_received_ns, None, self.jump_ns)
        return Change("observation", told=record)

    # Feeds

    def _feed_status(self, record: FeedStatus) -> Change:
        self.clock.advance(record.ts_received_ns, record.feed, self.jump_ns)
        health = self.feeds.get(record.feed)
        if health is None:
            health = FeedHealth(-1, record.state, self.clock.now_ns)
            self.feeds[record.feed] = health
        elif record.session < health.session:
            return Change("none", reason="old_session")
        # `resync` is about the named books; the feed itself goes on.
        health.state = "live" if record.state == "resync" else record.state
        health.last_status_now = self.clock.now_ns
        renewed = health.session != record.session
        health.session = record.session
        if not renewed and record.state == "live":
            return _HEARTBEAT
        named = record.instruments if record.state == "resync" else ()
        broken: list[str] = []
        for state in self.books.values():
            if state.feed != record.feed or state.session > record.session or state.broken:
                continue
            if record.state == "down":
                self._break(state, "feed_down")
            elif state.session < record.session:
                self._break(state, "session")
            elif state.instrument_id in named:
                self._break(state, "resync")
            else:
                continue
            broken.append(state.instrument_id)
        return Change("feed", reason=record.state, instruments=tuple(broken))

    def _venue_status(self, record: VenueStatus) -> Change:
        self.clock.advance(record.ts_received_ns, None, self.jump_ns)
        before = self.venues.get(record.venue)
        self.venues[record.venue] = record
        if before is not None and same_but(before, record, VENUE_TERMS):
            return _KEYFRAME
        self._hours.clear()
        return Change("venue", reason=record.reason)

    # References

    def _reference_price(self, record: ReferencePrice) -> Change:
        self.clock.advance(record.ts_received_ns, record.feed, self.jump_ns)
        return self.references.take(record)

    def _reference_status(self, record: ReferenceStatus) -> Change:
        self.clock.advance(record.ts_received_ns, record.feed, self.jump_ns)
        return self.references.hear(record, self.clock.now_ns)

    # Listings

    def _instrument_listed(self, record: InstrumentListed) -> Change:
        self.clock.advance(record.ts_received_ns, None, self.jump_ns)
        instrument_id = record.instrument_id
        before = self.instruments.get(instrument_id)
        if before is not None and same_but(before, record, TERMS):
            self.instruments[instrument_id] = record
            return _KEYFRAME
        if before is not None and not self.identities.accept_instrument(before, record):
            self.refused[instrument_id] = TOKENS_CHANGED
            self._hours.pop(instrument_id, None)
            return Change("instrument", instrument_id, reason=TOKENS_CHANGED)
        self.adopt_listing(record)
        state = self.books.get(instrument_id)
        if state is not None:
            state.adopt(record)
            state.on_grid.clear()
            levels = state.book.levels()
            if not state.broken and not self._all_on_grid(state, levels.bid_prices, levels.ask_prices):
                self._break(state, "off_grid")
        return Change("instrument", instrument_id)

    def adopt_listing(self, record: InstrumentListed) -> None:
        """Take a listing and find out whether its grid and fee schedule can be used; if not, it fails closed."""
        self.instruments[record.instrument_id] = record
        self.refused.pop(record.instrument_id, None)
        self.grids.pop(record.instrument_id, None)
        self._hours.pop(record.instrument_id, None)
        try:
            self.grids[record.instrument_id] = PriceGrid.from_ranges(record.grid)
            check_schedule(record.fee_schedule)
            check_changes(record.fee_schedule, record.fee_changes)
        except (GridError, FeeError) as error:
            self.refused[record.instrument_id] = str(error)
        if record.instrument_id in self.identities.instruments:
            self.refused[record.instrument_id] = TOKENS_CHANGED

    def _instrument_moved(self, record: InstrumentMoved) -> Change:
        self.clock.advance(record.ts_received_ns, None, self.jump_ns)
        instrument_id = record.instrument_id
        self.books.pop(instrument_id, None)
        self.grids.pop(instrument_id, None)
        self.refused.pop(instrument_id, None)
        self._hours.pop(instrument_id, None)
        if self.instruments.pop(instrument_id, None) is None:
            return Change("none", instrument_id, reason="unknown_instrument")
        return Change("moved", instrument_id)

    def _instrument_settled(self, record: InstrumentSettled) -> Change:
        self.clock.advance(record.ts_received_ns, None, self.jump_ns)
        instrument_id, payout = record.instrument_id, record.payout_yes_micros
        known = self.settled.get(instrument_id)
        if known is None:
            self.settled[instrument_id] = payout
            self._hours.pop(instrument_id, None)
            return Change("settled", instrument_id)
        if known == payout:
            return _KEYFRAME
        self.contradicted[instrument_id] = payout
        return Change("none", instrument_id, reason="settled_otherwise")

    def _pair_listed(self, record: PairListed) -> Change:
        self.clock.advance(record.ts_received_ns, None, self.jump_ns)
        if not self.identities.accept_pair(record):
            return Change("contradicted", pair_id=record.pair_id, reason=LEGS_CHANGED)
        before = self.pairs.get(record.pair_id)
        self.pairs[record.pair_id] = record
        if before is not None and same_but(before, record, PAIR_TERMS):
            return _KEYFRAME
        return Change("pair", pair_id=record.pair_id)

    def _pair_delisted(self, record: PairDelisted) -> Change:
        self.clock.advance(record.ts_received_ns, None, self.jump_ns)
        self.identities.delist(record.pair_id)
        if self.pairs.pop(record.pair_id, None) is None:
            return Change("none", pair_id=record.pair_id, reason="unknown_pair")
        return Change("delisted", pair_id=record.pair_id, reason=record.reason)

    # Settings

    def _friction_pack(self, record: FrictionPack) -> Change:
        self.clock.advance(record.ts_received_ns, None, self.jump_ns)
        if self.friction is not None and self.friction.hash == record.hash:
            return _KEYFRAME
        self.friction = record
        return _FRICTION

    def _market_configured(self, record: MarketConfigured) -> Change:
        self.adopt_windows(record)
        self.clock.advance(record.ts_received_ns, None, self.jump_ns)
        run = said_with(record, self.strategies.values())
        if (
            self.configured is not None
            and same_but(self.configured, record, MARKET_TERMS)
            and len(run) == len(self.strategies)
        ):
            return _KEYFRAME
        self.configured, self.strategies = record, run
        return _CONFIGURED

    def _strategy_configured(self, record: StrategyConfigured) -> Change:
        self.clock.advance(record.ts_received_ns, None, self.jump_ns)
        before = self.strategies.get(record.strategy)
        self.strategies[record.strategy] = record
        return _KEYFRAME if before is not None and same_but(before, record, STRATEGY_TERMS) else _STRATEGY

    def adopt_windows(self, record: MarketConfigured) -> None:
        """Take the three windows that validity and time rest on."""
        self.jump_ns = record.jump_ns
        self.polled_fresh_ns = record.polled_fresh_ns
        self.feed_stale_ns = record.feed_stale_ns

    def _log_opened(self, record: LogOpened) -> Change:
        self.clock.advance(record.ts_received_ns, None, self.jump_ns)
        if self.log_id:
            return Change("none", reason="log_open_already")
        self.log_id = record.log_id
        self.partition = record.partition
        self.partitions = record.partitions
        self.base_offset = record.base_offset
        self.recorded = record.clock == RECORDED
        return _LOG
