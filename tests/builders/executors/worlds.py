"""Builders for the tests of the executor: intents, tops, and small seeded markets with the signals that decide would give."""

import random

from crossbook.domain.fees import make_schedule
from crossbook.domain.money import MICROS
from crossbook.market.market_state import MarketState
from crossbook.venues.policies import POLICIES
from executors.engine import Engine
from executors.terms import ExecuteTerms, PaperTerms, Terms
from schemas.records import (
    BookDelta,
    BookSnapshot,
    FeedStatus,
    InstrumentListed,
    IntentLeg,
    LogOpened,
    MarketConfigured,
    OrderMinimum,
    PriceRange,
    TopSeen,
    TradeIntent,
    Watermark,
)

MS = 1_000_000
S = 1_000 * MS
T0 = 1_780_000_000_000_000_000
LOG = "0123456789abcdef" * 2
PM, KA = "polymarket:0xabc", "kalshi:TEAM"
CONTRACT = MICROS
LOT = 10_000
GRID = (PriceRange(start_micros=10_000, end_micros=990_000, tick_micros=10_000),)
PM_FEES = make_schedule(model="polymarket_curve", taker_rate_ppm=30_000, ts_effective_ns=0, source="test")
KA_FEES = make_schedule(model="kalshi_quadratic", taker_rate_ppm=70_000, ts_effective_ns=0, source="test")
TERMS = Terms(execute=ExecuteTerms(pairs_open_max=20), paper=PaperTerms())


def leg(instrument_id=PM, outcome="yes", price=400_000, quantity=10 * CONTRACT, **changes):
    venue = instrument_id.partition(":")[0]
    values = {
        "instrument_id": instrument_id,
        "venue": venue,
        "outcome": outcome,
        "price_limit_micros": price,
        "cost_micros": price * quantity // MICROS,
        "fee_micros": 10_000,
        "depth_micros": 2 * quantity,
        "quantity_step_micros": LOT,
        "quantity_minimum_micros": LOT,
        "notional_minimum_micros": MICROS if venue == "polymarket" else 0,
        "taker_delay_ms": 0,
        "grid": GRID,
        "fee_schedule": PM_FEES if venue == "polymarket" else KA_FEES,
        "category": "sports",
        "shard": 0,
        "lead_rank": POLICIES[venue].lead_rank,
    }
    return IntentLeg(**(values | changes))


def intent(number=1, quantity=10 * CONTRACT, price_a=400_000, price_b=500_000, leg_a=None, leg_b=None, **changes):
    values = {
        "intent_id": f"i{number}",
        "strategy": "cross_venue",
        "ts_ns": T0,
        "ts_received_ns": T0,
        "log_id": LOG,
        "partition": 0,
        "position": 10,
        "index": 0,
        "number": number,
        "pair_id": "pair",
        "package": "yes_a_no_b",
        "quantity_micros": quantity,
        "legs": (leg_a or leg(PM, "yes", price_a, quantity), leg_b or leg(KA, "no", price_b, quantity)),
        "payout_micros": quantity,
        "gross_micros": quantity * (MICROS - price_a - price_b) // MICROS,
        "friction_micros": 0,
        "lockup_micros": 0,
        "net_micros": 500_000,
        "net_per_contract_micros": 50_000,
        "friction_hash": "f",
        "valid_until_ns": T0 + 500 * MS,
    }
    return TradeIntent(**(values | changes))


def top(
    instrument_id,
    bid=390_000,
    ask=400_000,
    *,
    size=100 * CONTRACT,
    usable=True,
    trade_id="main-i1",
    sequence=0,
    ts_ns=T0,
):
    return TopSeen(
        sequence=sequence,
        ts_ns=ts_ns,
        partition=0,
        position=10,
        trade_id=trade_id,
        instrument_id=instrument_id,
        usable=usable,
        bid_price_micros=bid,
        bid_size_micros=None if bid is None else size,
        ask_price_micros=ask,
        ask_size_micros=None if ask is None else size,
    )


