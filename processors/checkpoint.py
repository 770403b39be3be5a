"""The state of decide's fold as readable JSON, in chunks, and back.

Decides nothing. Must never lose a part of the state: a fold that goes on from a checkpoint writes the same bytes as one from zero
(memos are derived again). A checkpoint of another log, format or decision code is not for us and is ignored, never adapted.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from crossbook.domain.book_state import BookState, FeedHealth
from crossbook.domain.market_state import MarketState
from processors.decide_state import DecideState, PackageState, PairState, QuoteStatus
from processors.edges import Evaluation
from processors.errors import CheckpointError
from schemas.records import (
    Checkpoint,
    DecideConfigured,
    Delivery,
    FeedState,
    FrictionPack,
    InstrumentListed,
    Package,
    PairListed,
)

STAGE: Final = "decide"
FORMAT_VERSION: Final = 1
#: A record must stay below 1 MB on the broker; this leaves room for its other fields.
CHUNK_BYTES: Final = 900_000


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


class MarketImage(msgspec.Struct, frozen=True):
    """A MarketState."""

    position: int
    log_id: str
    partition: int
    partitions: int
    base_offset: int
    now_ns: int
    clamped: int
    claims: dict[str, int]
    instruments: tuple[InstrumentListed, ...]
    pairs: tuple[PairListed, ...]
    books: tuple[BookImage, ...]
    feeds: dict[str, FeedImage]
    settled: dict[str, int]
    friction: FrictionPack | None
    configured: DecideConfigured | None


class PackageImage(msgspec.Struct, frozen=True):
    """A PackageState."""

    package: Package
    status: QuoteStatus
    quoted: tuple[int, ...]
    refusal: str
    evaluations: int
    gross_positive: int
    net_positive: int
    episodes: int
    at_threshold: int
    episodes_at_threshold: int
    in_episode: bool
    in_episode_at_threshold: bool
    net_best_micros: int | None


class PairImage(msgspec.Struct, frozen=True):
    """A PairState."""

    listing: PairListed
    last_intent_ns: int | None
    packages: tuple[PackageImage, ...]


class DecideImage(msgspec.Struct, frozen=True):
    """A DecideState."""

    market: MarketImage
    pairs: tuple[PairImage, ...]
    groups: dict[str, str]
    top_written_ns: dict[str, int]
    tops_unwritten: tuple[str, ...]
    statistics_unwritten: tuple[tuple[str, Package], ...]
    quotes: tuple[tuple[str, Package], ...]
    watermark_due_ns: int
    intents: int


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(DecideImage)
_PACKAGE_PLAIN: Final = tuple(name for name in PackageImage.__struct_fields__ if name != "quoted")
_BOOK_PLAIN: Final = tuple(
    name for name in BookImage.__struct_fields__ if name not in {"bid_prices", "bid_sizes", "ask_prices", "ask_sizes"}
)


def freeze(state: DecideState) -> bytes:
    """The whole state as UTF-8 JSON; equal states that came by the same events give equal bytes."""
    return _ENCODER.encode(
        DecideImage(
            market=_market_image(state.market),
            pairs=tuple(
                PairImage(
                    pair.listing, pair.last_intent_ns, tuple(_package_image(one) for one in pair.packages.values())
                )
                for pair in state.pairs.values()
            ),
            groups=state.groups,
            top_written_ns=state.top_written_ns,
            tops_unwritten=tuple(state.tops_unwritten),
            statistics_unwritten=tuple(state.statistics_unwritten),
            quotes=tuple(state.quotes),
            watermark_due_ns=state.watermark_due_ns,
            intents=state.intents,
        )
    )


def thaw(payload: bytes, code_digest: str) -> DecideState:
    """The state that `freeze` wrote. Raises CheckpointError when the bytes are none."""
    try:
        image = _DECODER.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"a checkpoint could not be read: {error}; it is ignored") from error
    state = DecideState(code_digest)
    _restore_market(state.market, image.market)
    for pair in image.pairs:
        pair_state = PairState(pair.listing)
        pair_state.last_intent_ns = pair.last_intent_ns
        for one in pair.packages:
            pair_state.packages[one.package] = _package_state(pair.listing.pair_id, one)
        state.pairs[pair.listing.pair_id] = pair_state
    state.groups = dict(image.groups)
    state.top_written_ns = dict(image.top_written_ns)
    state.tops_unwritten = dict.fromkeys(image.tops_unwritten)
    state.statistics_unwritten = dict.fromkeys(image.statistics_unwritten)
    state.quotes = dict.fromkeys(image.quotes)
    state.watermark_due_ns = image.watermark_due_ns
    state.intents = image.intents
    return state


def to_records(state: DecideState) -> list[Checkpoint]:
    """The state as records of `checkpoints.decide`, to be written in this order to the state's own partition."""
    payload = freeze(state)
    market = state.market
    pieces = [payload[start : start + CHUNK_BYTES] for start in range(0, len(payload), CHUNK_BYTES)]
    return [
        Checkpoint(
            stage=STAGE,
            log_id=market.log_id,
            partition=market.partition,
            position=market.position,
            format_version=FORMAT_VERSION,
            code_digest=state.code_digest,
            chunk=number,
            chunks=len(pieces),
            payload=piece,
        )
        for number, piece in enumerate(pieces)
    ]


