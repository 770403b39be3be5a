"""Outcomes to report on: one made by hand to the micro, one that decide and the executor's engine made of a seeded market."""

import random

import msgspec

from crossbook.market.market_state import MarketState
from deploy.lab.outcome.outcome import Comparison, Model, Outcome
from executors.engine import Engine
from executors.journal import topic_of
from executors.terms import ExecuteTerms, PaperTerms, Terms
from processors.decide.fold import step
from processors.decide.state import DecideState
from schemas.records import (
    EdgeStatistics,
    EdgeUpdate,
    Fill,
    FillReversed,
    InstrumentListed,
    InstrumentSettled,
    OrderReport,
    OrderRequested,
    PairListed,
    PayoutBooked,
    TopSeen,
    TradeIntent,
    TradePlan,
    TradeUpdate,
    Watermark,
)
from tests.builders import market_records as mr
from tests.builders.executors import worlds
from tests.builders.logs.projected import like

MS = 1_000_000
S = 1_000 * MS
DAY = 86_400 * S
T0 = mr.T0
MICROS = 1_000_000
CATEGORIES = ("sports", "politics", "crypto")
MODELS = (
    Model(
        "latency",
        "constant: decide 10 ms, wire 40 ms, report 20 ms",
        "every order reaches the venue 50 ms after its plan",
    ),
    Model("queue", "conservative", "resting orders fill only after everything that was there before them"),
    Model("depth", "consumed", "what we took is gone until the displayed size rises again"),
    Model(
        "finality", "2 s, 6 % reversed", "a Polymarket fill is provisional for 2 s and then sometimes never happened"
    ),
)


def blank(**changes) -> Outcome:
    """An outcome in which nothing happened."""
    values = {
        "name": "nothing",
        "source": "archive 'empty'",
        "log_id": "0" * 32,
        "positions": "simulated",
        "seed": 7,
        "code_digest": "d" * 64,
        "ts_first_ns": T0,
        "ts_last_ns": T0 + 60 * S,
        "events": 0,
        "settings": {"decide.min_edge_micros": 25_000, "decide.cooldown_ms": 2_000},
        "changed": {},
        "models": MODELS,
        "journal": (),
        "fills": (),
        "intents": (),
        "quotes": (),
        "statistics": (),
        "instruments": {},
        "pairs": {},
        "settled": {},
        "comparisons": (),
        "warnings": (),
        "elapsed_s": 0.0,
        "rss_mb": 0.0,
    }
    return Outcome(**(values | changes))


class Venue:
    """Quotes around a value that it learns late, and now and then loses sight of."""

    def __init__(self, rng, instrument_id, lag):
        self.rng, self.id, self.lag = rng, instrument_id, lag
        self.sequence, self.off, self.off_until = 0, 0, 0

    def quote(self, now, value):
        rng = self.rng
        self.sequence += 1
        if now > self.off_until:
            self.off = 0
            if rng.random() < 0.003:
                self.off, self.off_until = rng.choice((-7, -6, 6, 7, 9)), now + int(rng.lognormvariate(-0.3, 1.2) * S)
        mid = min(95, max(5, value + self.off + rng.choice((0, 0, 0, 1, -1))))
        bids = [((mid - 1 - n) * 10_000, rng.randrange(5, 120) * mr.CONTRACT) for n in range(3)]
        asks = [((mid + 1 + n) * 10_000, rng.randrange(5, 120) * mr.CONTRACT) for n in range(3)]
        return mr.snapshot(self.id, now, self.sequence, bids=bids, asks=asks)


def market(seed, seconds, pairs=3, min_edge=25_000):
    """Records of a market with a few pairs whose venues learn the same value at different speeds."""
    rng = random.Random(seed)
    records = [
        mr.opened(),
        *mr.settings(close_window_ns=0, game_start_window_ns=0, min_edge_micros=min_edge),
        mr.friction(lockup_ppm_per_year=50_000, gas_micros=2_000),
    ]
    venues = []
    for number in range(pairs):
        a, b = f"polymarket:0x{number:04x}", f"kalshi:GAME-{number}"
        listing = {
            "category": CATEGORIES[number % 3],
            "ts_payout_expected_ns": T0 + (number + 1) * DAY,
            "title": f"Will team {number} win the final?",
        }
        records += [
            mr.instrument(a, **listing),
            mr.instrument(b, **listing),
            mr.pair(pair_id=f"team-{number}", a=a, b=b),
        ]
        venues.append((Venue(rng, a, 0), Venue(rng, b, 0)))
    values = [rng.randrange(30, 70) for _ in range(pairs)]
    now = feeds_due = T0
    while now < T0 + seconds * S:
        now += rng.randrange(5, 120) * MS
        if now >= feeds_due:
            feeds_due = now + 500 * MS
            records += [mr.status("polymarket", now), mr.status("kalshi", now)]
        number = rng.randrange(pairs)
        if rng.random() < 0.01:
            values[number] = min(90, max(10, values[number] + rng.choice((-1, 1))))
        records.append(rng.choice(venues[number]).quote(now, values[number]))
    for leg, payout in (("polymarket:0x0000", MICROS), ("kalshi:GAME-0", MICROS)):
        records.append(
            InstrumentSettled(ts_received_ns=now, instrument_id=leg, payout_yes_micros=payout, source="test")
        )
    return records


