"""A venue changes its grid, steps, minimums or fees under an open trade: what is sent obeys what is listed now."""

import msgspec
import pytest

from crossbook.domain.fees import make_schedule
from crossbook.domain.money import MICROS
from executors.engine import Engine, refold
from executors.journal import FILLS
from executors.terms import ExecuteTerms, PaperTerms, Terms
from schemas.records import (
    Fill,
    ListingSeen,
    OrderMinimum,
    OrderReport,
    OrderRequested,
    PriceRange,
    TopSeen,
    TradingStateChanged,
)
from tests.builders.executors.desk import Desk
from tests.builders.executors.worlds import (
    CONTRACT,
    GRID,
    KA,
    KA_FEES,
    LOT,
    MS,
    PM,
    PM_FEES,
    T0,
    TERMS,
    configured,
    delta,
    intent,
    leg,
    listed,
    opened,
    snapshot,
    status,
    watermark,
)

FINE = (PriceRange(start_micros=1_000, end_micros=999_000, tick_micros=1_000),)
COARSE = (PriceRange(start_micros=50_000, end_micros=950_000, tick_micros=50_000),)
DEEP = 100 * CONTRACT


class World:
    """An engine over a market that is written record by record; the first intent comes on calm books on the fine grid."""

    def __init__(self, terms=TERMS, bid=390_000):
        self.engine = Engine([0])
        self.engine.configure(terms, portfolio="main", code_digest="d")
        self.position, self.now, self.written, self.sequences = -1, T0, [], {PM: 1, KA: 1}
        for record in (
            opened(),
            configured(),
            listed(PM, grid=FINE),
            listed(KA, grid=FINE),
            status("polymarket", T0),
            status("kalshi", T0),
            snapshot(PM, T0, [(bid, DEEP)], [(400_000, DEEP)]),
            snapshot(KA, T0, [(500_000, DEEP)], [(510_000, DEEP)]),
        ):
            self.put(record)

    def put(self, record):
        self.position += 1
        self.engine.lanes[0].put_record(self.position, record)
        self.engine.lanes[0].put_watermark(watermark(self.position, 1, self.now), self.position)
        self.drain()

    def drain(self):
        while self.engine.advance():
            self.written += self.engine.take_and_send()
        self.written += self.engine.take_and_send()

    def intent(self, **changes):
        legs = {"leg_a": leg(PM, "yes", 400_000, grid=FINE), "leg_b": leg(KA, "no", 500_000, grid=FINE)} | changes
        one = intent(1, position=self.position, valid_until_ns=self.now + 500 * MS, **legs)
        self.engine.lanes[0].put_intent(one, 1, 0)
        self.drain()

    def list(self, instrument_id, bids=(), asks=(), **changes):
        """List an instrument anew, with its whole book where prices are given."""
        self.now += MS
        self.put(listed(instrument_id, ts_ns=self.now, **({"grid": FINE} | changes)))
        if bids or asks:
            self.sequences[instrument_id] += 1
            self.put(snapshot(instrument_id, self.now, bids, asks, sequence=self.sequences[instrument_id]))

    def move(self, instrument_id, bids=(), asks=()):
        self.sequences[instrument_id] += 1
        self.now += MS
        self.put(delta(instrument_id, self.now, self.sequences[instrument_id], bids, asks))

    def run(self, ms, step_ms=20):
        for _ in range(ms // step_ms):
            self.now += step_ms * MS
            self.put(status("polymarket", self.now))
            self.put(status("kalshi", self.now))

    @property
    def trade(self):
        return self.engine.state.trades["main-i1"]

    def of(self, *classes):
        return [one for one in self.written if isinstance(one, classes)]

    def rejected(self):
        return [one.reason for one in self.of(OrderReport) if one.order_status == "rejected"]


@pytest.mark.parametrize(("coarse", "bid"), [(GRID, 500_000), (GRID, 490_000), (COARSE, 500_000), (COARSE, 450_000)])
def test_a_coarser_grid_under_a_trade_makes_no_order_miss(coarse, bid):
    world = World()
    world.intent()
    world.run(40)
    world.list(KA, grid=coarse, bids=[(bid, DEEP)])
    world.run(3_000)
    assert world.rejected() == []
    assert world.trade.state == "closed"
    assert [one.instrument_id for one in world.of(ListingSeen)] == [KA]


@pytest.mark.parametrize(("coarse", "bid"), [(GRID, 380_000), (COARSE, 350_000)])
def test_an_unwind_goes_by_the_grid_in_force_and_gets_out(coarse, bid):
    """The hedge's book is gone, so the leader is sold, on a grid that has become coarser."""
    world = World(bid=389_000)
    world.intent()
    world.run(40)
    world.list(PM, grid=coarse, bids=[(bid, DEEP)], asks=[(400_000, DEEP)])
    world.move(KA, bids=[(500_000, 0)])
    world.run(5_000)
    assert world.rejected() == []
    sale = next(one for one in world.of(OrderRequested) if one.side == "sell")
    assert sale.price_limit_micros % coarse[0].tick_micros == 0 and sale.price_limit_micros <= bid
    assert world.trade.state == "flat" and world.trade.reason == "unwound"


def test_steps_and_minimums_in_force_count_for_hedges():
    world = World()
    world.intent()
    world.run(40)
    whole = OrderMinimum(order_type="marketable", side="buy", quantity_micros=2 * CONTRACT, notional_micros=0)
    world.list(KA, quantity_step_micros=2 * CONTRACT, minimums=(whole,))
    world.run(3_000)
    assert world.rejected() == []
    hedge = next(one for one in world.of(OrderRequested) if one.role == "hedge")
    assert hedge.quantity_micros == 10 * CONTRACT and world.trade.state == "closed"
    assert world.trade.leg("hedge").quantity_minimum_micros == 2 * CONTRACT == world.trade.dust


def test_fees_in_force_are_weighed_and_named_by_the_fill():
    dear = make_schedule(model="kalshi_quadratic", taker_rate_ppm=140_000, ts_effective_ns=0, source="later")
    world = World()
    world.intent()
    world.run(40)
    world.list(KA, fee_schedule=dear)
    world.run(3_000)
    named = {one.instrument_id: one.schedule_hash for one in world.of(Fill)}
    assert named[KA] == dear.hash and world.trade.leg("hedge").fee_schedule == dear


def test_a_listing_that_changed_before_the_executor_saw_the_intent_is_planned_on():
    desk = Desk()
    desk.put(listing(PM, GRID))
    desk.open(intent(1, leg_a=leg(PM, "yes", 405_000, grid=FINE), leg_b=leg(KA, "no", 500_000, grid=FINE)))
    assert desk.sent[0].price_limit_micros == 400_000, "rounded down: never dearer than decide allowed"
    assert desk.state.listings_before == {}


def listing(instrument_id, grid):
    return ListingSeen(
        sequence=-1,
        ts_ns=T0,
        partition=0,
        position=10,
        trade_id="main-i1",
        instrument_id=instrument_id,
        quantity_step_micros=LOT,
        quantity_minimum_micros=LOT,
        notional_minimum_micros=0,
        taker_delay_ms=0,
        grid=grid,
        fee_schedule=PM_FEES if instrument_id == PM else KA_FEES,
    )


def test_what_is_unchanged_is_not_journaled_and_a_refold_gives_the_same():
    world = World()
    world.intent()
    world.run(40)
    world.list(KA)
    world.list(PM)
    assert world.of(ListingSeen) == []
    world.list(KA, grid=GRID)
    world.run(3_000)
    again, _ = refold([one for one in world.written if not isinstance(one, FILLS)])
    assert again.trades == world.engine.state.trades
    assert again.trades["main-i1"].leg("hedge").grid == GRID


def test_a_listing_that_cannot_be_used_is_not_adopted():
    world = World()
    world.intent()
    world.run(40)
    world.list(KA, grid=())
    world.run(400)
    assert world.of(ListingSeen) == [] and world.trade.leg("hedge").grid == FINE


@pytest.mark.parametrize(
    ("side", "grid", "before", "after"),
    [
        ("sell", GRID, 374_000, 370_000),  # down: a sale above the bid would leave the leg naked
        ("sell", COARSE, 374_000, 350_000),
        ("buy", GRID, 505_000, 500_000),  # down: a purchase is never dearer than it is worth
    ],
)
def test_limits_are_rounded_down_to_a_coarser_grid(side, grid, before, after):
    desk = Desk()
    legs = {"leg_a": leg(PM, "yes", 400_000, grid=FINE), "leg_b": leg(KA, "no", 505_000, grid=FINE)}
    desk.open(intent(1, **legs), bid_b=495_000)
    desk.put(listing(PM if side == "sell" else KA, grid))
    if side == "sell":
        desk.top(PM, before + 15_000, before + 16_000)  # the first unwind accepts 1.5 cents less than is displayed
        desk.top(KA, 100_000, None)
    else:
        desk.top(KA, 495_000, 505_000, usable=False)  # nothing to weigh: the limit of the intent bounds the hedge
    desk.report(desk.sent[0], "filled", 10 * CONTRACT)
    assert (desk.sent[-1].side, desk.sent[-1].price_limit_micros) == (side, after)


# Decisions of trades that were not watched meanwhile


def late_report_world():
    """A trade that ended flat because its leader was out of sight, on books that have moved since."""
    late = Terms(execute=ExecuteTerms(pairs_open_max=20), paper=PaperTerms(late_ppm=MICROS, late_ms=17_000))
    world = World(late)
    world.intent()
    world.run(15_500, step_ms=100)
    assert (world.trade.state, world.trade.reason) == ("flat", "leader_expired")
    return world


def test_a_fill_of_a_trade_that_had_ended_is_hedged_on_the_books_of_that_moment():
    world = late_report_world()
    world.list(KA, grid=GRID)
    world.move(KA, bids=[(500_000, 0), (490_000, DEEP)])
    world.run(2_000, step_ms=100)
    hedge = next(one for one in world.of(OrderRequested) if one.role == "hedge")
    seen = [one for one in world.of(TopSeen) if one.instrument_id == KA and one.sequence < hedge.sequence]
    assert seen[-1].bid_price_micros == 490_000 and seen[-1].ts_ns <= hedge.ts_ns
    assert hedge.price_limit_micros >= 510_000 and hedge.price_limit_micros % 10_000 == 0


def test_an_order_that_a_halt_held_back_leaves_on_the_books_of_the_resume():
    world = World()
    world.intent()
    world.run(20)
    halt = TradingStateChanged(ts_ns=T0, operator="me", state="halted", scope="all", scope_value="", reason="")
    world.engine.control(halt, 0)
    world.run(200)
    assert world.trade.held_back
    world.move(KA, bids=[(500_000, 0), (490_000, DEEP)])
    world.engine.control(msgspec.structs.replace(halt, state="running"), 1)
    world.drain()
    hedge = next(one for one in world.of(OrderRequested) if one.role == "hedge")
    assert hedge.price_limit_micros >= 510_000
    assert world.trade.top("hedge").bid_price_micros == 490_000
