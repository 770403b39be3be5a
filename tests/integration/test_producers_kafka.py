"""Importer and writer against a real broker: equal bytes, going on after a kill, refusals, a broker that is away."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Message, TopicPartition

from crossbook.domain.errors import StageError
from crossbook.log.errors import LogError
from crossbook.runtime.kafka import RecordProducer, create_topics, offset_range, open_consumer, poll_batch
from crossbook.runtime.settings import KafkaSettings, Settings
from producers.market_writer import LogHead, MarketWriter, friction_pack
from producers.recordings.bbo.replay import run_import
from producers.universe.partition import partition_of
from schemas.codec import load_codec
from schemas.records import LogOpened, MarketConfigured, Record
from tests.builders.places import REPOSITORY as ROOT
from tests.builders.recordings.bbo import ANNOUNCED, ROWS, fees, row, write


def settings_of(bootstrap: str, name: str, partitions: int = 1) -> Settings:
    prefix = f"imp-{os.getpid()}-{name}."
    return Settings(kafka=KafkaSettings(bootstrap=bootstrap, prefix=prefix, partitions=partitions))


def announce(settings: Settings, record: Record = ANNOUNCED) -> None:
    create_topics(settings.kafka)
    producer = RecordProducer(settings.kafka, load_codec(), "test")
    producer.send("control", record, partition=0)
    producer.flush()


def messages(settings: Settings) -> list[tuple[int, bytes | None, bytes]]:
    name = f"{settings.kafka.prefix}market"
    found: list[tuple[int, bytes | None, bytes]] = []
    consumer = open_consumer(settings.kafka, "test")
    for partition in range(settings.kafka.partitions):
        end = offset_range(consumer, name, partition)[1]
        consumer.assign([TopicPartition(name, partition, OFFSET_BEGINNING)])
        batch: list[Message] = []
        while len(batch) < end:
            batch += poll_batch(consumer, 1_000, 5)
        found += [(partition, m.key(), m.value() or b"") for m in batch]
    consumer.close()
    return found


def test_two_speeds_and_prefixes_give_equal_bytes(kafka, tmp_path: Path) -> None:
    file, fee_file = write(tmp_path, ROWS), fees(tmp_path)
    logs = []
    for name, speed in (("slow", 20.0), ("fast", 0.0)):
        settings = settings_of(kafka.bootstrap, name, partitions=2)
        announce(settings)
        report = run_import(settings, [file], fee_file, speed)
        assert report.complete
        logs.append(messages(settings))
    assert logs[0] == logs[1]
    first = load_codec().decode(logs[0][0][2])
    assert isinstance(first, LogOpened)
    assert first.log_id == report.log_id
    configured = [r for *_, v in logs[0] if isinstance(r := load_codec().decode(v), MarketConfigured)]
    assert [c.control_offset for c in configured] == [-1, -1]
    again = run_import(settings, [file], fee_file, 0.0)
    assert again.resumed_at == again.records == len(logs[0])
    assert messages(settings) == logs[0]


def test_another_recording_is_refused_in_the_same_prefix(kafka, tmp_path: Path) -> None:
    settings = settings_of(kafka.bootstrap, "other")
    announce(settings)
    run_import(settings, [write(tmp_path, ROWS)], fees(tmp_path), 0.0)
    with pytest.raises(LogError, match="holds another log"):
        run_import(settings, [write(tmp_path, ROWS[:3], "b.parquet")], fees(tmp_path), 0.0)


def test_without_decide_it_says_what_to_start(kafka, tmp_path: Path) -> None:
    settings = settings_of(kafka.bootstrap, "nobody")
    with pytest.raises(StageError, match="start the stage decide"):
        run_import(settings, [write(tmp_path, ROWS)], fees(tmp_path), 0.0, announce_timeout_s=0.5)


def test_a_killed_import_goes_on(kafka, tmp_path: Path) -> None:
    """kill -9 in the middle, then again to the end: the bytes of an import that was never killed."""
    rows = [row(i * 500, venue) for i in range(0, 4_000, 2) for venue in ("kalshi", "polymarket")]
    file, fee_file = write(tmp_path, rows), fees(tmp_path)
    script = (
        "import sys; from pathlib import Path; from crossbook.runtime.settings import KafkaSettings, Settings;"
        "from producers.recordings.bbo.replay import run_import;"
        "run_import(Settings(kafka=KafkaSettings(bootstrap=sys.argv[1], prefix=sys.argv[2])),"
        "[Path(sys.argv[3])], Path(sys.argv[4]), float(sys.argv[5]))"
    )
    settings = settings_of(kafka.bootstrap, "killed")
    announce(settings)
    command = [sys.executable, "-c", script, kafka.bootstrap, settings.kafka.prefix, str(file), str(fee_file)]
    process = subprocess.Popen([*command, "400"], cwd=ROOT, stderr=subprocess.DEVNULL)
    consumer = open_consumer(settings.kafka, "watch")
    deadline = time.monotonic() + 120
    while offset_range(consumer, f"{settings.kafka.prefix}market", 0)[1] < 500 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    at = offset_range(consumer, f"{settings.kafka.prefix}market", 0)[1]
    consumer.close()
    report = run_import(settings, [file], fee_file, 0.0)
    assert 500 <= report.resumed_at <= at + 1_000
    assert report.complete
    whole = settings_of(kafka.bootstrap, "whole")
    announce(whole)
    run_import(whole, [file], fee_file, 0.0)
    assert messages(settings) == messages(whole)


def test_keys_go_where_the_client_library_puts_them(kafka) -> None:
    settings = settings_of(kafka.bootstrap, "keys", partitions=5)
    create_topics(settings.kafka)
    producer = RecordProducer(settings.kafka, load_codec(), "test")
    keys = [f"kalshi:KX{'A' * (i % 7)}-{i}" for i in range(60)]
    for key in keys:
        producer.send("market", friction_pack(settings.friction, 1), key=key)
    producer.flush()
    placed = {(k or b"").decode(): partition for partition, k, _ in messages(settings)}
    assert placed == {key: partition_of(key, 5) for key in keys}


def test_a_broker_that_is_away_never_blocks_the_writer() -> None:
    kafka: dict[str, Any] = {"bootstrap": "127.0.0.1:1", "prefix": "away.", "buffer_records": 1_000}
    settings = Settings(kafka=KafkaSettings(**kafka))
    writer = MarketWriter(RecordProducer(settings.kafka, load_codec(), "test"), 1, 1_000)
    writer.open(LogHead(log_id="", opened=frozenset({0})), 1)
    pack = friction_pack(settings.friction, 1)
    longest = 0.0
    taken = 0
    for _ in range(3_000):
        began = time.perf_counter()
        taken += writer.write(pack, "g")
        writer.poll()
        longest = max(longest, time.perf_counter() - began)
    assert taken == 1_000
    assert writer.blocked
    assert writer.counters["market.dropped"] == 2_000
    assert longest < 0.5