class Run:
    """decide and the engine side by side, as a backtest runs them."""

    def __init__(self, terms):
        self.engine = Engine([0])
        self.engine.configure(terms, portfolio="main", code_digest="d")
        self.state, self.books = DecideState(mr.DIGEST), MarketState()
        self.signals, self.intents, self.written = [], [], []

    def take(self, position, record):
        self.books.apply(position, record)
        lane = self.engine.lanes[0]
        lane.put_record(position, record)
        for output in step(self.state, position, record):
            if isinstance(output.record, TradeIntent):
                self.intents.append(output.record)
                lane.put_intent(output.record, len(self.intents) - 1, 0)
                continue
            self.signals.append(output.record)
            if isinstance(output.record, Watermark):
                lane.put_watermark(output.record, position)
        while self.engine.advance():
            self.written += self.engine.take_and_send()


def simulated(seed=3, seconds=300, pairs=3, *, rough=True, min_edge=25_000, **changes) -> Outcome:
    """What decide and the engine make of a seeded market."""
    records = market(seed, seconds, pairs, min_edge)
    rates = (
        {"vanish_ppm": 100_000, "partial_ppm": 200_000, "reject_ppm": 40_000, "reverse_ppm": 60_000} if rough else {}
    )
    run = Run(Terms(execute=ExecuteTerms(pairs_open_max=20), paper=PaperTerms(**rates)))
    for position, record in enumerate(records):
        run.take(position, record)
    run.written += run.engine.take_and_send()
    statistics = {(one.pair_id, one.package): one for one in run.signals if isinstance(one, EdgeStatistics)}
    settled = [record for record in records if isinstance(record, InstrumentSettled)]
    values = {
        "name": "Three finals, thirty minutes",
        "source": "archive 'finals'",
        "log_id": mr.LOG_ID,
        "code_digest": f"{mr.DIGEST}/{'e' * 64}",
        "ts_last_ns": run.books.clock.now_ns,
        "events": len(records),
        "settings": {"decide.min_edge_micros": min_edge, "decide.cooldown_ms": 2_000, "execute.pairs_open_max": 20},
        "changed": {"execute.pairs_open_max": 20},
        "journal": tuple(r for r in run.written if topic_of(r) == "orders"),
        "fills": tuple(r for r in run.written if topic_of(r) == "fills"),
        "intents": tuple(run.intents),
        "quotes": tuple(r for r in run.signals if isinstance(r, EdgeUpdate)),
        "statistics": tuple(statistics.values()),
        "instruments": {r.instrument_id: r for r in records if isinstance(r, InstrumentListed)},
        "pairs": {r.pair_id: r for r in records if isinstance(r, PairListed)},
        "settled": {r.instrument_id: (r.payout_yes_micros, r.ts_received_ns) for r in settled},
        "comparisons": (
            Comparison("intents", len(run.intents), 0, 0, 0, ""),
            Comparison("orders", 310, 2, 0, 0, "trade 17: OrderReport.ts_ns 5 was 4"),
        ),
        "elapsed_s": 2.5,
        "rss_mb": 120.0,
    }
    return blank(**(values | changes))


A, B = "polymarket:0xA", "kalshi:B"
CONTRACT = MICROS


