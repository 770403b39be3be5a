"""Sandbox, the stage `producers` and a reader of what it writes, for tests against a real broker."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from crossbook.domain.money import MICROS, parse_micros
from crossbook.market.market_state import MarketState
from crossbook.runtime.clock import now_ns
from crossbook.runtime.kafka import RecordProducer, create_topics, offset_range, open_consumer, poll_batch
from crossbook.runtime.settings import KafkaSettings
from schemas.codec import load_codec
from schemas.records import (
    FeedStatus,
    PairApproved,
    PayoutCell,
    Record,
)
from tests.builders.places import REPOSITORY as ROOT

WAIT_S = 120.0


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
