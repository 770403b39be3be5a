"""Record classes of the log, one for each schema in `avro/`.

The `.avsc` files are the contract and document every field; a test pins each class here to its schema, field by field.
Units are in the names: `_micros` is 10^-6 of a dollar or of a contract, `_ns` Unix nanoseconds. Nothing here has behaviour.
"""

from typing import Literal, TypeAlias

import msgspec

Venue: TypeAlias = Literal["polymarket", "kalshi"]
Outcome: TypeAlias = Literal["yes", "no"]
Side: TypeAlias = Literal["buy", "sell"]
Delivery: TypeAlias = Literal["streaming", "polled"]
FeedState: TypeAlias = Literal["live", "resync", "down", "ended"]
InstrumentStatus: TypeAlias = Literal["active", "paused", "closed"]
FeeModel: TypeAlias = Literal["kalshi_quadratic", "polymarket_curve", "free"]
Rounding: TypeAlias = Literal["half_up", "floor", "ceil"]
OrderType: TypeAlias = Literal["marketable", "resting"]
Relation: TypeAlias = Literal["identity", "complement"]
PayoutOutcome: TypeAlias = Literal["yes", "no", "void", "tie", "cancelled", "postponed"]
Package: TypeAlias = Literal["yes_a_no_b", "no_a_yes_b", "yes_a_yes_b", "no_a_no_b"]
EdgeState: TypeAlias = Literal["opened", "changed", "closed", "suspended"]
TimeInForce: TypeAlias = Literal["fill_or_kill", "immediate_or_cancel"]
Role: TypeAlias = Literal["leader", "hedge", "unwind"]
OrderStatus: TypeAlias = Literal[
    "requested", "accepted", "delayed", "partially_filled", "filled", "canceled", "rejected", "expired", "unknown"
]
TradeState: TypeAlias = Literal[
    "proposed", "declined", "leading", "hedging", "unwinding", "hedged", "flat", "stuck", "closed"
]
TimerKind: TypeAlias = Literal["order_timeout", "retry", "adverse", "finality"]
Liquidity: TypeAlias = Literal["taker", "maker"]
Finality: TypeAlias = Literal["provisional", "final"]
TradingState: TypeAlias = Literal["running", "reduce_only", "halted"]
Scope: TypeAlias = Literal["all", "venue", "category", "pair"]
Direction: TypeAlias = Literal["received", "sent"]
LatencyKind: TypeAlias = Literal["tick_to_plan", "hedge"]


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of every record: immutable, compared by value."""


class PriceRange(Record, frozen=True, kw_only=True, gc=False):
    """One stretch of a price grid: valid prices are start, start + tick, ... up to end."""

    start_micros: int
    end_micros: int
    tick_micros: int


class FeeSchedule(Record, frozen=True, kw_only=True, gc=False):
    """How a venue charges one instrument, from a moment on. Named by its hash in every edge and fill."""

    model: FeeModel
    taker_rate_ppm: int
    maker_rate_ppm: int
    exponent: int
    rounding: Rounding
    member_precision_micros: int
    ts_effective_ns: int
    source: str
    hash: str


class OrderMinimum(Record, frozen=True, kw_only=True, gc=False):
    """Smallest order that a venue takes, by order type and side."""

    order_type: OrderType
    side: Side
    quantity_micros: int
    notional_micros: int


class PayoutCell(Record, frozen=True, kw_only=True, gc=False):
    """What both legs pay in one outcome of the world."""

    outcome: PayoutOutcome
    payout_a_micros: int | None = None
    payout_b_micros: int | None = None
    admissible: bool
    evidence: str


class IntentLeg(Record, frozen=True, kw_only=True, gc=False):
    """One side of a package as a processor wants it bought."""

    instrument_id: str
    venue: Venue
    outcome: Outcome
    price_limit_micros: int
    cost_micros: int
    fee_micros: int
    depth_micros: int
    quantity_step_micros: int
    quantity_minimum_micros: int
    notional_minimum_micros: int
    taker_delay_ms: int
    grid: tuple[PriceRange, ...]
    fee_schedule: FeeSchedule
    category: str
    shard: int


class PlanSlot(Record, frozen=True, kw_only=True, gc=False):
    """An order that may be sent under a committed plan."""

    order_id: str
    role: Role
    attempt: int
    instrument_id: str
    venue: Venue
    outcome: Outcome
    side: Side
    price_worst_micros: int
    quantity_max_micros: int
    time_in_force: TimeInForce
    ts_deadline_ns: int


class RawFrame(Record, frozen=True, kw_only=True, gc=False):
    """A venue message as bytes, published before it is parsed."""

    ts_received_ns: int
    feed: str
    connection: str
    session: int
    direction: Direction
    payload: bytes


class LogOpened(Record, frozen=True, kw_only=True, gc=False):
    """Head of a `market` partition: names the log and where its positions start."""

    ts_received_ns: int
    log_id: str
    partition: int
    partitions: int
    base_offset: int


class DecideConfigured(Record, frozen=True, kw_only=True, gc=False):
    """Settings and code digest under which decide works from this position on."""

    ts_received_ns: int
    code_digest: str
    min_edge_micros: int
    edge_change_micros: int
    top_interval_ns: int
    watermark_interval_ns: int
    polled_fresh_ns: int
    feed_stale_ns: int
    cooldown_ns: int
    intent_valid_ns: int
    close_window_ns: int
    game_start_window_ns: int
    jump_ns: int
    cost_max_micros: int
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
    keyframe: bool


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


class TopOfBook(Record, frozen=True, kw_only=True, gc=False):
    """Best bid and ask of an instrument."""

    ts_ns: int
    log_id: str
    partition: int
    position: int
    index: int
    instrument_id: str
    valid: bool
    fresh: bool
    bid_price_micros: int | None = None
    bid_size_micros: int | None = None
    ask_price_micros: int | None = None
    ask_size_micros: int | None = None
    ts_received_ns: int


class EdgeQuote(Record, frozen=True, kw_only=True, gc=False):
    """Edge of a package after fees, frictions and depth, at a stated quantity. All amounts are totals of that quantity, micros of a dollar."""

    ts_ns: int
    log_id: str
    partition: int
    position: int
    index: int
    pair_id: str
    package: Package
    state: EdgeState
    reason: str
    quantity_micros: int
    price_a_micros: int
    price_b_micros: int
    cost_a_micros: int
    cost_b_micros: int
    payout_micros: int
    gross_micros: int
    fee_a_micros: int
    fee_b_micros: int
    friction_micros: int
    lockup_micros: int
    net_micros: int
    net_per_contract_micros: int
    distance_micros: int
    schedule_a: str
    schedule_b: str
    friction_hash: str


class EdgeStatistics(Record, frozen=True, kw_only=True, gc=False):
    """Counters of a pair's package since the log began; written with a Watermark when they changed."""

    ts_ns: int
    log_id: str
    partition: int
    position: int
    index: int
    pair_id: str
    package: Package
    evaluations: int
    gross_positive: int
    net_positive: int
    episodes: int
    at_threshold: int
    episodes_at_threshold: int
    net_best_micros: int | None = None


