"""The stage leadlag on a real broker: a planted lead becomes advice, aborted signals are not read, and a restart goes on."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from crossbook.runtime.kafka import Outgoing, TransactionalProducer, create_topics, open_consumer
from crossbook.runtime.kafka_log import read_partition
from crossbook.runtime.settings import KafkaSettings
from schemas.codec import load_codec
from tests.builders.leadlag_worlds import T0, S, planted_signals

CODEC = load_codec()
WAIT_S = 180
A, B = "kalshi:TEAM", "polymarket:0xteam"


@pytest.fixture
def kafka_settings(kafka, request):
    prefix = "l-" + re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:30] + "."
    found = KafkaSettings(bootstrap=kafka.bootstrap, prefix=prefix)
    create_topics(found)
    return found


@pytest.fixture
def launch(kafka_settings, tmp_path):
    """Start the stage as its own process, warnings as errors; whatever still runs at the end is killed."""
    running = []

    def start(bootstrap=kafka_settings.bootstrap):
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "deploy.stage", "leadlag"],
            env=os.environ
            | {
                "CROSSBOOK_KAFKA__BOOTSTRAP": bootstrap,
                "CROSSBOOK_KAFKA__PREFIX": kafka_settings.prefix,
                "CROSSBOOK_STATE_DIR": str(tmp_path),
                "CROSSBOOK_LEADLAG__WINDOW_S": "60",
                "CROSSBOOK_LEADLAG__STRIDE_S": "20",
                "CROSSBOOK_LEADLAG__BAR_MS": "1000",
                "CROSSBOOK_LEADLAG__HY_LAG_MAX_MS": "2000",
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def write(settings, signals, *, abort=False):
    producer = TransactionalProducer(settings, "test.signals")
    producer.init()
    topic = f"{settings.prefix}signals"
    outgoing = [Outgoing(topic, 0, key and key.encode(), CODEC.encode(record)) for key, record in signals]
    if abort:
        producer._producer.begin_transaction()
        for one in outgoing:
            producer._producer.produce(one.topic, one.value, key=one.key, partition=0)
        producer._producer.flush()
        producer._producer.abort_transaction()
        return
    reader = open_consumer(settings, "test.signals")
    try:
        for start in range(0, len(outgoing), 500):
            producer.commit(outgoing[start : start + 500], [], reader)
    finally:
        reader.close()


def advice(settings):
    return [CODEC.decode(line.value) for line in read_partition(settings, "leadlag", 0)]


def wait_for(settings, windows, process):
    deadline = time.monotonic() + WAIT_S
    while len(found := advice(settings)) < windows:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"{len(found)} windows, wanted {windows}"
        time.sleep(0.1)
    return found


def stop(process):
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=15)
    assert process.returncode == 0, said
    return said


def test_a_planted_lead_becomes_advice_and_a_restart_goes_on(kafka_settings, launch):
    signals = planted_signals(3, a=A, b=B, group="group", lead_ms=500, seconds=200)
    half = next(number for number, (_, record) in enumerate(signals) if record.ts_ns >= T0 + 150 * S)
    write(
        kafka_settings, planted_signals(4, a=B, b="kalshi:OTHER", group="group", lead_ms=500, seconds=100), abort=True
    )
    write(kafka_settings, signals[:half])
    process = launch()
    first = wait_for(kafka_settings, 5, process)
    assert {(one.instrument_a, one.instrument_b) for one in first} == {(A, B)}, "aborted signals are not read"
    assert [one.ts_window_end_ns for one in first] == sorted({one.ts_window_end_ns for one in first})
    said = stop(process)
    assert "leadlag.library" not in said
    process = launch()
    write(kafka_settings, signals[half:])
    found = wait_for(kafka_settings, 8, process)
    said = stop(process)
    assert "leadlag.remembered" in said
    ids = [one.lead_lag_id for one in found]
    assert len(ids) == len(set(ids))
    assert found[-1].leader == A
    assert found[-1].votes == 4, "votes are remembered across the restart"
    assert found[-1].hy_lag_ns == S // 2
    assert found[-1].group == "group"


def test_without_a_broker_the_stage_waits_and_still_stops(kafka_settings, launch):
    process = launch(bootstrap="127.0.0.1:9")
    lines = iter(process.stderr.readline, "")
    assert any("leadlag.waits" in line for line in lines)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
