"""An outside observer of the pipeline: what a read_committed consumer of `intents` and `orders` sees, and when.

Decides which stamps a latency is made of. Must never write.
"""

import time
from typing import NamedTuple

from confluent_kafka import TopicPartition

from crossbook.runtime.kafka import open_consumer, poll_batch
from crossbook.runtime.settings import KafkaSettings
from schemas.codec import load_codec
from schemas.records import IntentSeen, LatencyObserved, TradeIntent, TradePlan, TradeUpdate
from schemas.topics import TOPICS

MS_NS = 1_000_000


class Seen(NamedTuple):
    """A latency that ended in the measured window: from the tick's stamp on, ns."""

    tick_ns: int
    latency_ns: int


class Observer:
    """Collects stamps until told to stop."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._codec = load_codec()
        self._consumer = open_consumer(kafka, "bench.observer")
        self._consumer.assign(
            [TopicPartition(TOPICS[topic].full_name(kafka.prefix), 0, 0) for topic in ("intents", "orders")]
        )
        self._ticks: dict[str, int] = {}
        self.positions: dict[str, int] = {}
        self.intents: list[Seen] = []
        self.plans: list[Seen] = []
        self.plan_stamps: dict[str, int] = {}
        self.committed: list[Seen] = []
        self.hedges: list[Seen] = []
        self.ends: dict[str, int] = {}

    def watch(self, seconds: float) -> None:
        """Collect for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            messages = poll_batch(self._consumer, 200, min(0.05, left))
            now = time.time_ns()
            for message in messages:
                self._take(self._codec.decode(message.value() or b""), now)

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _take(self, record: object, now: int) -> None:
        match record:
            case TradeIntent():
                self.positions[record.intent_id] = record.position
                self.intents.append(Seen(record.ts_received_ns, now - record.ts_received_ns))
            case IntentSeen():
                self._ticks[record.intent.intent_id] = record.intent.ts_received_ns
            case TradePlan():
                tick = self._ticks[record.intent_id]
                self.plan_stamps[record.intent_id] = now
                self.plans.append(Seen(tick, now - tick))
            case LatencyObserved():
                (self.committed if record.kind == "tick_to_plan" else self.hedges).append(
                    Seen(record.ts_start_ns, record.latency_ns)
                )
            case TradeUpdate() if record.state in {"hedged", "declined", "unwinding", "stuck"}:
                self.ends[record.state] = self.ends.get(record.state, 0) + 1
            case _:
                pass


def within(seen: list[Seen], start_ns: int, end_ns: int) -> list[int]:
    """Latencies of the ticks in a window."""
    return [one.latency_ns for one in seen if start_ns <= one.tick_ns < end_ns]
