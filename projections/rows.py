"""Records to rows: which table a record goes to, and with which values. Pure.

Decides by one visible table of handlers. It must never look at anything but the record and its coordinates in the log: the same
record gives the same row, so that one delivered twice counts once.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from crossbook.domain.fees import payout_unit
from schemas.records import (
    BookDelta,
    BookSnapshot,
    CancelRequested,
    Checkpoint,
    ControlApplied,
    DeadLetter,
    DecideAnnounced,
    EdgeStatistics,
    EdgeUpdate,
    ExecutorConfigured,
    FeedStatus,
    Fill,
    FillConfirmed,
    FillReversed,
    FrictionPack,
    HaltedByFile,
    InstrumentListed,
    InstrumentMoved,
    InstrumentSettled,
    IntentSeen,
    LagWatched,
    LatencyObserved,
    LeadLag,
    LifeOpened,
    LimitsChanged,
    ListingSeen,
    LogOpened,
    MarketConfigured,
    Observation,
    OrderReconciled,
    OrderReport,
    OrderRequested,
    OrderSent,
    PairApproved,
    PairDelisted,
    PairListed,
    PairRevoked,
    PayoutBooked,
    PublicTrade,
    QuoteIntent,
    QuoteSeen,
    RawFrame,
    Record,
    ReferencePrice,
    ReferenceStatus,
    ReferenceTop,
    SettingsChanged,
    StrategyConfigured,
    TakeIntent,
    TakeSeen,
    TimerFired,
    TopOfBook,
    TopSeen,
    TradeIntent,
    TradePlan,
    TradeUpdate,
    TradingStateChanged,
    VenueHeld,
    VenueStatus,
    Watermark,
)

#: Counted per instrument and second (`activity.py`), not kept one by one: market history is bounded.
ROLLED_UP: tuple[type[Record], ...] = (BookSnapshot, BookDelta, PublicTrade, ReferencePrice)
#: Not projected, and why.
IGNORED: dict[type[Record], str] = {
    RawFrame: "raw bytes stay on tape",
    Checkpoint: "fold state means something to its stage only",
    InstrumentMoved: "the InstrumentListed on the new partition says where it is",
    TimerFired: "an input of the executor's fold; its effect is in requests, reports and updates",
    QuoteIntent: "nothing writes it yet",
    TakeIntent: "nothing writes it yet",
    CancelRequested: "no machine of ours writes it yet",
    QuoteSeen: "no machine of ours takes quotes yet",
    TakeSeen: "no machine of ours takes yet",
    OrderReconciled: "nothing writes it yet",
    LifeOpened: "nothing writes it yet",
    Observation: "nothing writes it yet",
    ListingSeen: "an input of the executor's fold; instruments has what is listed",
}

Values = tuple[Any, ...]


class Coordinates(NamedTuple):
    """Where a record stands in the log; the columns that every fact begins with. `topic` is without the prefix."""

    log_id: str
    topic: str
    partition: int
    offset: int
    ts_append_ms: int


COORDINATES = Coordinates._fields


#: Fields that every journal record begins with, and those that name a trade.
_JOURNAL_HEAD = ("sequence", "ts_ns", "portfolio", "life")
_TRADE_HEAD = (*_JOURNAL_HEAD, "strategy")
_trade_head_of = attrgetter(*_TRADE_HEAD)


class Handler(NamedTuple):
    """How one record class becomes a row: its table, its columns after the coordinates, and their values."""

    table: str
    columns: tuple[str, ...]
    values: Callable[[Any], Values]


def _fields(table: str, *paths: str) -> Handler:
    """Copy fields: `name`, `inner.name` (column inner_name) or `path>column`."""
    pairs = [path.partition(">") for path in paths]
    columns = tuple(column or path.replace(".", "_") for path, _, column in pairs)
    return Handler(table, columns, attrgetter(*(path for path, _, _ in pairs)))


def _journal(table: str, *paths: str) -> Handler:
    """Copy fields of a journal record, behind those that all have."""
    return _fields(table, *_JOURNAL_HEAD, *paths)


def _trade(table: str, *paths: str) -> Handler:
    """Copy fields of a journal record that names a trade, behind those that all have."""
    return _fields(table, *_TRADE_HEAD, *paths)


def _body(record: Record) -> str:
    return msgspec.json.encode(record).decode()


def _configuration(hash_field: str, time_field: str) -> Handler:
    read = attrgetter(time_field, hash_field)

    def values(record: Record) -> Values:
        ts_ns, digest = read(record)
        return (ts_ns, type(record).__name__, digest, _body(record))

    return Handler("configurations", ("ts_ns", "record", "hash", "body"), values)


_CONTROL_COLUMNS = ("ts_ns", "portfolio", "record", "operator", "subject", "value", "reason", "body")


def _control(subject: Callable[[Any], str], value: Callable[[Any], str], reason: Callable[[Any], str]) -> Handler:
    def values(record: Any) -> Values:
        return (
            record.ts_ns,
            getattr(record, "portfolio", ""),
            type(record).__name__,
            record.operator,
            subject(record),
            value(record),
            reason(record),
            _body(record),
        )

    return Handler("controls", _CONTROL_COLUMNS, values)


def _halted_by_file(record: HaltedByFile) -> Values:
    return (
        record.ts_ns,
        record.portfolio,
        type(record).__name__,
        "",
        "all",
        "halted",
        f"file {record.file}",
        _body(record),
    )


def _nothing(_record: Any) -> str:
    return ""


def _scope(record: TradingStateChanged | ControlApplied) -> str:
    return f"{record.scope}:{record.scope_value}" if record.scope_value else record.scope


def _applied_value(record: ControlApplied) -> str:
    if record.state is not None:
        return record.state
    return f"{record.name}={record.value_micros}" if record.name else ""


def _pair_listed(record: PairListed) -> Values:
    return (
        record.ts_received_ns,
        record.pair_id,
        True,
        record.relation,
        record.instrument_a,
        record.instrument_b,
        record.haircut_micros,
        record.evidence,
        record.approved_by,
    )


def _pair_delisted(record: PairDelisted) -> Values:
    return (record.ts_received_ns, record.pair_id, False, "", "", "", 0, record.reason, "")


def _finality(state: str) -> Callable[[Any], Values]:
    def values(record: FillConfirmed | FillReversed) -> Values:
        return (
            *_trade_head_of(record),
            record.fill_id,
            record.trade_id,
            state,
            record.reason if isinstance(record, FillReversed) else "",
        )

    return values


def _plan(record: TradePlan) -> Values:
    leader = record.leader
    return (
        *_trade_head_of(record),
        record.trade_id,
        record.intent_id,
        record.pair_id,
        record.quantity_micros,
        leader.instrument_id,
        leader.outcome,
        leader.price_worst_micros,
        leader.time_in_force,
        sum(bound.attempts_max for bound in record.bounds),
    )


def _reference_status(record: ReferenceStatus) -> Values:
    return (
        record.ts_received_ns,
        record.feed,
        "",
        record.session,
        record.state,
        record.reason,
        record.ts_data_ns,
        record.clock_offset_ns,
    )


def _dead_letter(record: DeadLetter) -> Values:
    return (
        record.ts_ns,
        record.stage,
        record.source,
        record.partition,
        record.offset,
        record.error,
        len(record.payload),
    )


_LEG_FIELDS = ("instrument_id", "venue", "outcome", "price_limit_micros", "cost_micros", "fee_micros")
_LEG_COLUMNS = (*_LEG_FIELDS, "payout_unit_micros")
_INTENT_HEAD = (
    "ts_ns", "ts_received_ns", "position", "number", "intent_id", "strategy", "pair_id", "package", "quantity_micros",
)  # fmt: skip
_INTENT_TAIL = (
    "payout_micros", "gross_micros", "friction_micros", "lockup_micros", "net_micros", "net_per_contract_micros", "valid_until_ns",
)  # fmt: skip
_INTENT_COLUMNS = (
    *_INTENT_HEAD,
    *(f"legs_{name}" for name in _LEG_COLUMNS),
    *_INTENT_TAIL,
)
_head_of, _leg_of, _tail_of = attrgetter(*_INTENT_HEAD), attrgetter(*_LEG_FIELDS), attrgetter(*_INTENT_TAIL)


def _intent(record: TradeIntent) -> Values:
    legs = [(*_leg_of(leg), payout_unit(leg.fee_schedule)) for leg in record.legs]
    columns = ([leg[number] for leg in legs] for number in range(len(_LEG_COLUMNS)))
    return (*_head_of(record), *columns, *_tail_of(record))


_PAIR_COLUMNS = (
    "ts_ns",
    "pair_id",
    "listed",
    "relation",
    "instrument_a",
    "instrument_b",
    "haircut_micros",
    "evidence",
    "approved_by",
)
_FEED_STATUS_COLUMNS = ("ts_ns", "feed", "venue", "session", "state", "reason", "ts_data_ns", "clock_offset_ns")
_FINALITY_COLUMNS = (*_TRADE_HEAD, "fill_id", "trade_id", "state", "reason")
_PLAN_COLUMNS = (
    *_TRADE_HEAD,
    "trade_id",
    "intent_id",
    "pair_id",
    "quantity_micros",
    "leader_instrument_id",
    "leader_outcome",
    "leader_price_worst_micros",
    "leader_time_in_force",
    "orders_max",
)

HANDLERS: dict[type[Record], Handler] = {
    LogOpened: _fields("logs", "ts_received_ns>ts_ns", "partitions", "base_offset"),
    MarketConfigured: _configuration("code_digest", "ts_received_ns"),
    StrategyConfigured: _configuration("code_digest", "ts_received_ns"),
    FrictionPack: _configuration("hash", "ts_received_ns"),
    ExecutorConfigured: _configuration("code_digest", "ts_ns"),
    InstrumentListed: _fields(
        "instruments", "ts_received_ns>ts_ns", "instrument_id", "venue", "symbol", "event_id", "group>group_key", "title", "category",
        "quantity_step_micros", "taker_delay_ms", "ts_close_ns", "ts_payout_expected_ns", "ts_game_start_ns", "volume_micros", "status",
        "fee_schedule.model", "fee_schedule.taker_rate_ppm", "fee_schedule.hash",
    ),
    PairListed: Handler("pairs", _PAIR_COLUMNS, _pair_listed),
    PairDelisted: Handler("pairs", _PAIR_COLUMNS, _pair_delisted),
    InstrumentSettled: _fields(
        "settlements", "ts_received_ns>ts_ns", "ts_venue_ns", "instrument_id", "payout_yes_micros", "source"
    ),
    FeedStatus: _fields(
        "feed_status", "ts_received_ns>ts_ns", "feed", "venue", "session", "state", "reason", "ts_data_ns", "clock_offset_ns"
    ),
    ReferenceStatus: Handler("feed_status", _FEED_STATUS_COLUMNS, _reference_status),
    VenueStatus: _fields(
        "venue_status", "ts_received_ns>ts_ns", "venue", "exchange_active", "trading_active", "ts_resume_ns", "reason",
        "keyframe",
    ),
    LeadLag: _fields(
        "lead_lag", "ts_ns", "lead_lag_id", "group>group_key", "instrument_a", "instrument_b", "ts_window_start_ns", "ts_window_end_ns",
        "bar_ns", "bars", "lag_ns", "correlation_ppm", "correlation_placebo_ppm", "window_leader", "hy_lag_ns", "hy_correlation_ppm",
        "hy_ratio_ppm", "hy_correlation_placebo_ppm", "hy_leader", "votes", "leader",
    ),
    TopOfBook: _fields(
        "tops", "ts_ns", "position", "instrument_id", "valid", "fresh", "bid_price_micros", "bid_size_micros", "ask_price_micros",
        "ask_size_micros", "ts_received_ns",
    ),
    ReferenceTop: _fields(
        "tops", "ts_ns", "position", "reference_id>instrument_id", "valid", "fresh", "bid_price_micros", "bid_size_micros",
        "ask_price_micros", "ask_size_micros", "ts_received_ns",
    ),
    EdgeUpdate: _fields(
        "edges", "ts_ns", "position", "strategy", "pair_id", "instrument_a", "instrument_b", "package", "state", "reason", "quantity_micros", "price_a_micros", "price_b_micros",
        "cost_a_micros", "cost_b_micros", "payout_micros", "gross_micros", "fee_a_micros", "fee_b_micros", "friction_micros",
        "lockup_micros", "net_micros", "net_per_contract_micros", "distance_micros",
    ),
    EdgeStatistics: _fields(
        "edge_statistics", "ts_ns", "position", "strategy", "pair_id", "package", "evaluations", "gross_positive", "net_positive", "episodes",
        "at_threshold", "episodes_at_threshold", "net_best_micros",
    ),
    Watermark: _fields("watermarks", "ts_ns", "position", "intents", "clamped"),
    TradeIntent: Handler("intents", _INTENT_COLUMNS, _intent),
    IntentSeen: _trade(
        "intents_seen", "intent.intent_id", "ts_seen_ns", "leader_advised", "advice_id", "lag_ns"
    ),
    TradePlan: Handler("plans", _PLAN_COLUMNS, _plan),
    TopSeen: _trade(
        "last_tops_seen", "partition>market_partition", "instrument_id", "usable", "bid_price_micros", "ask_price_micros",
    ),
    OrderRequested: _trade(
        "order_requests", "order_id", "trade_id", "role", "attempt", "instrument_id", "venue", "outcome", "side",
        "price_limit_micros", "quantity_micros", "time_in_force", "reduce_only", "send_before_ns", "reserved_micros",
    ),
    OrderSent: _trade("order_departures", "trade_id", "order_id", "lag_ns", "withheld"),
    OrderReport: _trade(
        "order_reports", "report_id", "order_id", "venue_order_id", "trade_id", "ts_venue_ns", "order_status",
        "cumulative_quantity_micros", "leaves_quantity_micros", "last_quantity_micros", "last_price_micros", "last_fee_micros",
        "fill_id", "liquidity", "finality", "reversed", "reason",
    ),
    TradeUpdate: _trade(
        "trade_updates", "trade_id", "intent_id", "pair_id", "package", "state", "reason", "quantity_a_micros",
        "quantity_b_micros", "residual_micros", "cost_micros", "fee_micros", "edge_micros",
    ),
    VenueHeld: _trade(
        "venue_holds", "venue", "state", "ts_until_ns", "trade_id", "reason"
    ),
    LatencyObserved: _trade(
        "latencies", "trade_id", "kind", "ts_start_ns", "ts_end_ns", "latency_ns"
    ),
    Fill: _trade(
        "fills", "fill_id", "order_id", "trade_id", "intent_id", "pair_id", "category", "role", "instrument_id",
        "venue", "outcome", "side", "price_micros", "price_planned_micros", "quantity_micros", "fee_micros", "liquidity",
        "schedule_hash", "finality",
    ),
    FillConfirmed: Handler("fill_finality", _FINALITY_COLUMNS, _finality("confirmed")),
    FillReversed: Handler("fill_finality", _FINALITY_COLUMNS, _finality("reversed")),
    DecideAnnounced: _control(attrgetter("code_digest"), _nothing, _nothing),
    PairApproved: _control(attrgetter("pair_id"), attrgetter("relation"), attrgetter("evidence")),
    PairRevoked: _control(attrgetter("pair_id"), _nothing, attrgetter("reason")),
    TradingStateChanged: _control(_scope, attrgetter("state"), attrgetter("reason")),
    LimitsChanged: _control(attrgetter("name"), lambda record: str(record.value_micros), attrgetter("reason")),
    SettingsChanged: _control(attrgetter("name"), attrgetter("value"), attrgetter("reason")),
    HaltedByFile: Handler("controls", _CONTROL_COLUMNS, _halted_by_file),
    LagWatched: _journal("lag_watches", "lagging", "lag_ns", "limit_ns"),
    PayoutBooked: _journal(
        "payouts_booked", "partition>market_partition", "position", "instrument_id", "payout_yes_micros"
    ),
    ControlApplied: _control(_scope, _applied_value, attrgetter("action")),
    DeadLetter: Handler(
        "dead_letters", ("ts_ns", "stage", "source", "source_partition", "source_offset", "error", "bytes"), _dead_letter
    ),
}  # fmt: skip

#: Columns of each table in the order of its rows.
TABLE_COLUMNS: dict[str, tuple[str, ...]] = {
    handler.table: (*COORDINATES, *handler.columns) for handler in HANDLERS.values()
}


def to_row(record: Record, at: Coordinates) -> tuple[str, Values] | None:
    """Table and row of a record; None for one that is rolled up or ignored."""
    handler = HANDLERS.get(type(record))
    return None if handler is None else (handler.table, (*at, *handler.values(record)))
