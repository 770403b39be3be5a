"""Prices of things that no prediction market sells, as a `market` partition has told them: the newest quote or trade of each.

Decides which reference prices count and which may be relied on now. They are for lead-lag and for people: nothing that is traded
may ever depend on them. Must never read a clock; time is the stream time that the caller passes.

A price of an older session is dropped, and so is one whose source number was seen already. Once a reference has been quoted in a
session, its trades no longer set its price: they bounce between bid and ask. A reference is `fresh` while its feed says that it is
live, in the session that the price came from, and has said so within the window.
"""

from crossbook.market.book_state import Change, FeedHealth
from schemas.records import ReferencePrice, ReferenceStatus

_HEARTBEAT = Change("none", reason="heartbeat")


class ReferenceState:
    """The newest price of one reference: a trade stands as bid and ask alike. Owned by its References; others read.

    `sequence_quote` and `sequence_trade` are the source's own numbers (0: none), which count quotes and trades apart; `quoted` says
    whether a quote came in this session.
    """

    __slots__ = (
        "ask_price",
        "ask_size",
        "bid_price",
        "bid_size",
        "feed",
        "quoted",
        "reference_id",
        "sequence_quote",
        "sequence_trade",
        "session",
        "ts_received_ns",
    )

    def __init__(self, reference_id: str) -> None:
        self.reference_id = reference_id
        self.feed = ""
        self.session = -1
        self.sequence_quote = 0
        self.sequence_trade = 0
        self.quoted = False
        self.bid_price: int | None = None
        self.bid_size: int | None = None
        self.ask_price: int | None = None
        self.ask_size: int | None = None
        self.ts_received_ns = 0

    @property
    def valid(self) -> bool:
        """Whether its prices make sense: above zero, and not crossed."""
        bid, ask = self.bid_price, self.ask_price
        if (bid is not None and bid <= 0) or (ask is not None and ask <= 0):
            return False
        return bid is None or ask is None or bid <= ask


class References:
    """All references of a partition: `prices` by reference id, `feeds` by name of the feed."""

    __slots__ = ("feeds", "prices")

    def __init__(self) -> None:
        self.prices: dict[str, ReferenceState] = {}
        self.feeds: dict[str, FeedHealth] = {}

    def take(self, record: ReferencePrice) -> Change:
        """Fold a price. `top_changed` says whether the price or a size is another one than before."""
        reference_id = record.reference_id
        feed = self.feeds.get(record.feed)
        if feed is not None and record.session < feed.session:
            return Change("none", reference_id, reason="old_session")
        state = self.prices.get(reference_id)
        if state is None:
            state = self.prices[reference_id] = ReferenceState(reference_id)
        if (record.feed, record.session) != (state.feed, state.session):
            if record.feed == state.feed and record.session < state.session:
                return Change("none", reference_id, reason="old_session")
            state.feed, state.session = record.feed, record.session
            state.sequence_quote = state.sequence_trade = 0
            state.quoted = False
        return _take_trade(state, record) if record.trade_price_micros is not None else _take_quote(state, record)

    def hear(self, record: ReferenceStatus, now_ns: int) -> Change:
        """Fold the word of a feed; `instruments` names the references whose freshness it may have ended."""
        health = self.feeds.get(record.feed)
        if health is not None and record.session < health.session:
            return Change("none", reason="old_session")
        if health is None:
            health = self.feeds[record.feed] = FeedHealth(-1, record.state, now_ns)
        unchanged = health.session == record.session and health.state == record.state
        health.session, health.state, health.last_status_now = record.session, record.state, now_ns
        if unchanged:
            return _HEARTBEAT
        return Change("reference", reason=record.state, instruments=tuple(self._of(record.feed)))

    def _of(self, feed: str) -> list[str]:
        return [state.reference_id for state in self.prices.values() if state.feed == feed]

    def fresh(self, state: ReferenceState, now_ns: int, stale_ns: int) -> bool:
        """Whether the feed vouches for the price: live, same session, heard within the window."""
        feed = self.feeds.get(state.feed)
        return (
            feed is not None
            and feed.state == "live"
            and feed.session == state.session
            and now_ns - feed.last_status_now <= stale_ns
        )


def _take_quote(state: ReferenceState, record: ReferencePrice) -> Change:
    if record.sequence and record.sequence <= state.sequence_quote:
        return Change("none", state.reference_id, reason="duplicate")
    state.sequence_quote = record.sequence
    state.quoted = True
    return _set(
        state,
        record,
        (record.bid_price_micros, record.bid_size_micros, record.ask_price_micros, record.ask_size_micros),
    )


def _take_trade(state: ReferenceState, record: ReferencePrice) -> Change:
    if record.sequence and record.sequence <= state.sequence_trade:
        return Change("none", state.reference_id, reason="duplicate")
    state.sequence_trade = record.sequence
    if state.quoted:
        return Change("none", state.reference_id, reason="quoted")
    price, size = record.trade_price_micros, record.trade_size_micros
    return _set(state, record, (price, size, price, size))


def _set(
    state: ReferenceState, record: ReferencePrice, top: tuple[int | None, int | None, int | None, int | None]
) -> Change:
    changed = top != (state.bid_price, state.bid_size, state.ask_price, state.ask_size)
    state.bid_price, state.bid_size, state.ask_price, state.ask_size = top
    state.ts_received_ns = record.ts_received_ns
    return Change("reference", state.reference_id, top_changed=changed)
