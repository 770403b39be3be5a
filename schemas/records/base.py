"""What every record class shares, and the closed sets of words that records use."""

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
