"""The paper venue: depth that was taken stays taken, a polled book fills on a later row, faults are seeded."""

import msgspec
import pytest

from crossbook.domain.fees import FeeAccumulator, make_schedule, schedule_hash
from crossbook.market.market_state import MarketState
from crossbook.venues.policies import POLICIES
from executors.terms import PaperTerms
from executors.venues.paper import PaperVenue
from executors.venues.paper_orders import STREAMING_WAIT_NS
from executors.venues.port import Place
from schemas.records import Fill, InstrumentSettled, OrderMinimum, OrderRequested, PauseWindow, VenueStatus
from tests.builders.executors.books import Books
from tests.builders.executors.worlds import (
    CONTRACT,
    KA,
    KA_FEES,
    LOT,
    MICROS,
    MS,
    PM,
    PM_FEES,
    T0,
    S,
    delta,
    head,
    intent,
    listed,
    snapshot,
    status,
    top,
)

ASKS = [(410_000, 5 * CONTRACT), (420_000, 7 * CONTRACT)]
BIDS = [(390_000, 5 * CONTRACT), (380_000, 9 * CONTRACT)]
ARRIVAL = 50 * MS
REPORT = 20 * MS


class Floor:
    """A market and its venue, fed record by record."""

    def __init__(self, *books, terms=None):
        self.market = MarketState()
        self.venue = PaperVenue(self.market)
        self.terms = terms or PaperTerms()
        self.reports, self.number, self.at = [], 0, T0
        for record in (*head(), *books):
            self.feed(record)

    def feed(self, record):
        reach = self.market.reach_ns(record)
        fresh = self.until(reach - 1)
        self.venue.begin(self.market.apply(self.market.position + 1, record))
        assert self.market.now_ns == reach
        fresh += self.until(reach)
        self.reports += fresh
        return fresh

    def until(self, ts_ns):
        fresh = []
        while (due := self.venue.peek()) is not None and due.ts_ns <= ts_ns:
            report = self.venue.pop()
            fresh += [report] if report else []
        return fresh

    def run(self, until_ms, step_ms=10):
        """Time passes: the feeds say that they live."""
        fresh = []
        for ms in range((self.at - T0) // MS, until_ms + 1, step_ms):
            fresh += self.feed(status("kalshi", T0 + ms * MS)) + self.feed(status("polymarket", T0 + ms * MS))
        self.at = T0 + until_ms * MS
        return fresh

    def send(self, **changes):
        self.number += 1
        values = {
            "sequence": 0,
            "ts_ns": self.market.now_ns,
            "partition": 0,
            "position": self.market.position,
            "order_id": f"i1-l{self.number}",
            "trade_id": "i1",
            "role": "leader",
            "attempt": 1,
            "instrument_id": KA,
            "venue": "kalshi",
            "outcome": "yes",
            "side": "buy",
            "price_limit_micros": 420_000,
            "quantity_micros": 6 * CONTRACT,
            "time_in_force": "immediate_or_cancel",
            "reduce_only": False,
            "send_before_ns": T0 + S,
            "reserved_micros": 0,
        }
        values |= changes
        values["venue"] = values["instrument_id"].partition(":")[0]
        request = OrderRequested(**values)
        listed = self.market.instruments.get(request.instrument_id)
        self.venue.send([Place(request, self.terms, 0 if listed is None else listed.taker_delay_ms)])
        return request


def book(instrument=KA, bids=BIDS, asks=ASKS, ts_ns=T0, **more):
    return snapshot(instrument, ts_ns, bids, asks, **more)


def shape(reports):
    return [(r.order_status, r.last_quantity_micros, r.last_price_micros) for r in reports]


def test_levels_are_walked_with_one_report_each_and_one_accumulator_an_order():
    floor = Floor(book())
    floor.send()
    assert floor.run(60) == []
    reports = floor.run(80)
    assert shape(reports) == [("partially_filled", 5 * CONTRACT, 410_000), ("filled", CONTRACT, 420_000)]
    fees = FeeAccumulator(KA_FEES)
    expected = [fees.fill(p, q, "buy", "taker").net_micros for p, q in ((410_000, 5 * CONTRACT), (420_000, CONTRACT))]
    assert [r.last_fee_micros for r in reports] == expected
    assert [r.fill_id for r in reports] == ["i1-l1-f1", "i1-l1-f2"]
    assert [r.report_id for r in reports] == ["i1-l1-r1", "i1-l1-r2"]
    assert {(r.ts_ns, r.ts_venue_ns) for r in reports} == {(T0 + ARRIVAL + REPORT, T0 + ARRIVAL)}
    assert {r.finality for r in reports} == {"final"}
    assert (reports[-1].cumulative_quantity_micros, reports[-1].leaves_quantity_micros) == (6 * CONTRACT, 0)


def test_what_the_book_lacks_is_canceled_and_fill_or_kill_takes_all_or_nothing():
    floor = Floor(book())
    floor.send(quantity_micros=20 * CONTRACT)
    assert shape(floor.run(100))[-1] == ("canceled", 0, 0)
    assert floor.reports[-1].cumulative_quantity_micros == 12 * CONTRACT
    floor = Floor(book())
    floor.send(quantity_micros=20 * CONTRACT, time_in_force="fill_or_kill")
    assert shape(floor.run(100)) == [("canceled", 0, 0)]
    floor.send(quantity_micros=12 * CONTRACT, time_in_force="fill_or_kill")
    assert shape(floor.run(200))[-1][0] == "filled", "a kill takes nothing"


def test_no_and_sell_meet_the_other_side_of_the_same_book():
    floor = Floor(book())
    floor.send(outcome="no", price_limit_micros=610_000, quantity_micros=5 * CONTRACT)
    assert shape(floor.run(100)) == [("filled", 5 * CONTRACT, 610_000)]
    floor.send(outcome="no", side="sell", price_limit_micros=580_000, quantity_micros=2 * CONTRACT, reduce_only=True)
    assert shape(floor.run(200)) == [("filled", 2 * CONTRACT, 590_000)]


def test_nothing_is_matched_at_the_position_that_caused_it_however_late_it_is():
    floor = Floor(book(), terms=PaperTerms(decide_latency_ms=0, wire_latency_ms=0, report_latency_ms=0))
    floor.send()
    assert floor.venue.peek() is None
    assert len(floor.feed(status("kalshi", T0))) == 2


def test_taken_depth_is_gone_until_more_is_displayed_or_the_level_disappears():
    floor = Floor(book())
    floor.send(quantity_micros=5 * CONTRACT, price_limit_micros=410_000)
    assert shape(floor.run(100)) == [("filled", 5 * CONTRACT, 410_000)]
    floor.feed(book(sequence=2, ts_ns=T0 + 100 * MS))  # the same resting order, told again
    floor.send(quantity_micros=CONTRACT, price_limit_micros=410_000)
    assert shape(floor.run(200)) == [("canceled", 0, 0)]
    floor.feed(delta(KA, T0 + 200 * MS, 3, asks=[(410_000, 6 * CONTRACT)]))  # one more came
    floor.send(quantity_micros=3 * CONTRACT, price_limit_micros=410_000)
    assert shape(floor.run(300)) == [("partially_filled", CONTRACT, 410_000), ("canceled", 0, 0)]
    floor.feed(delta(KA, T0 + 300 * MS, 4, asks=[(410_000, 0)]))
    floor.feed(delta(KA, T0 + 310 * MS, 5, asks=[(410_000, 2 * CONTRACT)]))  # another order at the price
    floor.send(quantity_micros=2 * CONTRACT, price_limit_micros=410_000)
    assert shape(floor.run(400)) == [("filled", 2 * CONTRACT, 410_000)]


def test_a_partial_take_leaves_its_rest():
    floor = Floor(book())
    floor.send(quantity_micros=2 * CONTRACT, price_limit_micros=410_000)
    floor.run(100)
    floor.feed(delta(KA, T0 + 100 * MS, 2, asks=[(410_000, 4 * CONTRACT)]))  # others took one of five; two were ours
    floor.send(quantity_micros=9 * CONTRACT, price_limit_micros=410_000)
    assert shape(floor.run(200))[0] == ("partially_filled", 2 * CONTRACT, 410_000)


@pytest.mark.parametrize("delivery", ["streaming", "polled"])
def test_a_level_that_flickers_or_that_others_took_from_gives_nothing_back(delivery):
    """Sixty of a hundred are ours: whatever the level displays below its largest size, and then again, is none of ours."""

    def show(sequence, size):
        at = T0 + sequence * 300 * MS
        floor.feed(book(asks=[(410_000, size * CONTRACT)], delivery=delivery, sequence=sequence, ts_ns=at))

    floor = Floor(book(asks=[(410_000, 100 * CONTRACT)], delivery=delivery))
    floor.send(quantity_micros=60 * CONTRACT)
    floor.run(200)
    show(2, 100)
    floor.run(800)
    assert sum(r.last_quantity_micros for r in floor.reports) == 60 * CONTRACT
    show(3, 40)
    assert floor.venue.top(KA)[1] is None, "of a hundred we took sixty and others sixty"
    show(4, 100)
    assert floor.venue.top(KA)[1] is None
    show(5, 130)
    assert floor.venue.top(KA)[1] == (410_000, 30 * CONTRACT)
    floor.send(quantity_micros=60 * CONTRACT)
    floor.run(1_700)
    show(6, 130)
    floor.run(2_000)
    assert sum(r.last_quantity_micros for r in floor.reports) == 90 * CONTRACT


def test_a_polled_book_fills_on_a_later_row_and_that_row_grants_no_refill():
    floor = Floor(book(delivery="polled"))
    floor.send(quantity_micros=5 * CONTRACT, price_limit_micros=410_000)
    assert floor.run(900) == [], "the row that triggered fills nothing"
    floor.feed(book(delivery="polled", sequence=2, ts_ns=T0 + 1_000 * MS))
    assert shape(floor.run(1_100)) == [("filled", 5 * CONTRACT, 410_000)]
    assert floor.reports[0].ts_venue_ns == T0 + 1_000 * MS
    floor.send(quantity_micros=5 * CONTRACT, price_limit_micros=410_000)
    floor.feed(book(delivery="polled", sequence=3, ts_ns=T0 + 2_000 * MS))
    assert shape(floor.run(2_100)) == [("canceled", 0, 0)]


def test_an_order_waits_for_a_usable_book_but_not_for_ever():
    floor = Floor(book())
    floor.feed(delta(KA, T0, 9, asks=[(410_000, CONTRACT)]))  # a hole
    floor.send()
    assert floor.run(1_000) == []
    floor.feed(book(sequence=10, ts_ns=T0 + S))
    assert shape(floor.run(1_100))[-1] == ("filled", CONTRACT, 420_000)
    floor.feed(delta(KA, floor.market.now_ns, 19, asks=[(410_000, CONTRACT)]))
    floor.send()
    floor.run(1_100 + (STREAMING_WAIT_NS + ARRIVAL) // MS + 100)
    assert (floor.reports[-1].order_status, floor.reports[-1].reason) == ("canceled", "no_book")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price_limit_micros": 415_000}, "price breaks the grid"),
        ({"quantity_micros": LOT // 2}, "quantity breaks the step"),
        ({"instrument_id": "kalshi:NONE"}, "unknown instrument"),
        ({"side": "sell"}, "nothing held to sell"),
        ({"instrument_id": PM, "quantity_micros": 2 * CONTRACT}, "below the minimum"),
    ],
)
def test_refusals(changes, reason):
    floor = Floor(book(), book(PM))
    floor.send(**changes)
    assert [(r.order_status, r.reason) for r in floor.run(100)] == [("rejected", reason)]


def test_closed_and_settled_markets_take_nothing():
    floor = Floor(book())
    floor.feed(listed(KA, status="paused"))
    floor.send()
    assert floor.run(100)[0].reason == "market is not open: inactive"
    floor = Floor(book())
    floor.feed(InstrumentSettled(ts_received_ns=T0, instrument_id=KA, payout_yes_micros=MICROS, source="t"))
    floor.send()
    assert floor.run(100)[0].reason == "market is not open: settled"


def pause(ts_ns, **changes):
    values = {
        "venue": "kalshi",
        "exchange_active": True,
        "trading_active": False,
        "shards_halted": (),
        "pauses": (),
        "reason": "trading is paused",
        "keyframe": False,
    }
    return VenueStatus(ts_received_ns=ts_ns, **(values | changes))


#: name: what stands in the log before the order arrives, why it is refused
SHUT = {
    "after the close, whatever the status says": (listed(KA, ts_close_ns=T0 + 40 * MS), "after_close"),
    "before it opens": (listed(KA, ts_open_ns=T0 + S), "before_open"),
    "trading is paused": (pause(T0), "venue_halted"),
    "the exchange is paused": (pause(T0, exchange_active=False, trading_active=True), "venue_halted"),
    "its shard is halted": (pause(T0, trading_active=True, shards_halted=(0, 2)), "shard_halted"),
    "a scheduled pause": (
        pause(T0, trading_active=True, pauses=(PauseWindow(ts_start_ns=T0 + 40 * MS, ts_end_ns=T0 + S),)),
        "scheduled_pause",
    ),
}


@pytest.mark.parametrize("name", SHUT)
def test_the_venue_takes_nothing_while_it_does_not_trade(name):
    record, shut = SHUT[name]
    floor = Floor(book())
    floor.feed(record)
    floor.send()
    assert [(r.order_status, r.reason) for r in floor.run(200)] == [("rejected", f"market is not open: {shut}")]


@pytest.mark.parametrize("name", [name for name in SHUT if name != "before it opens"])
def test_an_order_that_waits_for_a_book_ends_when_trading_does(name):
    record, shut = SHUT[name]
    floor = Floor(book())
    floor.feed(msgspec.structs.replace(status("kalshi", T0), state="resync", instruments=(KA,)))  # no book: it waits
    floor.send(ts_ns=T0 - 20 * MS)
    assert floor.run(35, step_ms=5) == []
    floor.feed(record)
    assert [(r.order_status, r.reason) for r in floor.run(100)] == [("canceled", f"market is not open: {shut}")]


def test_trading_resumes_when_the_venue_says_so():
    floor = Floor(book())
    floor.feed(pause(T0))
    floor.feed(pause(T0, trading_active=True, reason=""))
    floor.send()
    assert shape(floor.run(100))[-1][0] == "filled"


def test_a_fill_is_charged_by_the_schedule_in_force_at_the_match():
    dearer = msgspec.structs.replace(KA_FEES, taker_rate_ppm=2 * KA_FEES.taker_rate_ppm, ts_effective_ns=T0 + S)
    dearer = msgspec.structs.replace(dearer, hash=schedule_hash(dearer))
    fees = []
    for sent_ms in (0, 940, 960):
        floor = Floor(book())
        floor.feed(listed(KA, fee_changes=(dearer,)))
        floor.run(sent_ms)
        floor.send(quantity_micros=5 * CONTRACT, ts_ns=T0 + sent_ms * MS)
        fees.append(floor.run(sent_ms + 100)[0].last_fee_micros)
    before, after = (
        FeeAccumulator(schedule).fill(410_000, 5 * CONTRACT, "buy", "taker").net_micros
        for schedule in (KA_FEES, dearer)
    )
    assert fees == [before, before, after]


def test_a_taker_delay_holds_the_order_and_says_so():
    floor = Floor(book())
    floor.feed(listed(KA, taker_delay_ms=3_000))
    floor.send()
    assert shape(floor.run(100)) == [("delayed", 0, 0)]
    assert floor.run(3_060) == []
    assert shape(floor.run(3_100))[-1][0] == "filled"


@pytest.mark.parametrize("name", [PM, KA])
@pytest.mark.parametrize("finality", ["provisional", "final"])
def test_what_a_fill_is_when_it_is_reported_is_the_listing_s_word(name, finality):
    floor = Floor(book(name))
    floor.feed(listed(name, policy=msgspec.structs.replace(POLICIES["kalshi"], fill_finality=finality)))
    floor.send(instrument_id=name, quantity_micros=5 * CONTRACT)
    reports = floor.run(2_100)
    assert [report.finality for report in reports] == (
        ["provisional", "final"] if finality == "provisional" else ["final"]
    )


def test_polymarket_fills_are_provisional_then_mined_or_failed():
    floor = Floor(book(PM))
    floor.send(instrument_id=PM, quantity_micros=5 * CONTRACT)
    fill = floor.run(100)[0]
    assert (fill.finality, fill.reversed) == ("provisional", False)
    mined = floor.run(2_100)[0]
    assert (mined.fill_id, mined.finality, mined.last_quantity_micros, mined.reason) == (
        fill.fill_id,
        "final",
        0,
        "MINED",
    )
    floor = Floor(book(PM), terms=PaperTerms(reverse_ppm=1_000_000))
    floor.send(instrument_id=PM, quantity_micros=5 * CONTRACT)
    failed = floor.run(2_100)[-1]
    assert (failed.reversed, failed.last_quantity_micros, failed.reason) == (True, 5 * CONTRACT, "FAILED")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("reject_ppm", [("rejected", 0, 0)]),
        ("vanish_ppm", [("canceled", 0, 0)]),
        ("partial_ppm", [("partially_filled", 3 * CONTRACT, 410_000), ("canceled", 0, 0)]),
    ],
)
def test_faults(fault, expected):
    floor = Floor(book(), terms=PaperTerms(**{fault: 1_000_000}))
    floor.send()
    assert shape(floor.run(100)) == expected
    assert floor.reports[-1].reason.startswith("fault")