class Watermark(Record, frozen=True, kw_only=True, gc=False):
    """Proof that decide has folded everything up to a position."""

    ts_ns: int
    log_id: str
    partition: int
    position: int
    index: int
    intents: int
    clamped: int


class TradeIntent(Record, frozen=True, kw_only=True, gc=False):
    """What decide wants done: buy both legs of a package."""

    intent_id: str
    ts_ns: int
    ts_received_ns: int
    log_id: str
    partition: int
    position: int
    index: int
    number: int
    pair_id: str
    package: Package
    quantity_micros: int
    leg_a: IntentLeg
    leg_b: IntentLeg
    payout_micros: int
    gross_micros: int
    friction_micros: int
    lockup_micros: int
    net_micros: int
    net_per_contract_micros: int
    friction_hash: str
    valid_until_ns: int


class ExecutorConfigured(Record, frozen=True, kw_only=True, gc=False):
    """Settings and code digest under which the executor works from here on."""

    sequence: int
    ts_ns: int
    portfolio: str
    code_digest: str
    settings: str


class IntentSeen(Record, frozen=True, kw_only=True, gc=False):
    """Input: an intent reached the executor."""

    sequence: int
    ts_ns: int
    partition: int
    position: int
    ts_seen_ns: int
    intent: TradeIntent