def newest_state(
    records: Iterable[Checkpoint], *, log_id: str, partition: int, position_max: int, code_digest: str
) -> DecideState | None:
    """The newest whole state at or before a position, or None: then the fold starts from zero.

    Chunks of one checkpoint follow each other, perhaps with a broken-off attempt before them.
    """
    best: DecideState | None = None
    pieces: list[Checkpoint] = []
    candidates: list[Sequence[Checkpoint]] = []
    for record in records:
        if (
            record.stage != STAGE
            or record.log_id != log_id
            or record.partition != partition
            or record.format_version != FORMAT_VERSION
            or record.code_digest != code_digest
            or record.position > position_max
        ):
            continue
        if record.chunk == 0:
            pieces = []
        elif not pieces or (pieces[-1].position, pieces[-1].chunk + 1) != (record.position, record.chunk):
            pieces = []
            continue
        pieces.append(record)
        if len(pieces) == record.chunks:
            candidates.append(pieces)
            pieces = []
    for candidate in sorted(candidates, key=lambda one: one[0].position, reverse=True):
        try:
            best = thaw(b"".join(piece.payload for piece in candidate), code_digest)
        except CheckpointError:
            continue  # damaged: an older one serves as well
        break
    return best


def _market_image(market: MarketState) -> MarketImage:
    return MarketImage(
        position=market.position,
        log_id=market.log_id,
        partition=market.partition,
        partitions=market.partitions,
        base_offset=market.base_offset,
        now_ns=market.clock.now_ns,
        clamped=market.clock.clamped,
        claims=market.clock.claims,
        instruments=tuple(market.instruments.values()),
        pairs=tuple(market.pairs.values()),
        books=tuple(_book_image(book) for book in market.books.values()),
        feeds={name: FeedImage(feed.session, feed.state, feed.last_status_now) for name, feed in market.feeds.items()},
        settled=market.settled,
        friction=market.friction,
        configured=market.configured,
    )


def _restore_market(market: MarketState, image: MarketImage) -> None:
    market.position = image.position
    market.log_id = image.log_id
    market.partition = image.partition
    market.partitions = image.partitions
    market.base_offset = image.base_offset
    market.clock.now_ns = image.now_ns
    market.clock.clamped = image.clamped
    market.clock.claims = dict(image.claims)
    for listed in image.instruments:
        market.adopt_listing(listed)
    market.pairs = {pair.pair_id: pair for pair in image.pairs}
    for book in image.books:
        market.books[book.instrument_id] = _book_state(book)
    for name, feed in image.feeds.items():
        market.feeds[name] = FeedHealth(feed.session, feed.state, feed.last_status_now)
    market.settled = dict(image.settled)
    market.friction = image.friction
    market.configured = image.configured
    if image.configured is not None:
        market.adopt_windows(image.configured)


def _book_image(state: BookState) -> BookImage:
    levels = state.book.levels()
    return BookImage(**levels._asdict(), **{name: getattr(state, name) for name in _BOOK_PLAIN})


def _book_state(image: BookImage) -> BookState:
    state = BookState(image.instrument_id)
    state.book.replace(image.bid_prices, image.bid_sizes, image.ask_prices, image.ask_sizes)
    for name in _BOOK_PLAIN:
        setattr(state, name, getattr(image, name))
    return state


def _package_image(state: PackageState) -> PackageImage:
    return PackageImage(quoted=tuple(state.quoted), **{name: getattr(state, name) for name in _PACKAGE_PLAIN})


def _package_state(pair_id: str, image: PackageImage) -> PackageState:
    state = PackageState(pair_id, image.package)
    for name in _PACKAGE_PLAIN:
        setattr(state, name, getattr(image, name))
    state.quoted = Evaluation(*image.quoted)
    return state
