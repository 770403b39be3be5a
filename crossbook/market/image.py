"""The state of a `market` partition's fold as plain values that JSON can hold, and back.

Decides nothing. Must never lose a part of what `MarketState` knows (memos and what follows from listings are derived again): decide
and execute both go on from it, and both must then write the bytes that a fold from zero writes. A change of these fields is a
change of the format of their checkpoints.
"""

from typing import Final

import msgspec

from crossbook.market.book_state import BookState, FeedHealth
from crossbook.market.market_state import MarketState
from crossbook.market.references import ReferenceState
from schemas.records import (
    Delivery,
    FeedState,
    FrictionPack,
    InstrumentListed,
    MarketConfigured,
    PairListed,
    StrategyConfigured,
    VenueStatus,
)


class BookImage(msgspec.Struct, frozen=True):
    """A BookState; the prices known to be on the grid are found again."""

    instrument_id: str
    bid_prices: tuple[int, ...]
    bid_sizes: tuple[int, ...]
    ask_prices: tuple[int, ...]
    ask_sizes: tuple[int, ...]
    broken: str
    valid: bool
    reason: str
    crossings: int
    feed: str
    session: int
    sequence: int
    delivery: Delivery
    ts_received_ns: int
    refreshed_ns: int
    refreshed_position: int


class FeedImage(msgspec.Struct, frozen=True):
    """A FeedHealth."""

    session: int
    state: FeedState
    last_status_now: int


class ReferenceImage(msgspec.Struct, frozen=True):
    """A ReferenceState."""

    reference_id: str
    feed: str
    session: int
    sequence_quote: int
    sequence_trade: int
    quoted: bool
    bid_price: int | None
    bid_size: int | None
    ask_price: int | None
    ask_size: int | None
    ts_received_ns: int


class MarketImage(msgspec.Struct, frozen=True):
    """A MarketState."""

    position: int
    log_id: str
    partition: int
    partitions: int
    base_offset: int
    recorded: bool
    now_ns: int
    clamped: int
    claims: dict[str, int]
    instruments: tuple[InstrumentListed, ...]
    pairs: tuple[PairListed, ...]
    books: tuple[BookImage, ...]
    feeds: dict[str, FeedImage]
    settled: dict[str, int]
    friction: FrictionPack | None
    configured: MarketConfigured | None
    strategies: tuple[StrategyConfigured, ...]
    references: tuple[ReferenceImage, ...]
    reference_feeds: dict[str, FeedImage]
    legs: dict[str, tuple[str, str]]
    contradicted_pairs: tuple[str, ...]
    contradicted_instruments: tuple[str, ...]
    venues: tuple[VenueStatus, ...] = ()
    contradicted: dict[str, int] = {}


_BOOK_PLAIN: Final = tuple(
    name for name in BookImage.__struct_fields__ if name not in {"bid_prices", "bid_sizes", "ask_prices", "ask_sizes"}
)


def market_image(market: MarketState) -> MarketImage:
    """The image of a market; equal markets that came by the same events give equal images."""
    return MarketImage(
        position=market.position,
        log_id=market.log_id,
        partition=market.partition,
        partitions=market.partitions,
        base_offset=market.base_offset,
        recorded=market.recorded,
        now_ns=market.clock.now_ns,
        clamped=market.clock.clamped,
        claims=market.clock.claims,
        instruments=tuple(market.instruments.values()),
        pairs=tuple(market.pairs.values()),
        books=tuple(_book_image(book) for book in market.books.values()),
        feeds=_feed_images(market.feeds),
        settled=market.settled,
        friction=market.friction,
        configured=market.configured,
        strategies=tuple(market.strategies.values()),
        references=tuple(
            ReferenceImage(**{name: getattr(one, name) for name in ReferenceImage.__struct_fields__})
            for one in market.references.prices.values()
        ),
        reference_feeds=_feed_images(market.references.feeds),
        legs=market.identities.legs,
        contradicted_pairs=tuple(market.identities.pairs),
        contradicted_instruments=tuple(market.identities.instruments),
        venues=tuple(market.venues.values()),
        contradicted=market.contradicted,
    )


def restore_market(market: MarketState, image: MarketImage) -> None:
    """Bring a fresh MarketState to where the image stands."""
    market.position = image.position
    market.log_id = image.log_id
    market.partition = image.partition
    market.partitions = image.partitions
    market.base_offset = image.base_offset
    market.recorded = image.recorded
    market.clock.now_ns = image.now_ns
    market.clock.clamped = image.clamped
    market.clock.claims = dict(image.claims)
    market.identities.legs = dict(image.legs)
    market.identities.pairs = dict.fromkeys(image.contradicted_pairs)
    market.identities.instruments = dict.fromkeys(image.contradicted_instruments)
    for listed in image.instruments:
        market.adopt_listing(listed)
    market.pairs = {pair.pair_id: pair for pair in image.pairs}
    for book in image.books:
        market.books[book.instrument_id] = _book_state(book, market.instruments.get(book.instrument_id))
    market.feeds = _feeds(image.feeds)
    market.settled = dict(image.settled)
    market.friction = image.friction
    market.configured = image.configured
    market.strategies = {one.strategy: one for one in image.strategies}
    if image.configured is not None:
        market.adopt_windows(image.configured)
    for one in image.references:
        market.references.prices[one.reference_id] = _reference_state(one)
    market.references.feeds = _feeds(image.reference_feeds)
    market.venues = {status.venue: status for status in image.venues}
    market.contradicted = dict(image.contradicted)


def _feed_images(feeds: dict[str, FeedHealth]) -> dict[str, FeedImage]:
    return {name: FeedImage(feed.session, feed.state, feed.last_status_now) for name, feed in feeds.items()}


def _feeds(images: dict[str, FeedImage]) -> dict[str, FeedHealth]:
    return {name: FeedHealth(feed.session, feed.state, feed.last_status_now) for name, feed in images.items()}


def _reference_state(image: ReferenceImage) -> ReferenceState:
    state = ReferenceState(image.reference_id)
    for name in ReferenceImage.__struct_fields__:
        setattr(state, name, getattr(image, name))
    return state


def _book_image(state: BookState) -> BookImage:
    levels = state.book.levels()
    return BookImage(**levels._asdict(), **{name: getattr(state, name) for name in _BOOK_PLAIN})


def _book_state(image: BookImage, listed: InstrumentListed | None) -> BookState:
    state = BookState(image.instrument_id, listed)
    state.book.replace(image.bid_prices, image.bid_sizes, image.ask_prices, image.ask_sizes)
    for name in _BOOK_PLAIN:
        setattr(state, name, getattr(image, name))
    return state