def test_a_late_report_is_late_and_the_match_is_not():
    floor = Floor(book(), terms=PaperTerms(late_ppm=1_000_000))
    floor.send()
    assert floor.run(400) == []
    assert {r.ts_venue_ns for r in floor.run(500)} == {T0 + ARRIVAL}


def test_faults_are_drawn_by_seed_and_order_alone():
    def outcome(seed):
        floor = Floor(book(asks=[(410_000, 10_000 * CONTRACT)]), terms=PaperTerms(seed=seed, reject_ppm=500_000))
        for _ in range(40):
            floor.send(quantity_micros=CONTRACT)
        return [r.order_status for r in floor.run(100)]

    assert outcome(1) == outcome(1) != outcome(2)
    assert 8 < outcome(1).count("rejected") < 32


def test_depth_that_vanished_for_a_hedge_stays_gone_for_its_later_attempts():
    floor = Floor(book(), terms=PaperTerms(vanish_ppm=500_000))
    seen = {}
    for trade in range(12):
        for attempt in (1, 2, 3):
            floor.send(trade_id=f"i{trade}", order_id=f"i{trade}-h{attempt}", role="hedge", quantity_micros=LOT)
    for report in floor.run(100):
        seen.setdefault(report.trade_id, set()).add(report.order_status)
    assert all(len(statuses) == 1 for statuses in seen.values())
    assert {s for statuses in seen.values() for s in statuses} == {"filled", "canceled"}


