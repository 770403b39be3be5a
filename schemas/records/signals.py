"""Records of `signals`, `intents` and `leadlag`: what processors made of the market."""

from schemas.records.base import EdgeState, Outcome, Package, QuoteMode, Record, Side, Sizing
from schemas.records.parts import IntentLeg


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


class ReferenceTop(Record, frozen=True, kw_only=True, gc=False):
    """Newest price of a reference: its best bid and ask, or its last trade as both."""

    ts_ns: int
    log_id: str
    partition: int
    position: int
    index: int
    reference_id: str
    valid: bool
    fresh: bool
    bid_price_micros: int | None = None
    bid_size_micros: int | None = None
    ask_price_micros: int | None = None
    ask_size_micros: int | None = None
    ts_received_ns: int


class EdgeUpdate(Record, frozen=True, kw_only=True, gc=False):
    """Edge of a package after fees, frictions and depth, at a stated quantity. All amounts are totals of that quantity, micros of a dollar."""

    ts_ns: int
    log_id: str
    partition: int
    position: int
    index: int
    strategy: str
    pair_id: str
    instrument_a: str
    instrument_b: str
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
    strategy: str
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
    """What decide wants done: buy all legs of a package."""

    intent_id: str
    strategy: str
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
    legs: tuple[IntentLeg, ...]
    payout_micros: int
    gross_micros: int
    friction_micros: int
    lockup_micros: int
    net_micros: int
    net_per_contract_micros: int
    friction_hash: str
    valid_until_ns: int
    friction_fixed_micros: int = 0
    edge_min_micros: int = 0


class LeadLag(Record, frozen=True, kw_only=True, gc=False):
    """Which of two instruments (or references) of a group moves first, over one window. Advice, written at least once; equal lead_lag_id means the same window."""

    lead_lag_id: str
    ts_ns: int
    log_id: str
    partition: int
    group: str
    instrument_a: str
    instrument_b: str
    ts_window_start_ns: int
    ts_window_end_ns: int
    bar_ns: int
    bars: int
    lag_ns: int | None = None
    correlation_ppm: int | None = None
    correlation_placebo_ppm: int | None = None
    window_leader: str | None = None
    hy_lag_ns: int | None = None
    hy_correlation_ppm: int | None = None
    hy_ratio_ppm: int | None = None
    hy_correlation_placebo_ppm: int | None = None
    hy_leader: str | None = None
    votes: int
    leader: str | None = None


class QuoteIntent(Record, frozen=True, kw_only=True, gc=False):
    """What a strategy wants quoted: resting orders around a fair value of one instrument, until it expires or another one replaces it."""

    intent_id: str
    strategy: str
    ts_ns: int
    ts_received_ns: int
    log_id: str
    partition: int
    position: int
    index: int
    number: int
    instrument_id: str
    fair_value_micros: int
    half_spread_micros: int
    step_micros: int
    levels: int
    size_micros: int
    skew_micros: int
    inventory_limit_micros: int
    mode: QuoteMode
    valid_until_ns: int


class TakeIntent(Record, frozen=True, kw_only=True, gc=False):
    """What a strategy wants taken: one outcome of one instrument, up to a price limit."""

    intent_id: str
    strategy: str
    ts_ns: int
    ts_received_ns: int
    log_id: str
    partition: int
    position: int
    index: int
    number: int
    instrument_id: str
    outcome: Outcome
    side: Side
    value_micros: int
    price_limit_micros: int
    sizing: Sizing
    quantity_micros: int
    kelly_ppm: int
    valid_until_ns: int
