"""The stage `producers` against the sandbox's sockets and a real broker: books, every fault, restart."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from crossbook.domain.money import MICROS, parse_micros
from crossbook.market.market_state import MarketState
from crossbook.runtime.clock import now_ns
from crossbook.runtime.kafka import RecordProducer, create_topics, offset_range, open_consumer, poll_batch
from crossbook.runtime.settings import KafkaSettings
from schemas.codec import load_codec
from schemas.records import (
    BookSnapshot,
    DeadLetter,
    DecideAnnounced,
    DecideConfigured,
    FeedStatus,
    InstrumentListed,
    LogOpened,
    PairApproved,
    PairListed,
    PayoutCell,
    RawFrame,
    Record,
    ReferencePrice,
    ReferenceStatus,
)
from tests.builders.places import REPOSITORY as ROOT

WAIT_S = 120.0
#: A fault must be said within 2 s, which tests of the protocols show on stream time; what is waited for here is that it is said at all.
SAID_S = 60.0


class World:
    """Sandbox, stage and a reader that folds partition 0 of `market` as every consumer does."""

    def __init__(self, folder: Path, bootstrap: str) -> None:
        self.folder = folder
        self.symbols: list[str] = []
        self.prefix = f"prod-{os.getpid()}-{folder.name.lower().replace('_', '-')[-12:]}."
        self.kafka = KafkaSettings(bootstrap=bootstrap, prefix=self.prefix)
        self.codec = load_codec()
        addresses = folder / "addresses.json"
        self.sandbox = subprocess.Popen(
            # Without a led pair: its mid moves so often that a crossing is gone before it must be said.
            [
                sys.executable,
                "-m",
                "deploy.sandbox",
                "--address-file",
                addresses,
                "--rate",
                "150",
                "--spot-lead-ms",
                "0",
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.sandbox.stdout is not None
        assert self.sandbox.stdout.readline().startswith("sandbox ready")
        self.known: dict[str, Any] = json.loads(addresses.read_text())
        create_topics(self.kafka)
        self.stage: subprocess.Popen[bytes] | None = None
        self.state = MarketState()
        self.records: list[Record] = []
        self.consumer = open_consumer(self.kafka, "test")
        self.consumer.assign([TopicPartition(f"{self.prefix}market", 0, OFFSET_BEGINNING)])

    def write_settings(self) -> None:
        key = self.folder / "kalshi.pem"
        key.write_text(self.known["kalshi"]["private_key_pem"])
        values = {
            "kafka": {"bootstrap": self.kafka.bootstrap, "prefix": self.prefix},
            "polymarket": {
                "gamma_url": self.known["polymarket"]["gamma_url"],
                "clob_url": self.known["polymarket"]["clob_url"],
                "ws_url": self.known["polymarket"]["market_socket_url"],
            },
            "kalshi": {
                "rest_url": self.known["kalshi"]["rest_url"],
                "ws_url": self.known["kalshi"]["socket_url"],
                "key_id": self.known["kalshi"]["key_id"],
                "key_file": str(key),
            },
            "feed": {
                "keyframe_interval_s": 5,
                "crosscheck_interval_s": 1,
                "backoff_first_ms": 100,
                "backoff_max_ms": 500,
            },
            "catalog": {"refresh_s": 2},
            "binance": {"ws_url": self.known["binance"]["socket_url"], "symbols": self.symbols},
        }
        lines = []
        for section, entries in values.items():
            lines.append(f"[{section}]")
            lines += [f"{name} = {json.dumps(value)}" for name, value in entries.items()]
        (self.folder / "crossbook.toml").write_text("\n".join(lines))

    def start(self) -> None:
        self.write_settings()
        with (self.folder / "stage.log").open("ab") as log:
            self.stage = subprocess.Popen(
                [sys.executable, "-m", "deploy.stage", "producers"],
                cwd=ROOT,
                env={**os.environ, "CROSSBOOK_CONFIG": str(self.folder / "crossbook.toml")},
                stderr=log,
            )

    def stop_stage(self, number: int = signal.SIGTERM) -> int:
        assert self.stage is not None
        self.stage.send_signal(number)
        code = self.stage.wait(WAIT_S)
        self.stage = None
        return code

    def close(self) -> None:
        self.consumer.close()
        for process in (self.stage, self.sandbox):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(WAIT_S)
        if self.sandbox.stdout is not None:
            self.sandbox.stdout.close()

    # -- reading

    def pump(self, timeout_s: float = 0.05) -> list[Record]:
        fresh: list[Record] = []
        for message in poll_batch(self.consumer, 500, timeout_s):
            record = self.codec.decode(message.value() or b"")
            offset = message.offset()
            assert offset is not None
            self.state.apply(offset, record)
            fresh.append(record)
        self.records += fresh
        return fresh

    def until(self, what: str, fits: Callable[[], bool], within_s: float = WAIT_S) -> float:
        began = time.monotonic()
        while time.monotonic() - began < within_s:
            self.pump()
            if fits():
                return time.monotonic() - began
        log = (self.folder / "stage.log").read_text()[-2_000:]
        raise AssertionError(f"not within {within_s} s: {what}\n{log}")

    def read(self, topic: str) -> list[Record]:
        name = f"{self.prefix}{topic}"
        consumer = open_consumer(self.kafka, "test.other")
        end = offset_range(consumer, name, 0)[1]
        consumer.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
        found: list[Record] = []
        while len(found) < end:
            found += [self.codec.decode(message.value() or b"") for message in poll_batch(consumer, 1_000, 2.0)]
        consumer.close()
        return found

    def say(self, record: Record) -> None:
        producer = RecordProducer(self.kafka, self.codec, "test")
        producer.send("control", record, partition=0)
        producer.flush()

    # -- the venues' truth

    @property
    def ids(self) -> list[str]:
        return sorted(self.state.instruments)

    def fault(self, **body: object) -> None:
        answer = httpx.post(self.known["control"]["faults_url"], json=body)
        assert answer.status_code == 200, answer.text

    def pair_ids(self, index: int = 0) -> tuple[str, str]:
        pair = self.known["pairs"][index]
        return f"polymarket:{pair['polymarket']['condition_id']}", f"kalshi:{pair['kalshi']['ticker']}"

    def truth(self, instrument_id: str) -> tuple[dict[int, int], dict[int, int]]:
        listed = self.state.instruments[instrument_id]
        if listed.venue == "polymarket":
            url = self.known["polymarket"]["clob_url"]
            book = httpx.get(f"{url}/book", params={"token_id": listed.yes_token or ""}).json()
            sides = [{parse_micros(r["price"]): parse_micros(r["size"]) for r in book[s]} for s in ("bids", "asks")]
            return sides[0], sides[1]
        url = self.known["kalshi"]["rest_url"]
        book = httpx.get(f"{url}/markets/{listed.symbol}/orderbook").json()["orderbook_fp"]
        bids = {parse_micros(p): parse_micros(s) for p, s in book["yes_dollars"]}
        return bids, {MICROS - parse_micros(p): parse_micros(s) for p, s in book["no_dollars"]}

    def mine(self, instrument_id: str) -> tuple[dict[int, int], dict[int, int]]:
        levels = self.state.books[instrument_id].book.levels()
        return dict(zip(levels.bid_prices, levels.bid_sizes, strict=True)), dict(
            zip(levels.ask_prices, levels.ask_sizes, strict=True)
        )

    def all_usable(self) -> bool:
        return bool(self.ids) and all(self.state.usable(one) for one in self.ids)

    def equal_to_truth(self, instrument_id: str) -> bool:
        """The folded book passes through the book that the venue shows now."""
        truth = self.truth(instrument_id)
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            if self.state.usable(instrument_id) and self.mine(instrument_id) == truth:
                return True
            for message in poll_batch(self.consumer, 1, 0.05):
                offset = message.offset()
                assert offset is not None
                record = self.codec.decode(message.value() or b"")
                self.state.apply(offset, record)
                self.records.append(record)
        return False

    def recovered(self, instrument_id: str) -> bool:
        return any(self.equal_to_truth(instrument_id) for _ in range(40))

    def statuses(self, since: int, feed: str) -> list[FeedStatus]:
        return [r for r in self.records[since:] if isinstance(r, FeedStatus) and r.feed == feed]


@pytest.fixture
def world(kafka, tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path, kafka.bootstrap)
    try:
        yield one
    finally:
        one.close()


def approval(a: str, b: str, pair_id: str = "pair-1") -> PairApproved:
    cells = tuple(
        PayoutCell(outcome=o, payout_a_micros=v, payout_b_micros=v, admissible=True, evidence="test")
        for o, v in (("yes", MICROS), ("no", 0))
    )
    return PairApproved(
        ts_ns=now_ns(),
        operator="test",
        pair_id=pair_id,
        relation="identity",
        instrument_a=a,
        instrument_b=b,
        payouts=cells,
        haircut_micros=0,
        evidence="test",
    )


ANNOUNCED = DecideAnnounced(
    ts_ns=1, operator="decide", code_digest="00", min_edge_micros=25_000, edge_change_micros=1_000,
    top_interval_ns=1, watermark_interval_ns=1, polled_fresh_ns=2_000_000_000, feed_stale_ns=2_000_000_000,
    cooldown_ns=1, intent_valid_ns=1, close_window_ns=1, game_start_window_ns=1, jump_ns=2_000_000_000,
    cost_max_micros=1,
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
    said = [r for r in world.records if isinstance(r, DecideConfigured)]
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