def test_a_minimum_for_sales_counts_where_the_venue_has_one():
    floor = Floor(book())
    minimum = OrderMinimum(order_type="marketable", side="sell", quantity_micros=CONTRACT, notional_micros=0)
    floor.feed(msgspec.structs.replace(listed(KA), minimums=(minimum,)))
    floor.send(quantity_micros=CONTRACT)
    floor.run(100)
    floor.send(side="sell", quantity_micros=LOT, price_limit_micros=380_000)
    assert floor.run(200)[0].reason == "below the minimum"


def test_a_fill_names_the_schedule_in_force_at_its_match_and_not_that_of_the_intent():
    dearer = make_schedule(model="kalshi_quadratic", taker_rate_ppm=140_000, ts_effective_ns=0, source="override")
    floor = Floor(book())
    floor.send(quantity_micros=CONTRACT)
    floor.feed(listed(KA, T0 + 10 * MS, fee_schedule=dearer))
    (fill,) = [report for report in floor.run(200) if report.last_quantity_micros]
    assert fill.schedule_hash == dearer.hash != KA_FEES.hash
    assert (
        fill.last_fee_micros == FeeAccumulator(dearer).fill(fill.last_price_micros, CONTRACT, "buy", "taker").net_micros
    )


def test_the_schedule_of_a_report_is_that_of_its_fill():
    books = Books()
    books.open(intent(), top(PM), top(KA, 500_000, 510_000))
    order = books.order()
    assert [one.schedule_hash for one in books.fill(order) if isinstance(one, Fill)] == [PM_FEES.hash], (
        "not said: the intent's"
    )
    books = Books()
    books.open(intent(), top(PM), top(KA, 500_000, 510_000))
    assert [one.schedule_hash for one in books.fill(books.order(), schedule="abc") if isinstance(one, Fill)] == ["abc"]
