"""What the journal holds: which records are inputs, which are outputs, where each goes, and what two runs may differ in.

Decides topic and key of a record, and the form in which two runs are compared. Must never decide anything from a wall clock.
"""

from typing import Final, TypeAlias, TypedDict

import msgspec

from schemas.records import (
    CancelRequested,
    ControlApplied,
    ExecutorConfigured,
    Fill,
    FillConfirmed,
    FillReversed,
    HaltedByFile,
    IntentSeen,
    LagWatched,
    LatencyObserved,
    ListingSeen,
    OrderReport,
    OrderRequested,
    OrderSent,
    PayoutBooked,
    QuoteSeen,
    Record,
    TakeSeen,
    TimerFired,
    TopSeen,
    TradePlan,
    TradeUpdate,
    VenueHeld,
)

JournalInput: TypeAlias = (
    ExecutorConfigured
    | IntentSeen
    | QuoteSeen
    | TakeSeen
    | ControlApplied
    | HaltedByFile
    | LagWatched
    | PayoutBooked
    | TimerFired
    | TopSeen
    | ListingSeen
    | OrderSent
    | OrderReport
    | LatencyObserved
)
JournalOutput: TypeAlias = TradePlan | OrderRequested | CancelRequested | TradeUpdate | VenueHeld
FillRecord: TypeAlias = Fill | FillConfirmed | FillReversed
Output: TypeAlias = JournalOutput | FillRecord

INPUTS: Final = (
    ExecutorConfigured,
    IntentSeen,
    QuoteSeen,
    TakeSeen,
    ControlApplied,
    HaltedByFile,
    LagWatched,
    PayoutBooked,
    TimerFired,
    TopSeen,
    ListingSeen,
    OrderSent,
    OrderReport,
    LatencyObserved,
)
#: Inputs that come from outside the market: they stand at no position of it and concern no trade.
WORDS: Final = (ExecutorConfigured, ControlApplied, HaltedByFile, LagWatched)
JOURNAL_OUTPUTS: Final = (TradePlan, OrderRequested, CancelRequested, TradeUpdate, VenueHeld)
FILLS: Final = (Fill, FillConfirmed, FillReversed)


class SeenAt(TypedDict):
    """What every record begins with that says that an intent is here."""

    sequence: int
    ts_ns: int
    strategy: str
    partition: int
    position: int
    ts_seen_ns: int
    lag_ns: int


def trade_id_of(portfolio: str, intent_id: str) -> str:
    """Id of the trade that a portfolio makes of an intent: others may make theirs of the same one."""
    return f"{portfolio}-{intent_id}"


def topic_of(record: Record) -> str:
    """Topic of a record of the executor, without the prefix."""
    return "fills" if isinstance(record, FILLS) else "orders"


def key_of(record: Record) -> str | None:
    """Key of a record of the executor: its trade; none for what concerns no trade."""
    if isinstance(record, (IntentSeen, QuoteSeen, TakeSeen)):
        return trade_id_of(record.portfolio, record.intent.intent_id)
    trade_id: str = getattr(record, "trade_id", "")
    return trade_id or None


def comparable(record: Record) -> Record | None:
    """The record without what the wall clock put into it; None when nothing else is in it.

    Two runs over the same recorded stamps, at any speed and with any batches, give equal comparable records in `orders` and `fills`.
    Where stamps are the wall clock's, what an executor did too late shows in what followed: a decline, a fill at a later book.
    Masked: `LatencyObserved` and `OrderSent` as a whole, `ts_seen_ns` and every `lag_ns`, the journal number, which a `LatencyObserved` lost in a crash shifts, and the
    lead-lag advice, which comes when it comes (what was done on it shows in the plan).
    """
    if isinstance(record, (LatencyObserved, OrderSent)):
        return None
    if isinstance(record, IntentSeen):
        return msgspec.structs.replace(record, ts_seen_ns=0, lag_ns=0, sequence=0, leader_advised=None, advice_id=None)
    if isinstance(record, LagWatched):
        return msgspec.structs.replace(record, lag_ns=0, sequence=0)
    if isinstance(record, (QuoteSeen, TakeSeen)):
        return msgspec.structs.replace(record, ts_seen_ns=0, lag_ns=0, sequence=0)
    return msgspec.structs.replace(record, sequence=0)
