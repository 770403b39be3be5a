"""Tick to plan over the whole live stack: sandbox venues, sockets, producers, decide, execute.

The tick is the moment at which the producer took the frame off its socket; the sandbox's own stamp (whole ms) is shown beside
it, so that time lost before that moment shows as well. The threshold is lowered so that there are enough intents for a p99.
"""

import time

from confluent_kafka import TopicPartition

from crossbook.runtime.kafka import open_consumer, poll_batch
from crossbook.runtime.settings import KafkaSettings
from deploy.stack.stack import SandboxOptions
from schemas.codec import load_codec
from schemas.records import BookDelta
from schemas.topics import TOPICS
from tests.bench.market_latency import latency_rows
from tests.bench.observer import Observer
from tests.bench.report import Row, distribution
from tests.bench.stack import CpuWatch, bench_stack, pids_of

RATE = 1_000
WARM_UP_S = 22.0
MEASURED_S = 75.0
TAIL_S = 2.0


def run() -> list[Row]:
    """Sandbox, feeds, stages and an outside observer; about 115 s."""
    overrides = {"min_edge_micros": 2_000, "cooldown_ms": 200}
    with bench_stack(decide=overrides) as stack:
        stack.start_sandbox(SandboxOptions(preset="eventful", seed=7, rate=RATE))
        stack.start_stages()
        stack.start_feed("producers")
        observer = Observer(stack.settings.kafka)
        try:
            observer.watch(WARM_UP_S)
            cpu = CpuWatch(pids_of(stack))
            start_ns, first = time.time_ns(), market_end(stack.settings.kafka)
            observer.watch(MEASURED_S)
            end_ns, cpu_text = time.time_ns(), cpu.text()
            written = market_end(stack.settings.kafka) - first
            observer.watch(TAIL_S)
        finally:
            observer.close()
        venue = _from_venue(stack.settings.kafka, observer, start_ns, end_ns)
    rate = f"{RATE:,}/s asked of the sandbox, {written / MEASURED_S:,.0f}/s on market"
    rows = latency_rows(
        observer, start_ns, end_ns, rate=rate, warm_up=f"{WARM_UP_S:.0f} s", note=cpu_text, goals=(12.0, 40.0),
        against="seed 004: p50 200, p95 350 ms", tick="frame received",
    )  # fmt: skip
    rows.append(
        Row(
            what="sandbox's stamp of the update (ms) → plan seen by a read_committed consumer",
            figures=distribution(venue, 1e6),
            unit="ms",
            n=len(venue),
            rate=rate,
            warm_up=f"{WARM_UP_S:.0f} s",
        )
    )
    return rows


def market_end(kafka: KafkaSettings) -> int:
    """End offset of `market`."""
    consumer = open_consumer(kafka, "bench.end", read_committed=False)
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(TOPICS["market"].full_name(kafka.prefix), 0), 10)[1])
    finally:
        consumer.close()


def _from_venue(kafka: KafkaSettings, observer: Observer, start_ns: int, end_ns: int) -> list[int]:
    """From the venue's stamp of the causing delta to the sight of its plan."""
    wanted = {
        observer.positions[name]: stamp for name, stamp in observer.plan_stamps.items() if start_ns <= stamp < end_ns
    }
    codec = load_codec()
    found = []
    consumer = open_consumer(kafka, "bench.end", read_committed=False)
    try:
        consumer.assign([TopicPartition(TOPICS["market"].full_name(kafka.prefix), 0, 0)])
        last = max(wanted, default=-1)
        offset = -1
        while offset < last:
            for message in poll_batch(consumer, 500, 5.0):
                offset = int(message.offset() or 0)  # positions are offsets: the log begins at offset 0
                if offset in wanted:
                    record = codec.decode(message.value() or b"")
                    if isinstance(record, BookDelta) and record.ts_venue_ns is not None:
                        found.append(wanted[offset] - record.ts_venue_ns)
    finally:
        consumer.close()
    return found
