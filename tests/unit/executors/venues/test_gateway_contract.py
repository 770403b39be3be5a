"""The law of gateways, for every implementation: what is sent comes back in time, answers add up, an image goes on alike.

And of the engine before them: a gateway has nothing that was not taken and written first.
"""

from functools import partial

import pytest

from crossbook.market.market_state import MarketState
from executors.engine import Engine
from executors.errors import LaneError
from executors.terms import PaperTerms, Terms
from executors.venues.paper import PAPER, PaperVenue
from executors.venues.port import NEVER_NS, Cancel, Place, Replace, Routed, open_gateways
from schemas.records import CancelRequested, OrderReport, OrderRequested
from tests.builders.executors.worlds import (
    CONTRACT,
    KA,
    MS,
    PM,
    T0,
    S,
    feed_all,
    head,
    make_world,
    run_world,
    snapshot,
    status,
)  # fmt: skip

ASKS, BIDS = [(410_000, 20 * CONTRACT)], [(390_000, 20 * CONTRACT)]
DONE = {"filled", "canceled", "rejected", "expired"}
SPLIT = {"kalshi": partial(PaperVenue), "polymarket": partial(PaperVenue)}
TABLES = pytest.mark.parametrize("table", [PAPER, SPLIT], ids=["paper", "one a venue"])


def request(number, instrument, now_ns):
    return OrderRequested(
        sequence=number, ts_ns=now_ns, partition=0, position=0, order_id=f"o{number}", trade_id=f"t{number}", role="leader", attempt=1,
        instrument_id=instrument, venue=instrument.partition(":")[0], outcome="yes", side="buy", price_limit_micros=420_000,
        quantity_micros=6 * CONTRACT, time_in_force="immediate_or_cancel", reduce_only=False, send_before_ns=T0 + S, reserved_micros=0,
    )  # fmt: skip


def cancel(number, venue, now_ns, sequence=9):
    request = CancelRequested(
        sequence=sequence, ts_ns=now_ns, partition=0, position=0, trade_id=f"t{number}", order_id=f"o{number}", venue=venue, reason="test",
        send_before_ns=now_ns + S,
    )  # fmt: skip
    return Cancel(request, PaperTerms())


def ends(reports, number):
    return [(one.order_status, one.reason) for one in reports if one.order_id == f"o{number}"]


def opened(table):
    market = MarketState()
    gateway = open_gateways(table, market)
    records = (*head(), *(snapshot(one, T0, BIDS, ASKS) for one in (KA, PM)))
    for position, record in enumerate(records):
        gateway.begin(market.apply(position, record))
    return market, gateway


def pass_time(market, gateway, until_ms):
    """Reports until then, the feeds alive meanwhile; what is due never comes before what was due first."""
    reports, last_ns = [], 0
    for ms in range(0, until_ms, 10):
        for venue in ("kalshi", "polymarket"):
            record = status(venue, T0 + ms * MS)
            while (due := gateway.peek()) is not None and due.ts_ns <= market.reach_ns(record):
                assert due.ts_ns == gateway.next_due_ns
                report = gateway.pop()
                if report is not None:
                    assert report.ts_ns >= last_ns
                    last_ns = report.ts_ns
                    reports.append(report)
            gateway.begin(market.apply(market.position + 1, record))
    return reports


@TABLES
def test_orders_go_out_once_sent_and_their_reports_add_up(table):
    market, gateway = opened(table)
    assert gateway.next_due_ns == NEVER_NS and gateway.peek() is None and gateway.busy_trades() == set()
    places = [Place(request(n, one, market.now_ns), PaperTerms(), 0) for n, one in enumerate((KA, PM))]
    gateway.send(places)
    assert [one.order_id for one in gateway.unsent()] == ["o0", "o1"] and gateway.busy_trades() == {"t0", "t1"}
    for place in places:
        assert gateway.expected_ns(place) <= gateway.next_due_ns
        assert place.request.ts_ns <= gateway.leaves_ns(place.request, place.terms)
    reports = pass_time(market, gateway, 4_000)
    for number in (0, 1):
        mine = [one for one in reports if one.order_id == f"o{number}"]
        done = next(one for one in mine if one.order_status in DONE)
        assert done.cumulative_quantity_micros == sum(one.last_quantity_micros for one in mine if not one.reversed)
        assert done.leaves_quantity_micros == 0
        assert len({one.report_id for one in mine}) == len(mine)
    assert gateway.unsent() == [] and gateway.busy_trades() == set() and gateway.next_due_ns == NEVER_NS
    assert KA in gateway.consumed and PM in gateway.consumed and "kalshi:other" not in gateway.consumed
    assert gateway.top(KA)[1] == gateway.top(PM)[1] == (410_000, 14 * CONTRACT)


@TABLES
@pytest.mark.parametrize("until_ms", [0, 60, 90, 4_000])
def test_a_gateway_goes_on_from_its_image_as_if_nothing_had_been(table, until_ms):
    market, gateway = opened(table)
    gateway.send([Place(request(n, one, market.now_ns), PaperTerms(), 0) for n, one in enumerate((KA, PM))])
    pass_time(market, gateway, until_ms)
    again = open_gateways(table, market)
    again.restore(gateway.image())
    assert bytes(again.image()) == bytes(gateway.image())
    assert again.busy_trades() == gateway.busy_trades() and again.next_due_ns == gateway.next_due_ns
    while gateway.peek() is not None:
        assert again.pop() == gateway.pop()


