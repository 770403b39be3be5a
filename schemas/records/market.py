"""Records of `tape` and `market`: what venues said and what was configured, in the order that decisions are made in."""

from schemas.records.base import Delivery, Direction, FeedState, InstrumentStatus, Record, Relation, Side, Venue
from schemas.records.parts import (
    FeeSchedule,
    OrderMinimum,
    PauseWindow,
    PayoutCell,
    PriceRange,
    StrategySetting,
    VenuePolicy,
)


class RawFrame(Record, frozen=True, kw_only=True, gc=False):
    """A venue message as bytes, published before it is parsed."""

    ts_received_ns: int
    feed: str
    connection: str
    session: int
    direction: Direction
    payload: bytes
    payload_bytes: int = 0
    payload_sha256: str = ""


class LogOpened(Record, frozen=True, kw_only=True, gc=False):
    """Head of a `market` partition: names the log and where its positions start."""

    ts_received_ns: int
    log_id: str
    partition: int
    partitions: int
    base_offset: int
    clock: str = "wall"


class MarketConfigured(Record, frozen=True, kw_only=True, gc=False):
    """How `market` is read and when tops and watermarks are written, from this position on, and by which code. Decide writes nothing before the first one; the strategies are configured before it."""

    ts_received_ns: int
    code_digest: str
    top_interval_ns: int
    watermark_interval_ns: int
    polled_fresh_ns: int
    feed_stale_ns: int
    jump_ns: int
    control_offset: int


class StrategyConfigured(Record, frozen=True, kw_only=True, gc=False):
    """Settings under which a strategy works from this position on."""

    ts_received_ns: int
    strategy: str
    version: str
    code_digest: str
    settings: tuple[StrategySetting, ...]
    control_offset: int


class FrictionPack(Record, frozen=True, kw_only=True, gc=False):
    """Costs beside price and fee. Named by its hash in every edge."""

    ts_received_ns: int
    gas_micros: int
    fx_ppm: int
    on_ramp_ppm: int
    lockup_ppm_per_year: int
    source: str
    hash: str


class InstrumentListed(Record, frozen=True, kw_only=True, gc=False):
    """A binary contract as it may be traded now; repeated as a keyframe and on every change."""

    ts_received_ns: int
    instrument_id: str
    venue: Venue
    symbol: str
    yes_token: str | None = None
    no_token: str | None = None
    event_id: str
    series_id: str | None = None
    group: str
    title: str
    category: str
    rules_hash: str
    resolution_source: str
    grid: tuple[PriceRange, ...]
    quantity_step_micros: int
    minimums: tuple[OrderMinimum, ...]
    taker_delay_ms: int
    ts_close_ns: int | None = None
    ts_payout_expected_ns: int | None = None
    ts_game_start_ns: int | None = None
    neg_risk: bool
    exchange_version: str
    shard: int
    volume_micros: int | None = None
    status: InstrumentStatus
    fee_schedule: FeeSchedule
    policy: VenuePolicy
    keyframe: bool
    ts_open_ns: int | None = None
    fee_changes: tuple[FeeSchedule, ...] = ()


class InstrumentMoved(Record, frozen=True, kw_only=True, gc=False):
    """The instrument leaves this partition: its book is dropped and its quotes are closed."""

    ts_received_ns: int
    instrument_id: str
    group_from: str
    group_to: str


class InstrumentSettled(Record, frozen=True, kw_only=True, gc=False):
    """The market's payout."""

    ts_received_ns: int
    ts_venue_ns: int | None = None
    instrument_id: str
    payout_yes_micros: int
    source: str


class PairListed(Record, frozen=True, kw_only=True, gc=False):
    """Two instruments judged to resolve alike (or as complements), in force from this position on."""

    ts_received_ns: int
    group: str
    pair_id: str
    relation: Relation
    instrument_a: str
    instrument_b: str
    payouts: tuple[PayoutCell, ...]
    haircut_micros: int
    evidence: str
    approved_by: str
    keyframe: bool