class ControlApplied(Record, frozen=True, kw_only=True, gc=False):
    """Input: an operator's word took effect; the acknowledgement of a halt."""

    sequence: int
    ts_ns: int
    control_offset: int
    action: str
    scope: Scope
    scope_value: str
    state: TradingState | None = None
    name: str
    value_micros: int
    operator: str


class TimerFired(Record, frozen=True, kw_only=True, gc=False):
    """Input: a timer of a trade ran out."""

    sequence: int
    ts_ns: int
    partition: int
    position: int
    trade_id: str
    timer: TimerKind
    order_id: str


class TopSeen(Record, frozen=True, kw_only=True, gc=False):
    """Input: the book that an open trade's choice rests on."""

    sequence: int
    ts_ns: int
    partition: int
    position: int
    trade_id: str
    instrument_id: str
    usable: bool
    bid_price_micros: int | None = None
    bid_size_micros: int | None = None
    ask_price_micros: int | None = None
    ask_size_micros: int | None = None


class TradePlan(Record, frozen=True, kw_only=True, gc=False):
    """Output: everything that a trade may send, committed before its first byte leaves."""

    sequence: int
    ts_ns: int
    partition: int
    position: int
    trade_id: str
    intent_id: str
    pair_id: str
    quantity_micros: int
    leader: PlanSlot
    slots: tuple[PlanSlot, ...]


class OrderRequested(Record, frozen=True, kw_only=True, gc=False):
    """Output: we are about to send this order."""

    sequence: int
    ts_ns: int
    partition: int
    position: int
    order_id: str
    trade_id: str
    role: Role
    attempt: int
    instrument_id: str
    venue: Venue
    outcome: Outcome
    side: Side
    price_limit_micros: int
    quantity_micros: int
    time_in_force: TimeInForce
    reduce_only: bool
    send_before_ns: int
    reserved_micros: int


class OrderReport(Record, frozen=True, kw_only=True, gc=False):
    """Input: what the venue (or silence) told us of an order. Carries its result, so that no reader needs an order machine."""

    sequence: int
    ts_ns: int
    partition: int
    position: int
    report_id: str
    order_id: str
    venue_order_id: str
    trade_id: str
    ts_venue_ns: int | None = None
    order_status: OrderStatus
    cumulative_quantity_micros: int
    leaves_quantity_micros: int
    last_quantity_micros: int
    last_price_micros: int
    last_fee_micros: int
    fill_id: str
    liquidity: Liquidity
    finality: Finality
    reversed: bool
    reason: str


class TradeUpdate(Record, frozen=True, kw_only=True, gc=False):
    """Output: a trade changed state."""

    sequence: int
    ts_ns: int
    partition: int
    position: int
    trade_id: str
    intent_id: str
    pair_id: str
    package: Package
    state: TradeState
    reason: str
    quantity_a_micros: int
    quantity_b_micros: int
    residual_micros: int
    cost_micros: int
    fee_micros: int
    edge_micros: int


class LatencyObserved(Record, frozen=True, kw_only=True, gc=False):
    """Input that changes nothing: wall-clock stamps of a finished stage."""

    sequence: int
    ts_ns: int
    trade_id: str
    kind: LatencyKind
    ts_start_ns: int
    ts_end_ns: int
    latency_ns: int


