"""The stage `producers` against the sandbox's sockets and a real broker: books, every fault, restart."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.records import (
    BookSnapshot,
    DeadLetter,
    DecideAnnounced,
    InstrumentListed,
    LogOpened,
    MarketConfigured,
    PairListed,
    RawFrame,
    ReferencePrice,
    ReferenceStatus,
)
from tests.integration.sandbox_producers import World, approval

#: A fault must be said within 2 s, which tests of the protocols show on stream time; what is waited for here is that it is said at all.
SAID_S = 60.0


@pytest.fixture
def world(kafka, tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path, kafka.bootstrap)
    try:
        yield one
    finally:
        one.close()


ANNOUNCED = DecideAnnounced(
    ts_ns=1, operator="decide", code_digest="00", top_interval_ns=1, watermark_interval_ns=1, polled_fresh_ns=2_000_000_000,
    feed_stale_ns=2_000_000_000, jump_ns=2_000_000_000, strategies=(),
)  # fmt: skip


def test_books_pairs_and_settings_reach_the_log(world: World) -> None:
    """From an empty prefix: head, settings, instruments, live books equal to the venues' own, a pair in one group, tape, restart."""
    world.say(ANNOUNCED)
    world.start()
    world.until("all books usable", world.all_usable)
    assert isinstance(world.records[0], LogOpened)
    assert world.state.configured is not None
    assert world.state.friction is not None
    assert len(world.ids) == 14  # six pairs and one single at each venue; the quiet one is below the volume
    for one in world.ids:
        assert world.recovered(one), f"{one} differs from the venue's own book"

    a, b = world.pair_ids()
    world.say(approval(a, b))
    world.until("the pair is listed", lambda: "pair-1" in world.state.pairs)
    assert world.state.instruments[a].group == world.state.instruments[b].group == world.state.pairs["pair-1"].group
    assert world.recovered(a)
    assert world.recovered(b)
    world.until("keyframes", lambda: any(isinstance(r, BookSnapshot) and r.keyframe for r in world.records))
    world.until("pair keyframe", lambda: any(isinstance(r, PairListed) and r.keyframe for r in world.records))

    stamps = [r.ts_received_ns for r in world.records]
    assert stamps == sorted(stamps)
    tape = [r for r in world.read("tape") if isinstance(r, RawFrame)]
    assert {(r.feed, r.direction) for r in tape} >= {("kalshi", "sent"), ("kalshi", "received"), ("polymarket", "sent")}

    assert world.stop_stage() == 0
    world.until("both say down", lambda: {f.state for f in world.state.feeds.values()} == {"down"})
    assert not any(world.state.usable(one) for one in world.ids)
    log_id, seen = world.state.log_id, len(world.records)
    world.start()
    world.until("usable again", world.all_usable)
    assert world.state.log_id == log_id
    fresh = world.records[seen:]
    assert not any(isinstance(r, LogOpened) for r in fresh)
    said = [r for r in world.records if isinstance(r, MarketConfigured)]
    assert {(r.code_digest, r.control_offset) for r in said} == {("00", 0)}  # repeated as a keyframe, never as news
    assert world.state.pairs["pair-1"].group == world.state.instruments[a].group


def test_every_fault_is_said_and_mended(world: World) -> None:
    """Disconnect, silence, hole, duplicate, reorder, tick change, crossed book, garbage: said in time, then equal to the truth."""
    world.start()
    world.until("all books usable", world.all_usable)
    a, b = world.pair_ids(1)
    for venue, one in (("polymarket", a), ("kalshi", b)):
        seen = len(world.records)
        world.fault(venue=venue, fault="disconnect")
        world.until(
            f"{venue} down", lambda v=venue, s=seen: any(f.state == "down" for f in world.statuses(s, v)), SAID_S
        )
        other = "kalshi" if venue == "polymarket" else "polymarket"
        assert not any("Connection" in f.reason for f in world.statuses(seen, other)), "the other venue went on"
        world.until(f"{venue} back", world.all_usable)

        seen = len(world.records)
        world.fault(venue=venue, fault="silence", seconds=8)
        world.until(
            f"{venue} silent",
            lambda v=venue, s=seen: any("silent" in f.reason for f in world.statuses(s, v)),
            SAID_S,
        )
        world.until(f"{venue} back from silence", world.all_usable)
        assert world.recovered(one)

        symbol = one.partition(":")[2]
        for fault in ("drop_delta", "duplicate", "reorder"):
            world.fault(venue=venue, fault=fault, count=1, instrument=symbol)
            assert world.recovered(one), f"{venue} {fault}"
            world.until(f"{venue} usable after {fault}", world.all_usable)

        seen = len(world.records)
        world.fault(venue=venue, fault="crossed", seconds=8, instrument=symbol)
        world.until(
            f"{venue} crossed said",
            lambda v=venue, s=seen: any(f.state in {"resync", "down"} for f in world.statuses(s, v)),
            SAID_S,
        )
        world.until(f"{venue} usable after crossing", world.all_usable)
        assert world.recovered(one)

        for kind in (
            "non_json",
            "unknown_type",
            "missing_field",
            "off_grid",
            "huge_number",
            "negative_size",
            "unknown_market",
        ):
            world.fault(venue=venue, fault="garbage", kind=kind, instrument=symbol)
        world.until(f"{venue} usable after garbage", world.all_usable)
        assert world.recovered(one)

    seen = len(world.records)
    world.fault(venue="polymarket", fault="tick_change", instrument=a.partition(":")[2])
    world.until(
        "new grid listed",
        lambda: any(
            isinstance(r, InstrumentListed) and not r.keyframe and r.instrument_id == a for r in world.records[seen:]
        ),
        SAID_S,
    )
    world.until("usable on the new grid", world.all_usable)
    assert world.recovered(a)
    letters = [r for r in world.read("deadletter") if isinstance(r, DeadLetter)]
    assert {r.source for r in letters} >= {"polymarket", "kalshi"}
    assert len(letters) >= 14
    assert world.stage is not None
    assert world.stage.poll() is None


