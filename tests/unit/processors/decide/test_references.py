"""References in decide: their tops, their staleness, and that nothing traded rests on them."""

import random

import pytest

from processors.decide.checkpoint import freeze, thaw
from schemas.records import ReferencePrice, ReferenceStatus, ReferenceTop
from tests.builders import market_records as mr
from tests.builders.lively_market import digest, lively_market
from tests.builders.market_records import CONTRACT, MS, T0

SPOT = "binance:BTCUSDT"


def quote(ts_ns, bid, ask, *, sequence=0, session=1, reference_id=SPOT, feed="binance"):
    return ReferencePrice(
        ts_received_ns=ts_ns,
        reference_id=reference_id,
        feed=feed,
        session=session,
        sequence=sequence,
        bid_price_micros=bid,
        bid_size_micros=CONTRACT,
        ask_price_micros=ask,
        ask_size_micros=CONTRACT,
    )


def trade(ts_ns, price, *, sequence=0, session=1):
    return ReferencePrice(
        ts_received_ns=ts_ns,
        reference_id=SPOT,
        feed="binance",
        session=session,
        sequence=sequence,
        trade_price_micros=price,
        trade_size_micros=CONTRACT,
    )


def status(ts_ns, *, state="live", session=1):
    return ReferenceStatus(ts_received_ns=ts_ns, feed="binance", session=session, state=state, reason="")


def tops(outputs):
    return [
        (
            top.record.ts_ns - T0,
            top.record.bid_price_micros,
            top.record.ask_price_micros,
            top.record.valid,
            top.record.fresh,
        )
        for top in outputs
        if type(top.record) is ReferenceTop and top.record.reference_id == SPOT
    ]


def beats(until_ms, *, state_of="live"):
    return [mr.status(feed, T0 + ms * MS) for ms in range(50, until_ms, 50) for feed in ("kalshi", "polymarket")]


def in_order(records):
    return sorted(records, key=lambda record: record.ts_received_ns)


def test_a_quote_is_written_as_a_top_under_its_own_key_once_an_interval():
    prices = [quote(T0 + n * 10 * MS, 100 + n, 102 + n, sequence=n + 1) for n in range(40)]
    _, outputs = mr.fold([*mr.head(), status(T0), *prices])
    assert [(at // MS, bid) for at, bid, *_ in tops(outputs)] == [(0, 100), (100, 110), (200, 120), (300, 130)]
    assert {top.key for top in outputs if getattr(top.record, "reference_id", "") == SPOT} == {SPOT}


def test_a_trade_stands_as_bid_and_ask_until_a_quote_comes():
    _, outputs = mr.fold(
        [*mr.head(), status(T0), trade(T0 + MS, 7), quote(T0 + 200 * MS, 5, 9), trade(T0 + 400 * MS, 8)]
    )
    assert [(bid, ask) for _, bid, ask, *_ in tops(outputs)] == [(7, 7), (5, 9)]


@pytest.mark.parametrize(
    "second",
    [
        quote(T0 + 300 * MS, 50, 52, sequence=4),
        quote(T0 + 300 * MS, 50, 52, sequence=9, session=0),
    ],
    ids=["number seen already", "older session"],
)
def test_old_prices_are_dropped(second):
    _, outputs = mr.fold([*mr.head(), status(T0), quote(T0 + MS, 40, 42, sequence=4), second])
    assert [bid for _, bid, *_ in tops(outputs)] == [40]


def test_silence_of_its_feed_and_its_end_are_told_by_a_top_that_is_not_fresh():
    records = [quote(T0 + 60 * MS, 40, 42), status(T0 + 10 * MS), status(T0 + 3_000 * MS), *beats(4_000)]
    records += [status(T0 + 3_510 * MS, state="down")]
    _, outputs = mr.fold([*mr.head(), *in_order(records)])
    found = tops(outputs)
    assert [fresh for *_, fresh in found] == [True, False, True, False]
    assert 2_010 <= found[1][0] // MS <= 2_310
    assert 3_000 <= found[2][0] // MS <= 3_300
    assert 3_510 <= found[3][0] // MS <= 3_810


def test_a_price_of_the_session_before_is_stale_until_a_new_one_comes():
    records = [status(T0), quote(T0 + MS, 40, 42), status(T0 + 400 * MS, session=2), *beats(1_500)]
    records += [quote(T0 + 1_000 * MS, 41, 43, session=2)]
    _, outputs = mr.fold([*mr.head(), *in_order(records)])
    assert [(bid, fresh) for _, bid, _, _, fresh in tops(outputs)] == [(40, True), (40, False), (41, True)]


@pytest.mark.parametrize(("bid", "ask"), [(0, 5), (-1, 4), (9, 8)])
def test_an_impossible_price_is_not_valid(bid, ask):
    _, outputs = mr.fold([*mr.head(), status(T0), quote(T0 + MS, bid, ask)])
    assert [valid for *_, valid, _ in tops(outputs)] == [False]


def with_references(records, seed):
    """The same events, with reference prices and statuses at the stamps of some of them."""
    rng = random.Random(seed)
    mixed, price, number = list(records[:3]), 60_000_000_000, 0
    for record in records[3:]:
        mixed.append(record)
        if rng.random() < 0.3:
            number += 1
            price += rng.randrange(-5, 6) * 10_000
            mixed.append(quote(record.ts_received_ns, price, price + 10_000, sequence=number))
        if rng.random() < 0.05:
            mixed.append(status(record.ts_received_ns, state=rng.choice(("live", "live", "down"))))
    return mixed


@pytest.mark.parametrize("seed", [1, 2])
def test_references_change_no_quote_and_no_intent(seed):
    # A scheduled pause begins and ends by time alone: it is seen wherever a record brings the time.
    records = [one for one in lively_market(800, seed) if not getattr(one, "pauses", ())]
    told = {
        name: [
            (output.key, output.record.ts_ns, output.record.pair_id, output.record.package, output.record.net_micros)
            for output in mr.fold(log)[1]
            if type(output.record).__name__ in {"EdgeUpdate", "TradeIntent"}
        ]
        for name, log in (("without", records), ("with", with_references(records, seed)))
    }
    assert told["without"]
    assert {line[2:] for line in told["with"]} == {line[2:] for line in told["without"]}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_checkpoint_among_references_continues_with_the_same_bytes(seed):
    records = with_references(lively_market(300, seed), seed)
    whole, outputs = mr.fold(records)
    assert tops(outputs)
    for cut in (7, 60, 151, 333):
        half, first = mr.fold(records[:cut])
        again = thaw(freeze(half), mr.DIGEST)
        assert freeze(again) == freeze(half)
        end, rest = mr.fold(records[cut:], again)
        assert digest([*first, *rest]) == digest(outputs)
        assert freeze(end) == freeze(whole)
