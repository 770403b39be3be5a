"""Builders of `market` records for the tests of decide: two venues, one pair, windows of DESIGN."""

from collections.abc import Iterable, Sequence

from msgspec import structs

from crossbook.domain.fees import make_schedule, schedule_hash
from crossbook.market.configuration import Configuration, as_settings
from crossbook.venues.policies import POLICIES
from processors.decide.fold import step
from processors.decide.state import DecideState, Output
from schemas.records import (
    BookDelta,
    BookSnapshot,
    FeedStatus,
    FrictionPack,
    InstrumentListed,
    LogOpened,
    MarketConfigured,
    OrderMinimum,
    PairListed,
    PauseWindow,
    PayoutCell,
    PriceRange,
    Record,
    StrategyConfigured,
    VenueStatus,
)

DIGEST = "d" * 64
LOG_ID = "0123456789abcdef" * 2
MS = 1_000_000
T0 = 1_780_000_000_000_000_000
A = "kalshi:TEAM"
B = "polymarket:0xteam"
KALSHI_FEES = make_schedule(model="kalshi_quadratic", taker_rate_ppm=70_000, ts_effective_ns=0, source="test")
POLYMARKET_FEES = make_schedule(model="polymarket_curve", taker_rate_ppm=30_000, ts_effective_ns=0, source="test")
LOT = 10_000
CONTRACT = 1_000_000
PAIR_SETTINGS = {
    "min_edge_micros": 25_000,
    "edge_change_micros": 1_000,
    "cooldown_ns": 2_000 * MS,
    "intent_valid_ns": 500 * MS,
    "close_window_ns": 120_000 * MS,
    "game_start_window_ns": 60_000 * MS,
    "cost_max_micros": 250 * CONTRACT,
}


def opened(ts_ns=T0, *, partition=0):
    return LogOpened(ts_received_ns=ts_ns, log_id=LOG_ID, partition=partition, partitions=1, base_offset=0)


def configured(ts_ns=T0, **changes):
    """How the market is read."""
    values = {
        "code_digest": DIGEST,
        "top_interval_ns": 100 * MS,
        "watermark_interval_ns": 250 * MS,
        "polled_fresh_ns": 2_000 * MS,
        "feed_stale_ns": 2_000 * MS,
        "jump_ns": 2_000 * MS,
        "control_offset": -1,
    }
    return MarketConfigured(ts_received_ns=ts_ns, **(values | changes))


def strategy(ts_ns=T0, name="cross_venue", *, code_digest=DIGEST, control_offset=-1, **changes):
    """What a strategy works under; the second strategy of the tests takes the same."""
    values = PAIR_SETTINGS | changes
    return StrategyConfigured(
        ts_received_ns=ts_ns,
        strategy=name,
        version="1",
        code_digest=code_digest,
        settings=as_settings({name: str(value) for name, value in values.items()}),
        control_offset=control_offset,
    )


def settings(ts_ns=T0, **changes) -> list[Record]:
    """Both: the strategy's settings first, then the market's, as they stand in a log."""
    both = {name: value for name, value in changes.items() if name in {"code_digest", "control_offset"}}
    of_the_pair = {name: value for name, value in changes.items() if name in PAIR_SETTINGS}
    of_the_market = {name: value for name, value in changes.items() if name not in {*both, *of_the_pair}}
    return [strategy(ts_ns, **both, **of_the_pair), configured(ts_ns, **both, **of_the_market)]


def reconfigured(records: Iterable[Record], configuration: Configuration) -> list[Record]:
    """The same records under other settings."""
    given = iter(configuration.records)
    return [next(given) if isinstance(record, StrategyConfigured | MarketConfigured) else record for record in records]


def friction(ts_ns=T0, **changes):
    values = {
        "gas_micros": 0,
        "fx_ppm": 0,
        "on_ramp_ppm": 0,
        "lockup_ppm_per_year": 0,
        "source": "test",
        "hash": "f" * 64,
    }
    return FrictionPack(ts_received_ns=ts_ns, **(values | changes))


def instrument(instrument_id, ts_ns=T0, **changes):
    venue, _, symbol = instrument_id.partition(":")
    values = {
        "venue": venue,
        "symbol": symbol,
        "event_id": f"{venue}:event",
        "group": "group",
        "title": symbol,
        "category": "sports",
        "rules_hash": "",
        "resolution_source": "",
        "grid": (PriceRange(start_micros=1_000, end_micros=999_000, tick_micros=1_000),),
        "quantity_step_micros": LOT,
        "minimums": (
            OrderMinimum(
                order_type="marketable",
                side="buy",
                quantity_micros=LOT,
                notional_micros=CONTRACT if venue == "polymarket" else 0,
            ),
        ),
        "taker_delay_ms": 0,
        "neg_risk": False,
        "exchange_version": "v2",
        "shard": 0,
        "status": "active",
        "fee_schedule": KALSHI_FEES if venue == "kalshi" else POLYMARKET_FEES,
        "policy": POLICIES[venue],
        "keyframe": False,
    }
    return InstrumentListed(ts_received_ns=ts_ns, instrument_id=instrument_id, **(values | changes))