def leg(instrument_id, outcome, cost, fee, quantity):
    """A leg of an intent that costs so much in all."""
    return worlds.leg(instrument_id, outcome, cost * MICROS // quantity, quantity, cost_micros=cost, fee_micros=fee)


def golden(**changes) -> Outcome:
    """Three intents on one pair, small enough to be summed on paper.

    i1: 10 contracts YES at 40 cents + NO at 50 cents, both legs held; the hedge cost a cent more a contract than planned.
    i2: the leader bought 5 YES at 42 cents, the hedge found nothing, sold again at 41 cents.
    i3: declined, pairs_open.
    At the end the tops seen bid 39, then 43 cents for A and ask 51 for B; B has settled: YES pays 0.
    """
    whole = 10 * CONTRACT
    one = worlds.intent(
        1, whole, leg_a=leg(A, "yes", 4_000_000, 60_000, whole), leg_b=leg(B, "no", 5_000_000, 40_000, whole), ts_ns=T0 + S,
        gross_micros=1_000_000, friction_micros=20_000, lockup_micros=30_000, net_micros=850_000, position=10,
    )  # fmt: skip
    half = 5 * CONTRACT
    two = worlds.intent(
        2, half, leg_a=leg(A, "yes", 2_100_000, 30_000, half), leg_b=leg(B, "no", 2_500_000, 20_000, half), ts_ns=T0 + 20 * S,
        gross_micros=400_000, friction_micros=10_000, lockup_micros=15_000, net_micros=325_000, position=20,
    )  # fmt: skip
    three = msgspec.structs.replace(two, intent_id="i3", number=3, ts_ns=T0 + 21 * S, position=30)
    journal = (
        _plan(one, T0 + S, whole),
        _update(one, T0 + S, "leading"),
        _order("i1-l", "i1", "leader", A, T0 + S),
        _report("i1-l", "i1", T0 + S + 70 * MS),
        _order("i1-h", "i1", "hedge", B, T0 + S + 70 * MS),
        _report("i1-h", "i1", T0 + S + 150 * MS),
        _update(one, T0 + S + 150 * MS, "hedged", held=(whole, whole), cost=9_100_000, fee=104_000),
        _plan(two, T0 + 20 * S, half),
        _update(two, T0 + 20 * S, "leading"),
        _update(two, T0 + 20 * S + 70 * MS, "hedging", held=(half, 0), cost=2_100_000, fee=30_000),
        _update(two, T0 + 21 * S, "unwinding", "adverse", held=(half, 0), cost=2_100_000, fee=30_000),
        _update(two, T0 + 22 * S, "flat", "adverse", cost=50_000, fee=60_000),
        _update(three, T0 + 21 * S, "declined", "pairs_open"),
    )
    fills = (
        _fill("f1", one, "leader", A, "yes", "buy", 400_000, 400_000, whole, 60_000, T0 + S + 70 * MS),
        _fill("f2", one, "hedge", B, "no", "buy", 510_000, 500_000, whole, 44_000, T0 + S + 150 * MS),
        _fill("f3", two, "leader", A, "yes", "buy", 420_000, 420_000, half, 30_000, T0 + 20 * S + 70 * MS),
        _fill("f4", two, "unwind", A, "yes", "sell", 410_000, 420_000, half, 30_000, T0 + 22 * S),
        _fill("f5", two, "hedge", B, "no", "buy", 500_000, 500_000, half, 1_000, T0 + 20 * S + 90 * MS),
        FillReversed(sequence=0, ts_ns=T0 + 20 * S + 95 * MS, fill_id="f5", trade_id="i2", reason="FAILED"),
    )
    journal, fills = numbered((*_seen(), paid_out(B, 0, T0 + 40 * S), *journal), fills)
    values = {
        "name": "golden",
        "journal": journal,
        "fills": fills,
        "intents": (one, two, three),
        "quotes": (
            _quote("opened", T0 + S - 500 * MS, 60_000),
            _quote("changed", T0 + S, 85_000),
            _quote("closed", T0 + 2 * S, -1_000),
            _quote("opened", T0 + 5 * S, 20_000),
            _quote("closed", T0 + 5 * S + 250 * MS, -2_000),
            _quote("opened", T0 + 19 * S, 65_000),
            _quote("suspended", T0 + 30 * S, 65_000),
        ),
        "statistics": (_statistics(),),
        "instruments": {A: mr.instrument(A, ts_payout_expected_ns=T0 + DAY), B: mr.instrument(B)},
        "pairs": {"pair": mr.pair(a=A, b=B)},
        "settled": {B: (0, T0 + 40 * S)},
    }
    return blank(**(values | changes))


def numbered(journal, fills):
    """Journal and fills with numbers in the order of their stamps."""
    order = sorted([*journal, *fills], key=lambda record: record.ts_ns)
    numbers = {id(record): number for number, record in enumerate(order)}
    return tuple(
        tuple(msgspec.structs.replace(record, sequence=numbers[id(record)]) for record in group)
        for group in (journal, fills)
    )


def _seen():
    tops = ((T0, A, 390_000, 410_000), (T0, B, 490_000, 510_000), (T0 + 30 * S, A, 430_000, 450_000))
    return [
        like(
            TopSeen, **_at(ts_ns), trade_id="i1", instrument_id=name, usable=True, bid_price_micros=bid, ask_price_micros=ask
        )
        for ts_ns, name, bid, ask in tops
    ]  # fmt: skip


def paid_out(instrument_id, payout, ts_ns):
    """The journal's word of a payout of YES."""
    return like(
        PayoutBooked, sequence=999, ts_ns=ts_ns, instrument_id=instrument_id, payout_yes_micros=payout
    )  # fmt: skip


def _at(ts_ns):
    return {"sequence": 0, "ts_ns": ts_ns, "partition": 0, "position": 0}


def _plan(intent, ts_ns, quantity):
    bound = msgspec.structs.replace(
        like(TradePlan).leader, instrument_id=intent.legs[0].instrument_id, venue=intent.legs[0].venue, role="leader"
    )
    ids = {"trade_id": intent.intent_id, "intent_id": intent.intent_id, "pair_id": "pair"}
    return TradePlan(**_at(ts_ns), **ids, quantity_micros=quantity, leader=bound, bounds=())


def _update(intent, ts_ns, state, reason="", *, held=(0, 0), cost=0, fee=0):
    return TradeUpdate(
        **_at(ts_ns), trade_id=intent.intent_id, intent_id=intent.intent_id, pair_id="pair", package="yes_a_no_b", state=state, reason=reason,
        quantity_a_micros=held[0], quantity_b_micros=held[1], residual_micros=held[0] - held[1], cost_micros=cost, fee_micros=fee,
        edge_micros=intent.net_micros,
    )  # fmt: skip


def _order(order_id, trade_id, role, instrument_id, ts_ns):
    venue = instrument_id.partition(":")[0]
    place = {"order_id": order_id, "trade_id": trade_id, "role": role, "instrument_id": instrument_id, "venue": venue}
    return like(OrderRequested, **_at(ts_ns), **place)


def _report(order_id, trade_id, ts_ns):
    return like(OrderReport, **_at(ts_ns), order_id=order_id, trade_id=trade_id, order_status="filled")


def _fill(fill_id, intent, role, instrument_id, outcome, side, price, planned, quantity, fee, ts_ns):
    return Fill(
        sequence=0, ts_ns=ts_ns, fill_id=fill_id, order_id=f"{intent.intent_id}-{role}", trade_id=intent.intent_id, intent_id=intent.intent_id,
        pair_id="pair", category="sports", role=role, instrument_id=instrument_id, venue=instrument_id.partition(":")[0], outcome=outcome,
        side=side, price_micros=price, price_planned_micros=planned, quantity_micros=quantity, fee_micros=fee, liquidity="taker",
        schedule_hash="", finality="final",
    )  # fmt: skip


def _quote(state, ts_ns, each):
    """A quote of ten contracts: 10 cents gross a contract, 5 friction and lock-up, the rest fees."""
    net = 10 * each
    return like(
        EdgeUpdate, ts_ns=ts_ns, pair_id="pair", package="yes_a_no_b", state=state, reason="no_net" if state == "closed" else "",
        quantity_micros=10 * CONTRACT, gross_micros=1_000_000, fee_a_micros=900_000 - net, fee_b_micros=50_000,
        friction_micros=20_000, lockup_micros=30_000, net_micros=net, net_per_contract_micros=each, distance_micros=each - 25_000,
    )  # fmt: skip


def _statistics():
    return like(
        EdgeStatistics, pair_id="pair", package="yes_a_no_b", partition=0, evaluations=50, gross_positive=12, net_positive=9, episodes=3,
        at_threshold=5, net_best_micros=85_000,
    )  # fmt: skip


def fill_of(number, trade, instrument_id, outcome, side, price, quantity, fee, ts_ns):
    """An execution that belongs to no intent."""
    intent = worlds.intent(1, intent_id=trade)
    fill = _fill(f"f{number}", intent, "leader", instrument_id, outcome, side, price, price, quantity, fee, ts_ns)
    category = "" if instrument_id == A else "politics"
    return msgspec.structs.replace(fill, pair_id=f"pair-{trade}", category=category)
