"""Binance's protocol: what a frame becomes, what is conflated, what asks for a new connection, and that nothing makes it raise."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.binance.protocol import (
    ANSWER_NS,
    FIRST_FRAME_NS,
    LIFE_NS,
    LIFE_SPREAD_S,
    STALE_MAX,
    BinanceProtocol,
)
from producers.feeds.protocol import SECOND_NS
from schemas.records import DeadLetter, ReferencePrice, ReferenceStatus
from tests.builders.producers.binance import BTC, ETH, MS, START_MS, Run, quote, trade
from tests.builders.producers.damaged import mutated


def test_one_message_subscribes_everything() -> None:
    run = Run((BTC, ETH), trades="trade")
    (text,) = run.sent
    assert json.loads(text) == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@bookTicker", "btcusdt@trade", "ethusdt@bookTicker", "ethusdt@trade"],
        "id": 1,
    }
    assert BinanceProtocol((BTC,), trades="none").streams() == ["btcusdt@bookTicker"]


def test_a_quote_is_exact_and_live_is_said_before_it() -> None:
    run = Run()
    status, price = run.give(quote(7))
    assert (status.state, status.ts_data_ns) == ("live", run.now_ns)
    assert price == ReferencePrice(
        ts_received_ns=run.now_ns,
        reference_id="binance:BTCUSDT",
        feed="binance",
        session=START_MS * MS,
        sequence=7,
        bid_price_micros=60_000_000_000,
        bid_size_micros=1_500_000,
        ask_price_micros=60_000_010_000,
        ask_size_micros=100,
    )
    assert [o.state for o in run.outputs if isinstance(o, ReferenceStatus)] == ["down", "live"]
    reference = run.state.references.prices["binance:BTCUSDT"]
    assert run.state.references.fresh(reference, run.now_ns, 2 * SECOND_NS)


@pytest.mark.parametrize("kind", ["aggTrade", "trade"])
def test_a_trade_carries_the_venues_stamp_and_measures_its_clock(kind: str) -> None:
    run = Run(trades=kind)
    price = run.give(trade(5, kind=kind), after_ms=4)[-1]
    assert (price.trade_price_micros, price.trade_size_micros, price.sequence) == (60_000_010_000, 2_000, 5)
    assert price.bid_price_micros is None
    assert price.ts_venue_ns == (START_MS - 1) * MS
    assert run.protocol.status(run.now_ns).clock_offset_ns == -4 * MS


def test_futures_have_their_own_name_and_stamps() -> None:
    run = Run(market="usdm", feed="binance-usdm", trades="trade")
    price = run.give(quote(7, e="bookTicker", E=START_MS, T=START_MS - 2), after_ms=0)[-1]
    assert (price.reference_id, price.ts_venue_ns) == ("binance-usdm:BTCUSDT", (START_MS - 2) * MS)
    assert run.give(trade(5, kind="trade", X="INSURANCE_FUND")) == []
    assert len(run.give(trade(6, kind="trade", X="MARKET"))) == 1
    assert run.dead() == []


def test_raw_frames_mean_the_same() -> None:
    run, other = Run(), Run()
    for frame in (quote(7), trade(5)):
        assert run.give(frame) == other.give(frame["data"])
    assert len(run.prices()) == 2


def test_at_most_one_quote_and_one_trade_an_interval_and_the_newest_counts() -> None:
    run = Run(interval_ns=20 * MS)
    for n in range(10):  # one a millisecond
        run.give(quote(n, bid=f"{59_000 + n}.00000000"))
        run.give(trade(n, price=f"{60_000 + n}.00000000"), after_ms=0)
    assert [p.sequence for p in run.prices()] == [0, 0]
    due_ns = run.protocol.next_due_ns
    assert due_ns == START_MS * MS + 21 * MS
    assert run.tick(10) == []  # 20 ms: not due
    held = run.tick(1)
    assert [(p.sequence, p.ts_received_ns) for p in held] == [(9, due_ns), (9, due_ns)]
    assert run.protocol.next_due_ns is None
    assert run.protocol.counters["conflated.quotes"] == run.protocol.counters["conflated.trades"] == 8
    assert run.believed()[0] == 59_009_000_000
    assert run.give(quote(20)) == []  # 1 ms after the last: held
    assert [p.sequence for p in run.give(quote(21), after_ms=25)] == [20]  # a frame lets go what is due, before it
    assert [p.sequence for p in run.tick(30)] == [21]


@given(gaps=st.lists(st.integers(0, 30), min_size=1, max_size=60), interval_ms=st.integers(0, 50))
@settings(max_examples=100, deadline=None)
def test_conflation_keeps_its_distance_and_ends_with_the_newest(gaps: list[int], interval_ms: int) -> None:
    run = Run(interval_ns=interval_ms * MS)
    for n, gap in enumerate(gaps):
        run.give(quote(n), after_ms=gap)
        run.tick(0)
    run.tick(interval_ms)
    stamps = [p.ts_received_ns for p in run.prices()]
    assert all(b - a >= interval_ms * MS for a, b in pairwise(stamps))
    assert stamps == sorted(stamps)
    assert run.prices()[-1].sequence == len(gaps) - 1
    assert run.protocol.next_due_ns is None


def test_old_update_ids_are_dropped_and_a_hole_in_trades_is_counted() -> None:
    run = Run()
    run.give(quote(7))
    assert run.give(quote(7)) == run.give(quote(6)) == []
    run.give(trade(5))
    assert run.give(trade(5)) == []
    run.give(trade(8))
    counters = run.protocol.counters
    assert (counters["stale.quote"], counters["stale.trade"], counters["trade_gaps"]) == (2, 1, 1)


def test_ids_that_only_step_back_end_the_connection() -> None:
    run = Run()
    run.give(quote(10**18))
    for n in range(STALE_MAX):
        run.give(quote(n))
    assert run.reasons() == ["ids of BTCUSDT stepped back"]
    run.take(run.protocol.disconnect("left", run.now_ns))
    run.take(run.protocol.connect(run.now_ns, run.now_ns))
    assert run.give(quote(99))[-1].sequence == 99


def test_a_price_finer_than_a_micro_refuses_the_symbol_once() -> None:
    run = Run((BTC, "SHIBUSDT"))
    run.give(quote(1))
    for n in range(5):
        run.give(quote(n, bid="0.00001234", ask="0.00001235", symbol="SHIBUSDT"))
    assert [p.reference_id for p in run.prices()] == ["binance:BTCUSDT"]
    (dead,) = run.dead()
    assert "finer than a micro" in dead
    assert run.protocol.counters["refused"] == 4
    exact = Run()
    exact.give(quote(1, bid="0.00123400", ask="0.00123500"))
    assert exact.believed() == (1_234, 1_235)


def test_a_symbol_that_turns_too_fine_is_withdrawn() -> None:
    run = Run()
    run.give(quote(1, bid="0.00123400", ask="0.00123500"))
    run.give(quote(2, bid="0.00123455", ask="0.00123500"))
    assert run.believed() == (None, None)
    run.give(quote(3, bid="0.00123400", ask="0.00123500"))
    assert run.believed() == (None, None)


def test_a_size_finer_than_a_micro_is_unknown_and_an_empty_side_is_none() -> None:
    run = Run()
    assert run.give(quote(1, B="1.00000001"))[-1].bid_size_micros is None
    price = run.give(quote(2, bid="0.00000000", B="0.00000000"))[-1]
    assert (price.bid_price_micros, price.bid_size_micros, price.ask_price_micros) == (None, None, 60_000_010_000)


@pytest.mark.parametrize(
    ("frame", "word"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[]", "not list"),
        (b"null", "NoneType"),
        (b"[" * 5_000, "no JSON"),
        (b"1e400", "no JSON"),
        ({}, "BookTicker.u"),
        ({"stream": 3, "data": {}}, "Combined.stream"),
        ({"stream": "btcusdt@bookTicker", "data": []}, "Combined.data"),
        ({"stream": "btcusdt@kline_1m", "data": {}}, "kline_1m"),
        ({"e": ["x"]}, "'?'"),
        (quote(2, symbol="DOGEUSDT"), "DOGEUSDT"),
        (quote(2, s="ETHUSDT"), "not asked for"),
        (quote(2, bid="60000.02000000"), "not below"),
        (quote(2, bid="1e400"), "plain decimal"),
        (quote(2, bid="-1.0"), "negative"),
        (quote(2, bid="0.00000000"), "cannot be"),
        (quote(2, B="0.00000000"), "cannot be"),
        (quote(2, B="-1.0"), "negative"),
        (quote(2, b=60_000.0), "BookTicker.b"),
        (quote(-1), "BookTicker.u"),
        (quote(2**63), "BookTicker.u"),
        (trade(2, q="0.00000000"), "cannot be"),
        (trade(2, price="0"), "cannot be"),
        (trade(2, T=0), "AggTrade.T"),
        (trade(2, E=START_MS + 7_200_000), "hour ahead"),
        (trade(2, e="trade"), "AggTrade.e"),
        ({"code": 2, "msg": "Invalid request", "id": 9}, "venue_error: 2 Invalid request"),
    ],
)
def test_what_cannot_be_used_is_dead_lettered_and_the_feed_lives(frame: Any, word: str) -> None:
    run = Run((BTC, ETH))
    run.give(quote(1))
    letter = next(o for o in run.give(frame) if isinstance(o, DeadLetter))
    assert word in letter.error
    assert letter.source == "binance"
    assert letter.payload == (frame if isinstance(frame, bytes) else json.dumps(frame, separators=(",", ":")).encode())
    assert run.reasons() == []
    run.give(quote(3))
    assert run.believed() == (60_000_000_000, 60_000_010_000)


def test_a_bad_frame_withdraws_the_quote_until_a_good_one() -> None:
    run = Run((BTC, ETH))
    run.give(quote(1))
    run.give(quote(1, symbol=ETH))
    run.give(quote(2, bid="junk"))
    assert run.believed() == (None, None)
    assert run.believed("binance:ETHUSDT") == (60_000_000_000, 60_000_010_000)
    run.give(quote(3, bid="junk"))
    assert run.protocol.counters["withdrawn"] == 1
    run.give(quote(4))
    assert run.believed() == (60_000_000_000, 60_000_010_000)


def test_replies_and_refusals() -> None:
    assert Run().tick(int(ANSWER_NS / MS) - 1) == []
    refused = Run(answered=False)
    refused.give({"error": {"code": 2, "msg": "Invalid request"}, "id": 1})
    assert refused.reasons() == ["the subscription was refused: 2 Invalid request"]
    silent = Run(answered=False)
    silent.give(quote(1))
    silent.give(quote(2), after_ms=4_999)
    silent.tick(2)
    assert silent.reasons() == ["no answer to the subscription"]


def test_silence_after_data_and_before_it() -> None:
    run = Run()
    run.give(quote(1))
    assert run.tick(1_999) == []
    assert [o.reason for o in run.tick(1)] == ["silent"]
    assert run.tick(1) == []  # said once a connection
    (status,) = run.take(run.protocol.disconnect("silent", run.now_ns))
    assert (status.state, status.reason) == ("down", "silent")
    fresh = Run()
    assert fresh.tick(int(ANSWER_NS / MS) - 1) == []
    assert [o.reason for o in fresh.tick(1)] == ["silent"]


def test_only_dead_frames_are_silence_too() -> None:
    run = Run()
    run.give(quote(1))
    for n in range(20):
        run.give(quote(n + 2, bid="junk"), after_ms=100)
    run.tick(0)
    assert run.reasons() == ["silent"]


@pytest.mark.parametrize(
    "frame",
    [
        {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": START_MS}},
        {"e": "serverShutdown", "E": START_MS},
    ],
)
def test_the_venues_notice_is_heeded_at_once(frame: Any) -> None:
    run = Run()
    assert [o.reason for o in run.give(frame)] == ["the venue announced its shutdown"]
    assert run.dead() == []


def test_a_connection_leaves_before_the_venue_cuts_it() -> None:
    run = Run()
    run.now_ns += LIFE_NS - SECOND_NS
    run.give(quote(1))
    assert run.tick(999) == []
    for _ in range(2 * LIFE_SPREAD_S):
        run.give(quote(run.now_ns), after_ms=500)
        run.tick(500)
    assert len(run.reasons()) == 1
    assert "24 h" in run.reasons()[0]


def test_a_socket_that_falls_behind_is_left() -> None:
    run = Run()
    run.give(trade(1, at_ms=START_MS))
    run.give(trade(2, at_ms=START_MS), after_ms=1_900)
    assert run.reasons() == []
    run.give(trade(3, at_ms=START_MS), after_ms=200)
    assert run.reasons() == []  # one such may be a slip of the venue's clock
    run.give(trade(4, at_ms=START_MS), after_ms=100)
    assert run.reasons() == ["frames come 2200 ms later than before"]


def test_a_new_connection_that_is_as_late_is_left_again() -> None:
    """The best outlives the connection: a path that became slow is not the measure of itself."""
    run = Run()
    run.give(trade(1, at_ms=START_MS))
    run.take(run.protocol.disconnect("cut", run.now_ns))
    run.take(run.protocol.connect(run.now_ns + 1, run.now_ns))
    for number in (2, 3):
        run.give(trade(number, at_ms=START_MS), after_ms=4_000)
        run.take(run.protocol.disconnect("left", run.now_ns))
        run.take(run.protocol.connect(run.now_ns + 2, run.now_ns))
    assert run.reasons() == ["frames come 4000 ms later than before", "frames come 8000 ms later than before"]
    run.give(trade(4, at_ms=run.now_ns // MS))
    run.give(trade(5, at_ms=run.now_ns // MS))
    assert len(run.reasons()) == 2


def test_a_symbol_without_a_first_frame_is_said_once() -> None:
    run = Run((BTC, "NOSUCHUSDT"))
    for n in range(30):
        run.give(quote(n), after_ms=int(FIRST_FRAME_NS / MS / 20))
        run.tick(0)
    (dead,) = run.dead()
    assert "NOSUCHUSDT gave no frame" in dead


def test_a_new_session_starts_over_and_a_renewed_one_repeats_the_quotes() -> None:
    run = Run((BTC, ETH), interval_ns=20 * MS)
    run.give(quote(1))
    run.give(quote(2))  # held
    down, live, price = run.take(run.protocol.renew(run.protocol.session + 1, "buffer", run.now_ns))
    assert (down.state, live.state) == ("down", "live")
    assert (price.sequence, price.session) == (1, run.protocol.session)
    assert [p.session for p in run.tick(20)] == [run.protocol.session]
    assert run.believed() == (60_000_000_000, 60_000_010_000)
    run.give(quote(3))
    run.take(run.protocol.disconnect("gone", run.now_ns))
    assert run.tick(100) == []  # what was held is gone with its session
    reference = run.state.references.prices["binance:BTCUSDT"]
    assert not run.state.references.fresh(reference, run.now_ns, 2 * SECOND_NS)
    with pytest.raises(AssertionError, match="sessions of a feed grow"):
        run.protocol.connect(run.protocol.session, run.now_ns)


def test_text_and_bytes_are_the_same() -> None:
    frame = json.dumps(quote(1))
    assert Run().give(frame) == Run().give(frame.encode())


STREAM = [
    {"result": None, "id": 1},
    quote(1),
    trade(1),
    quote(2, bid="59999.00000000"),
    quote(1, symbol=ETH),
    trade(2),
    quote(3, bid="60000.00100000"),
    quote(2, symbol=ETH),
    {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": START_MS}},
    quote(4),
]


@settings(max_examples=300, deadline=None)
@given(data=st.data(), interval_ms=st.sampled_from([0, 20]))
def test_mutated_streams_never_raise_and_every_frame_is_accounted_for(data: st.DataObject, interval_ms: int) -> None:
    run = Run((BTC, ETH), answered=False, interval_ns=interval_ms * MS)
    for frame in data.draw(mutated(STREAM)):
        before = dict(run.protocol.counters)
        outputs = run.give(frame, after_ms=data.draw(st.sampled_from([1, 30, 700])))
        counted = {k for k, v in run.protocol.counters.items() if before.get(k) != v} - {"frames"}
        assert outputs or counted or run.protocol.next_due_ns is not None
        run.tick(0)
        for state in run.state.references.prices.values():
            assert state.valid
    stamps = [o.ts_received_ns for o in run.outputs if isinstance(o, ReferencePrice | ReferenceStatus)]
    assert stamps == sorted(stamps)


@settings(max_examples=300, deadline=None)
@given(junk=st.lists(st.binary(max_size=80) | st.text(max_size=40), max_size=5))
def test_junk_never_raises_and_is_dead_lettered(junk: list[bytes | str]) -> None:
    run = Run()
    for frame in junk:
        run.give(frame)
    assert len(run.dead()) == len(junk)


def test_real_samples(samples) -> None:
    run = Run(trades="aggTrade", silence_ns=10**18)
    run.now_ns = 1_795_000_000_000 * MS
    for name in ("ws_bookTicker_combined", "ws_bookTicker_raw", "ws_aggTrade", "ws_trade", "doc_ws_serverShutdown"):
        frame = samples(f"binance/{name}.json")
        data = frame.get("data", frame)  # captured years apart: told as of now
        data |= {key: run.now_ns // MS for key in ("E", "T") if key in data}
        run.give(frame)
    run.give(samples("binance/doc_ws_error.json"))
    for _, reply in (samples("binance/doc_ws_subscribe.json"), samples("binance/doc_ws_list_subscriptions.json")):
        run.give(reply)
    assert [type(p).__name__ for p in run.prices()] == ["ReferencePrice"] * 3  # the older raw quote has a smaller id
    assert run.protocol.counters["stale.quote"] == 1
    assert run.dead() == ["venue_error: 2 Invalid request: property name must be a string"]
    assert run.reasons() == ["the venue announced its shutdown"]
