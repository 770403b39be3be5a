"""Parts that stand inside records and are never written to a topic alone."""

from schemas.records.base import (
    CrossedBook,
    FeeModel,
    Finality,
    OrderType,
    Outcome,
    PayoutOutcome,
    Record,
    Role,
    Rounding,
    Side,
    TimeInForce,
    Venue,
)


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


class VenuePolicy(Record, frozen=True, kw_only=True, gc=False):
    """What a venue's books and fills mean, where venues differ."""

    crossed_book: CrossedBook
    fill_finality: Finality
    lead_rank: int


class PauseWindow(Record, frozen=True, kw_only=True, gc=False):
    """A stretch of time in which a venue does not trade."""

    ts_start_ns: int
    ts_end_ns: int


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
    lead_rank: int


class PlanBound(Record, frozen=True, kw_only=True, gc=False):
    """How far the orders of one role may go at one leg and side of a committed plan."""

    role: Role
    leg: str
    instrument_id: str
    venue: Venue
    outcome: Outcome
    side: Side
    price_worst_micros: int
    quantity_max_micros: int
    time_in_force: TimeInForce
    attempt_first: int
    attempts_max: int
    ts_deadline_ns: int


class StrategySetting(Record, frozen=True, kw_only=True, gc=False):
    """One setting of a strategy."""

    name: str
    value: str


class StrategyAnnounced(Record, frozen=True, kw_only=True, gc=False):
    """A strategy and the settings that it is to work under."""

    strategy: str
    version: str
    settings: tuple[StrategySetting, ...]
