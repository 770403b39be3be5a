"""What a fold of `market` keeps beside the levels of a book, and how it says what a record did.

Decides from a book's levels and its breaks whether it is valid. Must never look at time or at other books.
"""

from typing import Literal, NamedTuple, TypeAlias

from crossbook.market.book import OrderBook
from schemas.records import Delivery, FeedState, InstrumentListed, Observation, PublicTrade

ChangeKind: TypeAlias = Literal[
    "none",
    "log",
    "configured",
    "strategy",
    "friction",
    "instrument",
    "moved",
    "settled",
    "pair",
    "contradicted",
    "delisted",
    "book",
    "trade",
    "feed",
    "venue",
    "reference",
    "observation",
    "suspect",
    "time",
]


class Change(NamedTuple):
    """What a record did.

    `none`: it changed no book, listing or setting (a duplicate, an old session, an unchanged keyframe); `reason` says why.
    `book`: `top_changed` is true when a best level or the validity changed, `refreshed` when a polled book was polled anew.
    `contradicted`: a listing named other legs under a pair's id; it was not taken, and the pair is not to be traded.
    `feed`: `instruments` are those whose books it broke.
    `venue`: whether a venue trades, or when it will pause, changed.
    `reference`: `instrument_id` names a reference whose price was told anew (`top_changed`: it changed), or `instruments` those that
    the word of their feed concerns.
    `trade`, `observation`: `told` is the record itself; no state is kept of it.
    `suspect`, `time`: no record did it; strategies are told so while the clock is suspect, and before a watermark.
    """

    kind: ChangeKind
    instrument_id: str | None = None
    pair_id: str | None = None
    top_changed: bool = False
    refreshed: bool = False
    reason: str = ""
    instruments: tuple[str, ...] = ()
    told: PublicTrade | Observation | None = None


class FeedHealth:
    """What a feed last said of itself."""

    __slots__ = ("last_status_now", "session", "state")

    def __init__(self, session: int, state: FeedState, last_status_now: int) -> None:
        self.session = session
        self.state: FeedState = state
        self.last_status_now = last_status_now


class BookState:
    """A book and what is known of it. Owned by its MarketState; others read.

    `reason` says why it is not valid; `ts_received_ns` stamps the event that last changed or refreshed it, `refreshed_ns` is
    the same but never ahead of stream time, and `refreshed_position` the position of that event. `crossing_breaks` says whether a
    crossed book needs a snapshot or only counts no more until it uncrosses: the listing's word, and a snapshot before there is one.
    """

    __slots__ = (
        "_quiet",
        "_top",
        "book",
        "broken",
        "crossing_breaks",
        "crossings",
        "delivery",
        "feed",
        "instrument_id",
        "on_grid",
        "reason",
        "refreshed_ns",
        "refreshed_position",
        "sequence",
        "session",
        "ts_received_ns",
        "valid",
    )

    def __init__(self, instrument_id: str, listed: InstrumentListed | None) -> None:
        self.instrument_id = instrument_id
        self.crossing_breaks = True
        if listed is not None:
            self.adopt(listed)
        self.book = OrderBook()
        self.broken = "no_snapshot"
        self.valid = False
        self.reason = self.broken
        self.crossings = 0
        self.feed = ""
        self.session = -1
        self.sequence = -1
        self.delivery: Delivery = "streaming"
        self.ts_received_ns = 0
        self.refreshed_ns = 0
        self.refreshed_position = -1
        self.on_grid: set[int] = set()  # prices found on the grid so far; a memory, no state
        self._quiet = Change("book", instrument_id)
        self._top = Change("book", instrument_id, top_changed=True)

    def adopt(self, listed: InstrumentListed) -> None:
        """Take what its listing says of a crossed book; anything but `suspended` breaks it."""
        self.crossing_breaks = listed.policy.crossed_book != "suspended"

    def settle_validity(self) -> bool:
        """Derive `valid` and `reason` anew; return whether validity changed.

        In one mirrored book YES + NO below 1 cannot rest: it is a crossing, counted and never traded on.
        """
        if self.valid and self.book.crossed:
            self.crossings += 1
        if not self.broken and self.crossing_breaks and self.book.crossed:
            self.broken = "crossed"
        self.reason = self.broken or ("crossed" if self.book.crossed else "")
        before = self.valid
        self.valid = not self.reason
        return before != self.valid

    def change(self, *, top_changed: bool) -> Change:
        """The Change of an event that this book took."""
        return self._top if top_changed else self._quiet