def cells(relation="identity"):
    other = CONTRACT if relation == "identity" else 0
    rows = [("yes", CONTRACT, other), ("no", 0, CONTRACT - other)]
    known = tuple(
        PayoutCell(outcome=outcome, payout_a_micros=a, payout_b_micros=b, admissible=True, evidence="test")
        for outcome, a, b in rows
    )
    ruled_out = tuple(
        PayoutCell(outcome=outcome, admissible=False, evidence="test")
        for outcome in ("void", "tie", "cancelled", "postponed")
    )
    return known + ruled_out


def pair(ts_ns=T0, *, pair_id="pair", a=A, b=B, relation="identity", **changes):
    values = {
        "group": "group",
        "payouts": cells(relation),
        "haircut_micros": 0,
        "evidence": "test",
        "approved_by": "test",
        "keyframe": False,
    }
    return PairListed(
        ts_received_ns=ts_ns, pair_id=pair_id, relation=relation, instrument_a=a, instrument_b=b, **(values | changes)
    )


def status(feed, ts_ns, *, state="live", session=1, instruments=(), reason=""):
    return FeedStatus(
        ts_received_ns=ts_ns,
        feed=feed,
        venue=feed,
        session=session,
        state=state,
        reason=reason,
        instruments=instruments,
    )


def venue(name="kalshi", ts_ns=T0, *, exchange=True, trading=True, shards=(), pauses=(), reason="", keyframe=False):
    return VenueStatus(
        ts_received_ns=ts_ns,
        venue=name,
        exchange_active=exchange,
        trading_active=trading,
        shards_halted=shards,
        pauses=tuple(PauseWindow(ts_start_ns=start, ts_end_ns=end) for start, end in pauses),
        reason=reason,
        keyframe=keyframe,
    )


def fees_from(ts_ns, schedule, **changes):
    """The schedule with other terms, in force from a moment on."""
    changed = structs.replace(schedule, ts_effective_ns=ts_ns, **changes)
    return structs.replace(changed, hash=schedule_hash(changed))


def _columns(levels: Sequence[tuple[int, int]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(price for price, _ in levels), tuple(size for _, size in levels)


def snapshot(
    instrument_id, ts_ns, sequence, *, bids=(), asks=(), session=1, delivery="streaming", keyframe=False, feed=None
):
    bid_prices, bid_sizes = _columns(bids)
    ask_prices, ask_sizes = _columns(asks)
    return BookSnapshot(
        ts_received_ns=ts_ns,
        instrument_id=instrument_id,
        feed=feed or instrument_id.partition(":")[0],
        session=session,
        sequence=sequence,
        delivery=delivery,
        cadence_ms=0,
        keyframe=keyframe,
        bid_prices=bid_prices,
        bid_sizes=bid_sizes,
        ask_prices=ask_prices,
        ask_sizes=ask_sizes,
    )


def delta(instrument_id, ts_ns, sequence, *, bids=(), asks=(), session=1, previous=None, feed=None):
    bid_prices, bid_sizes = _columns(bids)
    ask_prices, ask_sizes = _columns(asks)
    return BookDelta(
        ts_received_ns=ts_ns,
        instrument_id=instrument_id,
        feed=feed or instrument_id.partition(":")[0],
        session=session,
        sequence=sequence,
        previous_sequence=sequence - 1 if previous is None else previous,
        bid_prices=bid_prices,
        bid_sizes=bid_sizes,
        ask_prices=ask_prices,
        ask_sizes=ask_sizes,
    )


def head(ts_ns=T0, **changes) -> list[Record]:
    """Everything that a pair needs before its first books."""
    return [
        opened(ts_ns),
        *settings(ts_ns, **changes),
        friction(ts_ns),
        instrument(A, ts_ns),
        instrument(B, ts_ns),
        pair(ts_ns),
        status("kalshi", ts_ns),
        status("polymarket", ts_ns),
    ]


def fold(records: Iterable[Record], state: DecideState | None = None) -> tuple[DecideState, list[Output]]:
    """Fold records on, from position 0 or behind the state's last one."""
    state = DecideState(DIGEST) if state is None else state
    outputs: list[Output] = []
    for record in records:
        outputs.extend(step(state, state.market.position + 1, record))
    return state, outputs


def kinds(outputs: Iterable[Output], cls: type[Record]) -> list:
    return [output.record for output in outputs if type(output.record) is cls]