def test_one_mute_instrument_is_not_traded_on_while_all_others_flow(world: World) -> None:
    """The venue goes on telling of the others; the mute one is unusable until its own stream lives again."""
    world.start()
    world.until("all books usable", world.all_usable)
    mute, _ = world.pair_ids(2)
    others = [one for one in world.ids if one != mute]
    began = time.monotonic()
    world.until("each has shown its rhythm", lambda: time.monotonic() - began > 6)
    seen = len(world.records)
    world.fault(venue="polymarket", fault="silence", seconds=12, instrument=mute.partition(":")[2])
    world.until("it is not usable", lambda: not world.state.usable(mute), SAID_S)
    named = [s for s in world.statuses(seen, "polymarket") if s.state == "resync"]
    assert {one for status in named for one in status.instruments} == {mute}
    assert all(world.state.usable(one) for one in others)
    world.until("usable again", world.all_usable)
    assert world.recovered(mute)


def test_reference_prices_survive_every_fault(world: World) -> None:
    """Quotes and trades on the log's clock; cut, silence, shutdown, lost and doubled frames, garbage: said in time, then fresh again."""
    world.symbols = world.known["binance"]["symbols"]
    reference = f"binance:{world.symbols[0]}"
    references = world.state.references
    world.start()

    def fresh() -> bool:
        price = references.prices.get(reference)
        known = price is not None and price.bid_price is not None
        return known and references.fresh(price, world.state.clock.now_ns, 2_000_000_000)

    def said(since: int, word: str) -> bool:
        statuses = [r for r in world.records[since:] if isinstance(r, ReferenceStatus)]
        return any(s.state == "down" and word in s.reason for s in statuses)

    world.until("the reference is fresh", fresh)
    world.until("trades too", lambda: any(getattr(r, "trade_price_micros", None) for r in world.records))
    session = references.prices[reference].session
    for fault, word, within_s in (
        ("disconnect", "ConnectionClosed", SAID_S),
        ("silence", "silent", SAID_S),
        ("shutdown", "shutdown", SAID_S),
    ):
        seen = len(world.records)
        world.fault(venue="binance", fault=fault, seconds=8 if fault == "silence" else 1)
        world.until(f"{fault} is said", lambda s=seen, w=word: said(s, w), within_s)
        world.until(f"fresh after {fault}", fresh)
        assert references.prices[reference].session > session
        session = references.prices[reference].session
    for fault in ("drop_delta", "duplicate", "reorder"):
        world.fault(venue="binance", fault=fault, count=5)
    for kind in (
        "non_json",
        "unknown_type",
        "missing_field",
        "off_grid",
        "huge_number",
        "negative_size",
        "unknown_market",
    ):
        world.fault(venue="binance", fault="garbage", kind=kind)
    world.until("seven dead letters", lambda: len(dead(world)) >= 7)
    world.until("fresh after garbage", fresh)
    assert references.prices[reference].session == session, "garbage cost no connection"
    prices = [r for r in world.records if isinstance(r, ReferencePrice)]
    quotes = [r.ts_received_ns for r in prices if r.bid_price_micros is not None]
    assert quotes == sorted(quotes)
    tape = [r for r in world.read("tape") if isinstance(r, RawFrame) and r.feed == "binance"]
    assert {r.direction for r in tape} == {"sent", "received"}
    assert world.stop_stage() == 0
    world.until("the end is said", lambda: said(len(world.records) - 50, "stopped"))
    world.start()
    world.until("fresh after a restart", fresh)
    assert references.prices[reference].session > session


def dead(world: World) -> list[DeadLetter]:
    return [r for r in world.read("deadletter") if isinstance(r, DeadLetter) and r.source == "binance"]
