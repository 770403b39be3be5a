"""Records of `orders` and `fills`: the executor's journal, and executions for everyone else."""

from schemas.records.base import (
    Finality,
    LatencyKind,
    Liquidity,
    OrderStatus,
    Outcome,
    Package,
    Record,
    Role,
    Scope,
    Side,
    TimeInForce,
    TimerKind,
    TradeState,
    TradingState,
    Venue,
)
from schemas.records.parts import FeeSchedule, PlanBound, PriceRange
from schemas.records.signals import QuoteIntent, TakeIntent, TradeIntent
from schemas.records.terms import ExecuteTerms, PaperTerms


class JournalRecord(Record, frozen=True, kw_only=True, gc=False):
    """What every record of an executor begins with."""

    sequence: int
    ts_ns: int
    portfolio: str = ""
    life: int = 0


class TradeRecord(JournalRecord, frozen=True, kw_only=True, gc=False):
    """What every record of an executor begins with that names a trade."""

    strategy: str = ""


class ExecutorConfigured(JournalRecord, frozen=True, kw_only=True, gc=False):
    """Settings and code digest under which the executor works from here on."""

    code_digest: str
    execute: ExecuteTerms
    paper: PaperTerms
    strategies: tuple[str, ...] = ()


class IntentSeen(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Input: an intent reached the executor."""

    partition: int
    position: int
    ts_seen_ns: int
    intent: TradeIntent
    leader_advised: str | None = None
    advice_id: str | None = None
    lag_ns: int = 0


class QuoteSeen(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Input: an intent of quotes reached the executor."""

    partition: int
    position: int
    ts_seen_ns: int
    intent: QuoteIntent
    lag_ns: int = 0


class TakeSeen(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Input: an intent to take reached the executor."""

    partition: int
    position: int
    ts_seen_ns: int
    intent: TakeIntent
    lag_ns: int = 0


class ControlApplied(JournalRecord, frozen=True, kw_only=True, gc=False):
    """Input: an operator's word took effect; the acknowledgement of a halt."""

    control_offset: int
    action: str
    scope: Scope
    scope_value: str
    state: TradingState | None = None
    name: str
    value_micros: int
    operator: str


class HaltedByFile(JournalRecord, frozen=True, kw_only=True, gc=False):
    """Input: a file halted everything without Kafka; nothing is sent until an operator resumes everything, whether the file is still there or not."""

    file: str


class LagWatched(JournalRecord, frozen=True, kw_only=True, gc=False):
    """Input: the executor's lag behind the broker passed its limit, so that no trade opens, or is back at half of it; no operator's word is touched."""

    lagging: bool
    lag_ns: int
    limit_ns: int


class PayoutBooked(JournalRecord, frozen=True, kw_only=True, gc=False):
    """Input: the payout of an instrument that is held went into the ledger; the first payout of an instrument stands."""

    partition: int
    position: int
    instrument_id: str
    payout_yes_micros: int


class TimerFired(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Input: a timer of a trade ran out."""

    partition: int
    position: int
    trade_id: str
    timer: TimerKind
    order_id: str


class TopSeen(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Input: the book that an open trade's choice rests on."""

    partition: int
    position: int
    trade_id: str
    instrument_id: str
    usable: bool
    bid_price_micros: int | None = None
    bid_size_micros: int | None = None
    ask_price_micros: int | None = None
    ask_size_micros: int | None = None
    listed: bool = True


class ListingSeen(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Input: what an instrument's venue asks of an order now, where it differs from what the trade was told before."""

    partition: int
    position: int
    trade_id: str
    instrument_id: str
    quantity_step_micros: int
    quantity_minimum_micros: int
    notional_minimum_micros: int
    taker_delay_ms: int
    grid: tuple[PriceRange, ...]
    fee_schedule: FeeSchedule


class TradePlan(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Output: everything that a trade may send, committed before its first byte leaves."""

    partition: int
    position: int
    trade_id: str
    intent_id: str
    pair_id: str
    quantity_micros: int
    leader: PlanBound
    bounds: tuple[PlanBound, ...]


class OrderRequested(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Output: we are about to send this order."""

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
    replaces: str = ""


class OrderSent(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Input: an order left later than the terms assume, or was withheld because it came too late."""

    partition: int
    position: int
    trade_id: str
    order_id: str
    lag_ns: int
    withheld: bool


class OrderReport(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Input: what the venue (or silence) told us of an order. Carries its result, so that no reader needs an order machine."""

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
    schedule_hash: str = ""


class TradeUpdate(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Output: a trade changed state."""

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


class VenueHeld(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Output: a venue takes no new trade from here on; open trades may still hedge and unwind there."""

    partition: int
    position: int
    venue: Venue
    state: str
    ts_until_ns: int
    trade_id: str
    reason: str


class LatencyObserved(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Input that changes nothing: wall-clock stamps of a finished stage."""

    trade_id: str
    kind: LatencyKind
    ts_start_ns: int
    ts_end_ns: int
    latency_ns: int


class Fill(TradeRecord, frozen=True, kw_only=True, gc=False):
    """One execution, for everyone else (derived from the journal in the same transaction)."""

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


class FillConfirmed(TradeRecord, frozen=True, kw_only=True, gc=False):
    """A provisional execution became final."""

    fill_id: str
    trade_id: str


class FillReversed(TradeRecord, frozen=True, kw_only=True, gc=False):
    """A provisional execution never happened after all."""

    fill_id: str
    trade_id: str
    reason: str


class CancelRequested(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Output: we are about to ask the venue to cancel this order."""

    partition: int
    position: int
    trade_id: str
    order_id: str
    venue: Venue
    reason: str
    send_before_ns: int


class OrderReconciled(TradeRecord, frozen=True, kw_only=True, gc=False):
    """Input: what asking a venue said of an order whose state was unknown."""

    partition: int
    position: int
    trade_id: str
    order_id: str
    venue: Venue
    venue_order_id: str
    order_status: OrderStatus
    cumulative_quantity_micros: int
    source: str


class LifeOpened(JournalRecord, frozen=True, kw_only=True, gc=False):
    """Head of a life of an executor: journal records behind it count only until the next life is opened."""
