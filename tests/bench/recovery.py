"""kill -9 of decide and execute under load: how long until the next committed record of the one that was killed.

What counts ends with a record whose append time is after the death: nothing of the dead instance can have that. In the end the
whole log is verified: nothing missing, nothing doubled.
"""

import os
import signal
import time

from confluent_kafka import TopicPartition

from crossbook.runtime.kafka import open_consumer, poll_batch
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import KafkaSettings
from deploy.lab.verify.verify import verify_log
from deploy.operate.lag import lag_rows
from deploy.stack.stack import LocalStack
from schemas.topics import TOPICS
from tests.bench.report import Row
from tests.bench.stack import Generator, bench_stack

RATE = 2_000
PLANTS_PER_S = 10
WARM_UP_S = 20.0
KILLS = 5
#: Every stage is killed this often, in turns; a child that ran for 10 s is restarted without added back-off.
SPACING_S = 6.5
#: Records appended this long after the death are the successor's: Python alone takes longer to start.
CLEAR_OF_DEATH_MS = 100
PATIENCE_S = 20.0
GOAL_S = 3.0
#: Stage → the topic that shows its life. decide writes a watermark every 250 ms, execute at the next intent.
SHOWN_BY = {"decide": "signals", "execute": "orders"}


def run() -> list[Row]:
    """Kill each stage in turn under load; about 110 s."""
    downs: dict[str, list[float]] = {stage: [] for stage in SHOWN_BY}
    with bench_stack(decide={"cooldown_ms": 500}) as stack:
        stack.start_stages()
        with Generator(
            stack, rate=RATE, seconds=WARM_UP_S + 2 * KILLS * (SPACING_S + PATIENCE_S), plants=PLANTS_PER_S
        ) as generator:
            time.sleep(WARM_UP_S)
            for _ in range(KILLS):
                for stage, topic in SHOWN_BY.items():
                    started = time.monotonic()
                    downs[stage].append(_kill(stack, stage, topic))
                    time.sleep(max(0.0, SPACING_S - (time.monotonic() - started)))
            generator.finish()
        _await_quiet(stack.settings.kafka)
        stack.stop_group("stages")
        verified = verify_log(KafkaLog(stack.settings.kafka))
    return [
        Row(
            what=f"kill -9 of {stage} → next committed record on {SHOWN_BY[stage]}",
            figures={"min": min(values), "p50": sorted(values)[len(values) // 2], "max": max(values)},
            unit="s",
            goals={"max": ("≤", GOAL_S)},
            holds=not verified.mismatches,
            n=len(values),
            rate=f"{RATE:,}/s, {PLANTS_PER_S} edges/s",
            warm_up=f"{WARM_UP_S:.0f} s",
            against="prototype 0.4–2.3 s (without the start of Python)",
            note=f"in order: {' '.join(f'{one:.1f}' for one in values)} s; after all kills: {verified.decisions:,} decisions and {verified.executions:,} executions compared, {verified.mismatches} mismatches"
            + "".join(f"; {line.splitlines()[0]}" for line in verified.first_differences),
        )
        for stage, values in downs.items()
    ]


def _kill(stack: LocalStack, stage: str, topic: str) -> float:
    """Kill the running child and wait for its successor's first committed record; seconds in between."""
    (pid,) = [row["pid"] for row in stack.status() if row["name"] == stage]
    assert pid, f"{stage} does not run"
    kafka = stack.settings.kafka
    consumer = open_consumer(kafka, "bench.recovery")
    try:
        partition = TopicPartition(TOPICS[topic].full_name(kafka.prefix), 0)
        end = consumer.get_watermark_offsets(partition, 10)[1]
        consumer.assign([TopicPartition(partition.topic, 0, end)])
        poll_batch(consumer, 500, 0.3)  # connected before the clock starts
        os.kill(pid, signal.SIGKILL)
        killed, killed_ms = time.monotonic(), time.time_ns() // 1_000_000
        while (waited := time.monotonic() - killed) < PATIENCE_S:
            for message in poll_batch(consumer, 500, 0.05):
                if message.timestamp()[1] > killed_ms + CLEAR_OF_DEATH_MS:
                    return time.monotonic() - killed
        raise AssertionError(f"{stage} wrote nothing within {waited:.0f} s of its death")
    finally:
        consumer.close()


def _await_quiet(kafka: KafkaSettings) -> None:
    """Wait until decide and execute have read everything."""
    groups = {"decide": ("market",), "execute": ("market", "intents")}
    end = time.monotonic() + 60
    while any(row.lag_messages for row in lag_rows(kafka, groups, sample_s=0.0)):
        assert time.monotonic() < end, "the stages did not catch up within 60 s of the load's end"
        time.sleep(0.5)