class PairDelisted(Record, frozen=True, kw_only=True, gc=False):
    """The pair is no longer traded; open trades go on by their plan."""

    ts_received_ns: int
    pair_id: str
    reason: str


class BookSnapshot(Record, frozen=True, kw_only=True, gc=False):
    """The whole book of an instrument, in YES terms; starts or refreshes it."""

    ts_received_ns: int
    ts_venue_ns: int | None = None
    instrument_id: str
    feed: str
    session: int
    sequence: int
    delivery: Delivery
    cadence_ms: int
    keyframe: bool
    bid_prices: tuple[int, ...]
    bid_sizes: tuple[int, ...]
    ask_prices: tuple[int, ...]
    ask_sizes: tuple[int, ...]


class BookDelta(Record, frozen=True, kw_only=True, gc=False):
    """Changed levels of a book, absolute sizes; counts only right after previous_sequence of the same session."""

    ts_received_ns: int
    ts_venue_ns: int | None = None
    instrument_id: str
    feed: str
    session: int
    sequence: int
    previous_sequence: int
    bid_prices: tuple[int, ...]
    bid_sizes: tuple[int, ...]
    ask_prices: tuple[int, ...]
    ask_sizes: tuple[int, ...]


class PublicTrade(Record, frozen=True, kw_only=True, gc=False):
    """A trade of others."""

    ts_received_ns: int
    ts_venue_ns: int | None = None
    instrument_id: str
    feed: str
    session: int
    trade_id: str
    price_micros: int
    quantity_micros: int
    taker_side: Side


class FeedStatus(Record, frozen=True, kw_only=True, gc=False):
    """Health of a feed, every 500 ms into each partition that it feeds, and at once when it changes. Silence for 2 s means stale."""

    ts_received_ns: int
    feed: str
    venue: Venue
    session: int
    state: FeedState
    reason: str
    instruments: tuple[str, ...]
    ts_data_ns: int | None = None
    clock_offset_ns: int | None = None


class VenueStatus(Record, frozen=True, kw_only=True, gc=False):
    """Whether a venue trades, as it says itself; written when that changes, repeated as a keyframe. It holds until the next one: nothing that it halts may be traded, whatever a listing says."""

    ts_received_ns: int
    venue: Venue
    exchange_active: bool
    trading_active: bool
    shards_halted: tuple[int, ...]
    ts_resume_ns: int | None = None
    pauses: tuple[PauseWindow, ...]
    reason: str
    keyframe: bool


class ReferencePrice(Record, frozen=True, kw_only=True, gc=False):
    """Price of something that no prediction market sells, such as bitcoin in dollars: the last trade or the best quote of a reference venue."""

    ts_received_ns: int
    ts_venue_ns: int | None = None
    reference_id: str
    feed: str
    session: int
    sequence: int
    bid_price_micros: int | None = None
    bid_size_micros: int | None = None
    ask_price_micros: int | None = None
    ask_size_micros: int | None = None
    trade_price_micros: int | None = None
    trade_size_micros: int | None = None


class ReferenceStatus(Record, frozen=True, kw_only=True, gc=False):
    """Health of a reference feed, every 500 ms into each partition, and at once when it changes. Silence for 2 s means stale."""

    ts_received_ns: int
    feed: str
    session: int
    state: FeedState
    reason: str
    ts_data_ns: int | None = None
    clock_offset_ns: int | None = None


class Observation(Record, frozen=True, kw_only=True, gc=False):
    """Something that somebody observed or estimated and that no venue says: news, scores, probabilities of a model. Strategies may use it; the market is read alike without it."""

    ts_received_ns: int
    ts_published_ns: int | None = None
    source: str
    subject: str
    kind: str
    value_micros: int | None = None
    confidence_ppm: int | None = None
    ts_valid_until_ns: int | None = None
    model: str
    evidence: str
