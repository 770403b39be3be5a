"""decide outside trading hours, and under fees that change: what is suspended, what is never intended, which schedule is named."""

import pytest

from crossbook.domain.fees import taker_fee
from schemas.records import EdgeUpdate, TradeIntent
from tests.builders import market_records as mr
from tests.builders.lively_market import books
from tests.builders.market_records import MS, T0, A

#: name: (what ends trading in leg a at 500 ms of stream time, why the quote is suspended)
SHUT_AT_500 = {
    "the close, whatever the status says": (lambda at: mr.instrument(A, T0, ts_close_ns=at), "leg_a_after_close"),
    "a scheduled pause": (lambda at: mr.venue(pauses=((at, at + 60_000 * MS),)), "leg_a_scheduled_pause"),
    "a pause": (lambda at: mr.venue("kalshi", at, trading=False), "leg_a_venue_halted"),
    "a halted shard": (lambda at: mr.venue("kalshi", at, shards=(0,)), "leg_a_shard_halted"),
    "an inactive market": (lambda at: mr.instrument(A, at, status="paused"), "leg_a_inactive"),
}


@pytest.mark.parametrize("name", SHUT_AT_500)
def test_where_trading_ends_a_quote_is_suspended_and_nothing_is_intended(name):
    """The book goes on moving, as it does at a venue that pauses: no intent, and the quote ends within a watermark."""
    make, reason = SHUT_AT_500[name]
    at = T0 + 500 * MS
    record = make(at)
    head = mr.head(cooldown_ns=0, close_window_ns=0)
    early, late = ([record], []) if record.ts_received_ns < at else ([], [record])
    moves = []
    for number in range(20):
        ts_ns = T0 + (1 + 50 * number) * MS
        if ts_ns > at and late:
            moves, late = [*moves, *late], []
        moves += [
            mr.status("kalshi", ts_ns),
            mr.status("polymarket", ts_ns),
            *books(ts_ns, bid_b=460_000 + 1_000 * number, sequence=number + 1),
        ]
    _, outputs = mr.fold([*head, *early, *moves])
    intents = mr.kinds(outputs, TradeIntent)
    assert intents and all(one.ts_ns < at for one in intents)
    ends = [one for one in mr.kinds(outputs, EdgeUpdate) if one.state == "suspended"]
    assert [one.reason for one in ends] == [reason]
    assert at <= ends[0].ts_ns <= at + 100 * MS


def test_an_intent_and_a_quote_name_the_fee_schedule_in_force():
    at = T0 + 500 * MS
    dearer = mr.fees_from(at, mr.KALSHI_FEES, taker_rate_ppm=140_000)
    records = [*mr.head(cooldown_ns=0), mr.instrument(A, fee_changes=(dearer,))]
    for number in range(20):
        ts_ns = T0 + (1 + 50 * number) * MS
        records += [
            mr.status("kalshi", ts_ns),
            mr.status("polymarket", ts_ns),
            *books(ts_ns, bid_b=470_000 + 1_000 * number, sequence=number + 1),
        ]
    _, outputs = mr.fold(records)
    intents = mr.kinds(outputs, TradeIntent)
    assert {one.ts_ns < at for one in intents} == {True, False}
    for one in intents:
        schedule = mr.KALSHI_FEES if one.ts_ns < at else dearer
        assert one.legs[0].fee_schedule == schedule
        assert one.legs[0].fee_micros == taker_fee(schedule, one.legs[0].price_limit_micros, one.quantity_micros)
    named = {(one.ts_ns < at, one.schedule_a) for one in mr.kinds(outputs, EdgeUpdate)}
    assert named == {(True, mr.KALSHI_FEES.hash), (False, dearer.hash)}
