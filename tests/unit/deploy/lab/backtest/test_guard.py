"""Planted leaks fail loudly and name the record; an honest log passes."""

import msgspec
import pytest

from crossbook.market.market_state import MarketState
from deploy.lab.backtest.errors import LookAheadError
from deploy.lab.backtest.guard import LookAheadGuard
from deploy.lab.backtest.options import BacktestOptions
from deploy.lab.backtest.run import run_backtest
from executors.terms import PaperTerms
from schemas.records import InstrumentSettled, OrderReport, OrderRequested, OrderSent, TopSeen
from tests.builders.executors.backtests import WIDE
from tests.builders.executors.worlds import MS, intent
from tests.builders.logs.live import T0, decided, executed, market, market_log
from tests.contract.record_strategies import sample

S = 10**9
DAY = 86_400 * S
PLAIN = market(1_200, settle=False)
NAME = next(r.instrument_id for r in PLAIN if type(r).__name__ == "InstrumentListed")


def run(records, **options):
    return run_backtest(market_log(records), BacktestOptions(execute=WIDE, **options))


def planted(record, at=700):
    return [*PLAIN[:at], record, *PLAIN[at:]]


def settled(at=700, venue_ns=None, ahead_ns=0):
    stamp = PLAIN[at - 1].ts_received_ns + ahead_ns
    return InstrumentSettled(
        ts_received_ns=stamp, ts_venue_ns=venue_ns, instrument_id=NAME, payout_yes_micros=1_000_000, source="leak"
    )


def test_an_honest_log_passes():
    assert run(PLAIN).warnings == ()


@pytest.mark.parametrize(
    ("leak", "named"),
    [
        (settled(), "InstrumentSettled .* closes at"),
        (settled(venue_ns=PLAIN[699].ts_received_ns + DAY), "its venue settles at"),
        (settled(venue_ns=1, ahead_ns=3_600 * S), "InstrumentSettled .* ns after now"),
    ],
    ids=["before its close", "before the venue did", "stamped in the future"],
)
def test_a_settlement_that_nobody_could_know(leak, named):
    with pytest.raises(LookAheadError, match=named):
        run(planted(leak))


def test_a_settlement_that_the_venue_stamped_or_a_closed_listing_precedes_is_none():
    assert run(planted(settled(venue_ns=PLAIN[699].ts_received_ns))).settled[NAME][0] == 1_000_000
    listing = next(r for r in PLAIN if getattr(r, "instrument_id", "") == NAME)
    closed = msgspec.structs.replace(listing, status="closed", ts_received_ns=PLAIN[699].ts_received_ns)
    assert NAME in run([*PLAIN[:700], closed, settled(), *PLAIN[700:]]).settled


def test_a_book_from_the_future():
    at = next(n for n in range(700, 800) if type(PLAIN[n]).__name__ == "BookDelta")
    leak = msgspec.structs.replace(PLAIN[at], ts_received_ns=PLAIN[at].ts_received_ns + 5 * S)
    with pytest.raises(LookAheadError, match=f"BookDelta .* position {at} is stamped"):
        run([*PLAIN[:at], leak, *PLAIN[at + 1 :]])


def test_a_reference_ahead_of_the_clock_is_none_because_nothing_traded_rests_on_it():
    price = msgspec.structs.replace(sample("ReferencePrice"), ts_received_ns=PLAIN[699].ts_received_ns + 60 * S)
    assert run(planted(price)).warnings == ()


def test_a_jump_that_both_feeds_confirm_is_time_and_no_leak():
    at = next(n for n in range(700, 1_200) if type(PLAIN[n]).__name__ == "FeedStatus")
    later = [msgspec.structs.replace(r, ts_received_ns=r.ts_received_ns + 10 * S) for r in PLAIN[at:]]
    assert run([*PLAIN[:at], *later]).warnings == ()


def test_a_claim_that_nobody_confirms_is_said_at_the_end():
    last = next(r for r in reversed(PLAIN) if type(r).__name__ == "BookDelta")
    claim = msgspec.structs.replace(last, ts_received_ns=PLAIN[-1].ts_received_ns + 60 * S)
    assert any("confirmed" in warning for warning in run([*PLAIN, claim]).warnings)


# The guard itself


def guard_at(now_ns, mode="raise"):
    state = MarketState()
    state.clock.now_ns = now_ns
    return LookAheadGuard(state, mode)


@pytest.mark.parametrize("change", [{"position": 11}, {"ts_ns": T0 + 1}, {"ts_received_ns": T0 + 1}], ids=str)
def test_an_intent_that_rests_on_what_is_not_there_yet(change):
    guard_at(T0).intent(10, intent(ts_ns=T0, ts_received_ns=T0))
    with pytest.raises(LookAheadError, match="intent i1"):
        guard_at(T0).intent(10, intent(**({"ts_ns": T0, "ts_received_ns": T0} | change)))


WRITTEN = executed(decided(PLAIN))
REQUEST = next(r for r in WRITTEN if isinstance(r, OrderRequested))
REPORT = next(r for r in WRITTEN if isinstance(r, OrderReport) and r.order_id == REQUEST.order_id and r.fill_id)


@pytest.mark.parametrize(
    "change",
    [
        {"ts_venue_ns": REQUEST.ts_ns + 49_999_999},
        {"ts_ns": REPORT.ts_venue_ns - 1},
        {"ts_ns": REPORT.ts_venue_ns + 19_999_999},
        {"ts_ns": REPORT.ts_ns + 1},
        {"position": REQUEST.position - 1},
    ],
    ids=["at the venue too soon", "known before it was", "known too soon", "after now", "before the cause"],
)
def test_a_report_too_early(change):
    guard = guard_at(REPORT.ts_ns)
    guard.requested(REQUEST, PaperTerms())
    guard.reported(REPORT)
    with pytest.raises(LookAheadError, match=REPORT.report_id):
        guard.reported(msgspec.structs.replace(REPORT, **change))


def test_a_match_on_a_younger_book():
    guard = guard_at(REPORT.ts_ns)
    guard.requested(REQUEST, PaperTerms())
    guard.met_ns = {REPORT.order_id: REPORT.ts_venue_ns}
    guard.reported(REPORT)
    guard.met_ns = {REPORT.order_id: REPORT.ts_venue_ns + 1}
    with pytest.raises(LookAheadError, match="rests on books of"):
        guard.reported(REPORT)


def test_a_report_of_an_order_that_left_late_is_held_to_when_it_left():
    guard = guard_at(REPORT.ts_ns)
    guard.requested(REQUEST, PaperTerms())
    left = {
        "partition": 0,
        "position": 0,
        "sequence": 0,
        "trade_id": "t",
        "order_id": REQUEST.order_id,
        "withheld": False,
    }
    guard.sent(OrderSent(ts_ns=REPORT.ts_venue_ns - 40 * MS + 1, lag_ns=1, **left))
    with pytest.raises(LookAheadError, match="no earlier"):
        guard.reported(REPORT)


def test_a_top_of_younger_books():
    top = next(r for r in WRITTEN if isinstance(r, TopSeen))
    guard_at(top.ts_ns).top(top)
    with pytest.raises(LookAheadError, match="1 ns younger"):
        guard_at(top.ts_ns + 1).top(top)


def test_warnings_are_counted_and_bounded():
    top = next(r for r in WRITTEN if isinstance(r, TopSeen))
    guard = guard_at(top.ts_ns + 1, "warn")
    for _ in range(50):
        guard.top(top)
    assert guard.count == 50 and len(guard.found) == 20