def listed(instrument_id, ts_ns=T0, **changes):
    venue, _, symbol = instrument_id.partition(":")
    values = {
        "venue": venue,
        "symbol": symbol,
        "event_id": f"{venue}:e",
        "group": "g",
        "title": symbol,
        "category": "sports",
        "rules_hash": "",
        "resolution_source": "",
        "grid": GRID,
        "quantity_step_micros": LOT,
        "minimums": (
            OrderMinimum(
                order_type="marketable",
                side="buy",
                quantity_micros=LOT,
                notional_micros=MICROS if venue == "polymarket" else 0,
            ),
        ),
        "taker_delay_ms": 0,
        "neg_risk": False,
        "exchange_version": "v2",
        "shard": 0,
        "status": "active",
        "fee_schedule": PM_FEES if venue == "polymarket" else KA_FEES,
        "policy": POLICIES[venue],
        "keyframe": False,
    }
    return InstrumentListed(ts_received_ns=ts_ns, instrument_id=instrument_id, **(values | changes))


def feed_of(instrument_id):
    return instrument_id.partition(":")[0] + ".books"


def snapshot(instrument_id, ts_ns, bids, asks, *, sequence=1, delivery="streaming", keyframe=False):
    return BookSnapshot(
        ts_received_ns=ts_ns,
        instrument_id=instrument_id,
        feed=feed_of(instrument_id),
        session=1,
        sequence=sequence,
        delivery=delivery,
        cadence_ms=0 if delivery == "streaming" else 1_000,
        keyframe=keyframe,
        bid_prices=tuple(p for p, _ in bids),
        bid_sizes=tuple(s for _, s in bids),
        ask_prices=tuple(p for p, _ in asks),
        ask_sizes=tuple(s for _, s in asks),
    )


def delta(instrument_id, ts_ns, sequence, bids=(), asks=()):
    return BookDelta(
        ts_received_ns=ts_ns,
        instrument_id=instrument_id,
        feed=feed_of(instrument_id),
        session=1,
        sequence=sequence,
        previous_sequence=sequence - 1,
        bid_prices=tuple(p for p, _ in bids),
        bid_sizes=tuple(s for _, s in bids),
        ask_prices=tuple(p for p, _ in asks),
        ask_sizes=tuple(s for _, s in asks),
    )


def status(venue, ts_ns, state="live"):
    return FeedStatus(
        ts_received_ns=ts_ns, feed=f"{venue}.books", venue=venue, session=1, state=state, reason="", instruments=()
    )


def configured(ts_ns=T0):
    return MarketConfigured(
        ts_received_ns=ts_ns,
        code_digest="d",
        top_interval_ns=100 * MS,
        watermark_interval_ns=250 * MS,
        polled_fresh_ns=2 * S,
        feed_stale_ns=2 * S,
        jump_ns=2 * S,
        control_offset=-1,
    )


def opened(partitions=1, clock="recorded"):
    return LogOpened(ts_received_ns=T0, log_id=LOG, partition=0, partitions=partitions, base_offset=0, clock=clock)


def watermark(position, intents, ts_ns=T0):
    return Watermark(ts_ns=ts_ns, log_id=LOG, partition=0, position=position, index=0, intents=intents, clamped=0)


def head():
    """LogOpened, settings, both instruments, both feeds live."""
    return [opened(), configured(), listed(PM), listed(KA), status("polymarket", T0), status("kalshi", T0)]