class Fill(Record, frozen=True, kw_only=True, gc=False):
    """One execution, for everyone else (derived from the journal in the same transaction)."""

    sequence: int
    ts_ns: int
    fill_id: str
    order_id: str
    trade_id: str
    intent_id: str
    pair_id: str
    category: str
    role: Role
    instrument_id: str
    venue: Venue
    outcome: Outcome
    side: Side
    price_micros: int
    price_planned_micros: int
    quantity_micros: int
    fee_micros: int
    liquidity: Liquidity
    schedule_hash: str
    finality: Finality


class FillConfirmed(Record, frozen=True, kw_only=True, gc=False):
    """A provisional execution became final."""

    sequence: int
    ts_ns: int
    fill_id: str
    trade_id: str


class FillReversed(Record, frozen=True, kw_only=True, gc=False):
    """A provisional execution never happened after all."""

    sequence: int
    ts_ns: int
    fill_id: str
    trade_id: str
    reason: str


class DecideAnnounced(Record, frozen=True, kw_only=True, gc=False):
    """decide states its settings and code digest; the relay copies them into `market`."""

    ts_ns: int
    operator: str
    code_digest: str
    min_edge_micros: int
    edge_change_micros: int
    top_interval_ns: int
    watermark_interval_ns: int
    polled_fresh_ns: int
    feed_stale_ns: int
    cooldown_ns: int
    intent_valid_ns: int
    close_window_ns: int
    game_start_window_ns: int
    jump_ns: int
    cost_max_micros: int


class PairApproved(Record, frozen=True, kw_only=True, gc=False):
    """A pair may be traded."""

    ts_ns: int
    operator: str
    pair_id: str
    relation: Relation
    instrument_a: str
    instrument_b: str
    payouts: tuple[PayoutCell, ...]
    haircut_micros: int
    evidence: str


class PairRevoked(Record, frozen=True, kw_only=True, gc=False):
    """A pair may no longer be traded."""

    ts_ns: int
    operator: str
    pair_id: str
    reason: str


class TradingStateChanged(Record, frozen=True, kw_only=True, gc=False):
    """Halt, reduce-only or resume."""

    ts_ns: int
    operator: str
    state: TradingState
    scope: Scope
    scope_value: str
    reason: str


class LimitsChanged(Record, frozen=True, kw_only=True, gc=False):
    """A risk limit takes a new value."""

    ts_ns: int
    operator: str
    name: str
    value_micros: int
    reason: str


class SettingsChanged(Record, frozen=True, kw_only=True, gc=False):
    """A setting takes a new value."""

    ts_ns: int
    operator: str
    name: str
    value: str
    reason: str


class Checkpoint(Record, frozen=True, kw_only=True, gc=False):
    """Fold state of a stage at a position, in chunks below 1 MB."""

    stage: str
    log_id: str
    partition: int
    position: int
    format_version: int
    code_digest: str
    chunk: int
    chunks: int
    payload: bytes


class DeadLetter(Record, frozen=True, kw_only=True, gc=False):
    """Bytes that could not be used, and why."""

    ts_ns: int
    stage: str
    source: str
    partition: int | None = None
    offset: int | None = None
    error: str
    payload: bytes


#: Every class that is written to a topic, by its Avro name.
RECORDS: dict[str, type[Record]] = {
    cls.__name__: cls
    for cls in (
        RawFrame,
        LogOpened,
        DecideConfigured,
        FrictionPack,
        InstrumentListed,
        InstrumentMoved,
        InstrumentSettled,
        PairListed,
        PairDelisted,
        BookSnapshot,
        BookDelta,
        PublicTrade,
        FeedStatus,
        TopOfBook,
        EdgeQuote,
        EdgeStatistics,
        Watermark,
        TradeIntent,
        ExecutorConfigured,
        IntentSeen,
        ControlApplied,
        TimerFired,
        TopSeen,
        TradePlan,
        OrderRequested,
        OrderReport,
        TradeUpdate,
        LatencyObserved,
        Fill,
        FillConfirmed,
        FillReversed,
        DecideAnnounced,
        PairApproved,
        PairRevoked,
        TradingStateChanged,
        LimitsChanged,
        SettingsChanged,
        Checkpoint,
        DeadLetter,
    )
}