def test_a_gateway_a_venue_gives_the_journal_of_one_for_both():
    world = make_world(7, 400)
    engine = Engine([0], gateways=SPLIT)
    assert isinstance(engine.lanes[0].venue, Routed)
    engine.configure(Terms(), portfolio="main", code_digest="d")
    written = feed_all(engine, *world)
    assert written == run_world(world, Terms())[1] and any(isinstance(one, OrderReport) for one in written)


def test_a_gateway_has_no_order_before_its_batch_was_sent():
    records, intents, marks = make_world(7, 400)
    engine = Engine([0])
    engine.configure(Terms(), portfolio="main", code_digest="d")
    lane, seen = engine.lanes[0], 0
    for position, record in enumerate(records):
        lane.put_record(position, record)
    for one in intents:
        lane.put_intent(one, one.number, 0)
    for offset, mark in enumerate(marks):
        lane.put_watermark(mark, offset)
    more = True
    while more:
        more = engine.advance()
        batch = engine.take()
        requested = [one for one in batch.records if isinstance(one, OrderRequested)]
        assert [command.request for command in batch.commands] == requested
        waiting = {one.order_id for one in lane.venue.unsent()}
        assert waiting.isdisjoint(one.order_id for one in requested)
        if requested:
            seen += 1
            with pytest.raises(AssertionError, match="what was written is sent"):
                engine.advance()
        engine.send(batch.commands)
        assert {one.order_id for one in requested} <= {one.order_id for one in lane.venue.unsent()}
    assert seen > 1 and engine.drained


def test_an_order_for_a_venue_without_a_gateway_is_refused_by_name():
    market, gateway = opened({"kalshi": SPLIT["kalshi"], "other": SPLIT["polymarket"]})
    with pytest.raises(LaneError, match="no gateway is named for polymarket; known are kalshi, other"):
        gateway.send([Place(request(1, PM, market.now_ns), PaperTerms(), 0)])
    assert gateway.top(PM) == (None, None)
    with pytest.raises(LaneError, match="no gateway is named for any venue"):
        open_gateways({}, market)


@TABLES
@pytest.mark.parametrize("instrument", [KA, PM])
def test_an_immediate_order_is_cancelled_before_it_matches(table, instrument):
    """It waits out its taker delay; the cancel is there first."""
    market, gateway = opened(table)
    place = Place(request(1, instrument, market.now_ns), PaperTerms(), 1_000)
    gateway.send([place, cancel(1, place.request.venue, market.now_ns)])
    reports = pass_time(market, gateway, 4_000)
    assert ends(reports, 1) == [("delayed", ""), ("canceled", "canceled on request")]
    assert reports[-1].cumulative_quantity_micros == reports[-1].leaves_quantity_micros == 0
    assert gateway.busy_trades() == set() and gateway.unsent() == [] and gateway.top(instrument)[1] == ASKS[0]


@TABLES
def test_a_cancel_of_what_is_not_there_ends_nothing(table):
    """An order that nobody sent, one that has matched, and one that is still on its way: of each it is only said that nothing is known."""
    market, gateway = opened(table)
    gateway.send([cancel(7, "kalshi", market.now_ns)])
    gateway.send([Place(request(1, KA, market.now_ns), PaperTerms(), 0)])
    reports = pass_time(market, gateway, 1_000)
    assert ends(reports, 7) == [("unknown", "nothing to cancel")]
    gateway.send([cancel(1, "kalshi", market.now_ns)])
    late = pass_time(market, gateway, 2_000)
    assert [one.order_status for one in reports if one.order_id == "o1"][-1] == "filled"
    assert ends(late, 1) == [("unknown", "nothing to cancel")] and gateway.busy_trades() == set()
    slow = PaperTerms(wire_latency_ms=500)
    gateway.send([Place(request(2, KA, market.now_ns), slow, 0), cancel(2, "kalshi", market.now_ns)])
    reports = pass_time(market, gateway, 4_000)
    assert {status for status, _ in ends(reports, 2)} == {"unknown", "filled"}


@TABLES
def test_a_replacement_takes_the_place_of_an_order_that_waits_and_both_never_live(table):
    market, gateway = opened(table)
    gateway.send([Place(request(1, KA, market.now_ns), PaperTerms(), 2_000)])
    pass_time(market, gateway, 100)
    gateway.send([Replace(Place(request(2, KA, market.now_ns), PaperTerms(), 0), "o1")])
    reports = pass_time(market, gateway, 4_000)
    assert ends(reports, 1) == [("canceled", "replaced")]
    assert [status for status, _ in ends(reports, 2)] == ["filled"]
    gateway.send([Replace(Place(request(3, KA, market.now_ns), PaperTerms(), 0), "o2")])
    assert ends(pass_time(market, gateway, 8_000), 3) == [("rejected", "nothing to replace")]


@TABLES
def test_a_cancel_under_way_stands_in_the_image(table):
    market, gateway = opened(table)
    place = Place(request(1, PM, market.now_ns), PaperTerms(), 1_000)
    gateway.send([place, cancel(1, "polymarket", market.now_ns), cancel(7, "kalshi", market.now_ns)])
    assert gateway.busy_trades() == {"t1", "t7"}
    again = open_gateways(table, market)
    again.restore(gateway.image())
    assert bytes(again.image()) == bytes(gateway.image())
    while gateway.peek() is not None:
        assert again.pop() == gateway.pop()
