"""What every record class shares, and the sets of words that records use."""

from typing import Annotated, Literal, TypeAlias

import msgspec

from schemas.vocabulary import Word

#: Closed: no later venue or strategy can add to them, so they are enums in Avro.
Outcome: TypeAlias = Literal["yes", "no"]
Side: TypeAlias = Literal["buy", "sell"]
Direction: TypeAlias = Literal["received", "sent"]

#: Open: text in Avro. The words are in `schemas/vocabulary.py`, and the codec checks them.
Venue: TypeAlias = Annotated[str, Word("venue")]
Delivery: TypeAlias = Annotated[str, Word("delivery")]
FeedState: TypeAlias = Annotated[str, Word("feed_state")]
InstrumentStatus: TypeAlias = Annotated[str, Word("instrument_status")]
CrossedBook: TypeAlias = Annotated[str, Word("crossed_book")]
FeeModel: TypeAlias = Annotated[str, Word("fee_model")]
Rounding: TypeAlias = Annotated[str, Word("rounding")]
OrderType: TypeAlias = Annotated[str, Word("order_type")]
Relation: TypeAlias = Annotated[str, Word("relation")]
PayoutOutcome: TypeAlias = Annotated[str, Word("payout_outcome")]
Package: TypeAlias = Annotated[str, Word("package")]
EdgeState: TypeAlias = Annotated[str, Word("edge_state")]
TimeInForce: TypeAlias = Annotated[str, Word("time_in_force")]
Role: TypeAlias = Annotated[str, Word("role")]
OrderStatus: TypeAlias = Annotated[str, Word("order_status")]
TradeState: TypeAlias = Annotated[str, Word("trade_state")]
TimerKind: TypeAlias = Annotated[str, Word("timer_kind")]
Liquidity: TypeAlias = Annotated[str, Word("liquidity")]
Finality: TypeAlias = Annotated[str, Word("finality")]
TradingState: TypeAlias = Annotated[str, Word("trading_state")]
Scope: TypeAlias = Annotated[str, Word("scope")]
LatencyKind: TypeAlias = Annotated[str, Word("latency_kind")]
QuoteMode: TypeAlias = Annotated[str, Word("quote_mode")]
Sizing: TypeAlias = Annotated[str, Word("sizing")]


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of every record: immutable, compared by value."""