class Feeder:
    """A book of random quotes per instrument, walked by deltas."""

    def __init__(self, rng, instrument_id, middle):
        self.rng, self.id, self.middle, self.sequence = rng, instrument_id, middle, 1
        self.bids, self.asks = {}, {}

    def levels(self):
        return (
            sorted(self.bids.items(), reverse=True),
            sorted(self.asks.items()),
        )

    def first(self, ts_ns):
        for step in range(1, 5):
            self.bids[self.middle - step * 10_000] = self.rng.randrange(1, 30) * CONTRACT
            self.asks[self.middle + step * 10_000] = self.rng.randrange(1, 30) * CONTRACT
        return snapshot(self.id, ts_ns, *self.levels())

    def next(self, ts_ns):
        side = self.rng.choice(("bids", "asks"))
        book, other = (self.bids, self.asks) if side == "bids" else (self.asks, self.bids)
        self.sequence += 1
        if len(book) > 2 and self.rng.random() < 0.4:
            price, size = self.rng.choice(sorted(book)), 0
            del book[price]
        else:
            if side == "bids":
                ceiling = min(min(other) - 10_000, 980_000)
                price = max(20_000, ceiling - self.rng.randrange(0, 4) * 10_000)
            else:
                floor = max(max(other) + 10_000, 20_000)
                price = min(980_000, floor + self.rng.randrange(0, 4) * 10_000)
            size = self.rng.randrange(1, 40) * CONTRACT + self.rng.randrange(0, 100) * LOT
            book[price] = size
        return delta(self.id, ts_ns, self.sequence, **{side: [(price, size)]})


def make_world(seed, events=600, every=25, mark_every=20):
    """(market records, intents, watermarks): a seeded market with an intent now and then, whatever its edge."""
    rng = random.Random(seed)
    records, intents, marks = head(), [], []
    feeders = {PM: Feeder(rng, PM, 400_000), KA: Feeder(rng, KA, 450_000)}
    now = T0
    records += [feeders[PM].first(now), feeders[KA].first(now)]
    market = MarketState()
    for position, record in enumerate(records):
        market.apply(position, record)
    due = now
    while len(records) < events:
        now += rng.randrange(1, 40) * MS
        if now >= due:
            due = now + 400 * MS
            batch = [status("polymarket", now), status("kalshi", now)]
        else:
            batch = [feeders[rng.choice((PM, KA))].next(now)]
        for record in batch:
            position = len(records)
            records.append(record)
            market.apply(position, record)
            if position % every == 0 and market.usable(PM) and market.usable(KA):
                found = _intent_at(market, position, len(intents) + 1, rng)
                intents += [found] if found else []
            if position % mark_every == 0:
                marks.append(watermark(position, len(intents), market.now_ns))
    marks.append(watermark(len(records) - 1, len(intents), market.now_ns))
    return records, intents, marks


def _intent_at(market, position, number, rng):
    outcome_a, outcome_b = rng.choice((("yes", "no"), ("no", "yes")))
    a = market.books[PM].book.best_to_buy(outcome_a)
    b = market.books[KA].book.best_to_buy(outcome_b)
    if a is None or b is None:
        return None
    quantity = min(a[1], b[1], rng.randrange(3, 12) * CONTRACT) // LOT * LOT
    return intent(
        number,
        quantity,
        leg_a=leg(PM, outcome_a, a[0], quantity),
        leg_b=leg(KA, outcome_b, b[0], quantity),
        position=position,
        ts_ns=market.now_ns,
        ts_received_ns=market.now_ns,
        valid_until_ns=market.now_ns + 500 * MS,
        package="yes_a_no_b" if outcome_a == "yes" else "no_a_yes_b",
        payout_micros=quantity * 106 // 100,  # generous, so that completing is worth it most of the time
    )


def feed_all(engine, records, intents, marks, batch=None):
    """Feed a world in batches of so many market records, with whatever signals belong to them, and drain the engine."""
    written = []
    size = batch or len(records)
    for start in range(0, len(records), size):
        for position in range(start, min(start + size, len(records))):
            engine.lanes[0].put_record(position, records[position])
        last = start + size
        for one in intents:
            if start <= one.position < last:
                engine.lanes[0].put_intent(one, one.number, 0)
        for offset, mark in enumerate(marks):
            if start <= mark.position < last:
                engine.lanes[0].put_watermark(mark, offset)
        while engine.advance():
            written += engine.take_and_send()
        written += engine.take_and_send()
    return written


def run_world(world, terms=TERMS, batch=None):
    """The engine and everything that it wrote."""
    engine = Engine([0])
    engine.configure(terms, portfolio="main", code_digest="d")
    return engine, feed_all(engine, *world, batch=batch)
