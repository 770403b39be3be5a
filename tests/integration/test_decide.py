"""decide on a real broker: killed at any moment it writes every output once, and verify proves it."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from functools import cache
from types import SimpleNamespace

import msgspec
import pytest
from confluent_kafka import Producer, TopicPartition

from crossbook.market.configuration import Configuration
from crossbook.runtime import kafka as kafka_shell
from crossbook.runtime.kafka import (
    Outgoing,
    RecordProducer,
    TransactionalProducer,
    client_config,
    committed_offsets,
    create_topics,
    open_consumer,
)
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import DecideSettings, KafkaSettings, Settings
from processors.decide.code_digest import decision_digest
from processors.decide.resume import last_written, place_of
from processors.decide.settings import announcement
from processors.decide.stage import Decide
from processors.verify.verify import verify_decide
from schemas.codec import load_codec
from schemas.records import Checkpoint, DeadLetter, DecideAnnounced, EdgeUpdate, TradeIntent
from schemas.topics import TOPICS
from tests.builders import market_records as mr
from tests.builders.lively_market import lively_market
from tests.builders.older import older_code
from tests.builders.places import REPOSITORY

CODEC = load_codec()
START_S = 180
#: Digests of equal logs under different batch sizes.
BATCH_DIGESTS: list[dict[str, str]] = []


def environment(kafka_settings, **changes):
    return os.environ | {
        "CROSSBOOK_KAFKA__BOOTSTRAP": kafka_settings.bootstrap,
        "CROSSBOOK_KAFKA__PREFIX": kafka_settings.prefix,
        "CROSSBOOK_DECIDE__CHECKPOINT_EVENTS": "700",
        **changes,
    }


@pytest.fixture
def settings(kafka, request):
    prefix = "d-" + re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:30] + "."
    found = KafkaSettings(bootstrap=kafka.bootstrap, prefix=prefix)
    create_topics(found)
    return found


@pytest.fixture
def start(settings):
    """Start decide as its own process; whatever still runs at the end is killed."""
    running = []

    def launch(folder=REPOSITORY, **changes):
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.stage", "decide"],
            cwd=folder,
            env=environment(settings, PYTHONPATH=str(folder), **changes),
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield launch
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@cache
def market(digest=None):
    """Records for every test; a test that changes some takes a copy."""
    said = announcement(DecideSettings(min_edge_micros=0), digest or decision_digest(), ts_ns=mr.T0, operator="test")
    head = Configuration.of(said, ts_received_ns=mr.T0, control_offset=0)
    return mr.reconfigured(lively_market(events=1_500), head)


def write(settings, records):
    producer = RecordProducer(settings, CODEC, "test")
    for record in records:
        value = record if isinstance(record, bytes) else CODEC.encode(record)
        producer.send_bytes("market", value, key="group", partition=0)
    producer.flush()


def committed(settings):
    topic = TOPICS["market"].full_name(settings.prefix)
    reader = open_consumer(settings, "decide")
    try:
        return committed_offsets(reader, [TopicPartition(topic, 0)])[topic, 0]
    finally:
        reader.close()


def wait_until(settings, offset, process):
    deadline = time.monotonic() + START_S
    while committed(settings) < offset:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, f"decide stands at {committed(settings)}, wanted {offset}"
        time.sleep(0.05)


def read(settings, name):
    return [CODEC.decode(line.value) for line in KafkaLog(settings).read(name, 0)]


def stop(process):
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=START_S)
    assert process.returncode == 0, errors


def decide_here(settings, offset):
    """Let decide work in this process until it has committed an offset: where nothing is killed no other one is needed."""
    stop_at = threading.Event()
    decide = Decide(Settings(kafka=settings))
    thread = threading.Thread(target=decide.run, args=(stop_at,))
    thread.start()
    try:
        deadline = time.monotonic() + START_S
        while committed(settings) < offset:
            assert time.monotonic() < deadline and thread.is_alive()
            time.sleep(0.05)
    finally:
        stop_at.set()
        thread.join(START_S)


def test_killed_in_the_middle_it_writes_all_once(settings, start):
    records = market()
    third = len(records) // 3
    for number, part in enumerate((records[:third], records[third : 2 * third], records[2 * third :])):
        process = start()
        write(settings, part)
        if number < 2:
            wait_until(settings, 1 + number * third, process)
            process.kill()
            process.wait()
        else:
            wait_until(settings, len(records), process)
            stop(process)
    result = verify_decide(KafkaLog(settings))
    assert result.first_difference is None, result.first_difference.describe()
    assert (result.mismatches, result.events) == (0, len(records))
    expected = sum(len(outputs) for outputs in [mr.fold(records, mr.DecideState(decision_digest()))[1]])
    assert result.decisions == expected > 100
    assert any(isinstance(record, TradeIntent) for record in read(settings, "intents"))
    checkpoints = [one for one in read(settings, "checkpoints.decide") if isinstance(one, Checkpoint)]
    assert max(one.position for one in checkpoints) == len(records) - 1


def test_what_an_earlier_instance_is_committing_is_waited_for(settings, monkeypatch):
    """A transaction that is decided but not visible yet is on the topic all the same: who does not see it writes it again."""
    name = TOPICS["signals"].full_name(settings.prefix)
    _, outputs = mr.fold(market(), mr.DecideState(decision_digest()))
    output = next(one.record for one in outputs if one.topic == "signals")
    earlier = Producer(client_config(settings, "earlier") | {"transactional.id": settings.prefix + "earlier"})
    earlier.init_transactions()
    earlier.begin_transaction()
    earlier.produce(name, CODEC.encode(output), partition=0)
    earlier.flush()
    waits = []

    def commits_meanwhile(seconds):
        waits.append(seconds)
        if len(waits) == 1:
            earlier.commit_transaction()

    monkeypatch.setattr(kafka_shell, "time", SimpleNamespace(monotonic=time.monotonic, sleep=commits_meanwhile))
    assert last_written(settings, CODEC, "signals", 0) == place_of(output)
    assert waits


def test_a_restart_goes_on_from_the_checkpoint_and_announces_once(settings, start):
    process = start(CROSSBOOK_DECIDE__MIN_EDGE_MICROS="0")
    deadline = time.monotonic() + START_S
    while not (said := [one for one in read(settings, "control") if isinstance(one, DecideAnnounced)]):
        assert time.monotonic() < deadline
    records = market()
    write(settings, records)
    wait_until(settings, len(records), process)
    stop(process)
    newest = [one for one in read(settings, "checkpoints.decide") if isinstance(one, Checkpoint)][-1]
    producer = RecordProducer(settings, CODEC, "test")
    for changes in ({"code_digest": "e" * 64}, {"format_version": 99}, {"log_id": "f" * 32}):
        forged = msgspec.structs.replace(newest, **changes)
        producer.send("checkpoints.decide", forged, key="decide", partition=0)
    producer.flush()
    process = start(CROSSBOOK_DECIDE__MIN_EDGE_MICROS="0")
    more = [mr.status("kalshi", records[-1].ts_received_ns + 200 * mr.MS, state="ended")]
    write(settings, more)
    wait_until(settings, len(records) + 1, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=START_S)
    assert f'"offsets": {{"0": {len(records)}}}' in errors.partition("decide.started")[0] + errors.splitlines()[0]
    ignored = [line for line in errors.splitlines() if "decide.checkpoint_ignored" in line]
    for reason in ("by code eeeeeeeeeeee", "format is 99", "of log ffff"):
        assert sum(reason in line for line in ignored) == 1, errors
    assert [one.code_digest for one in read(settings, "control")] == [said[0].code_digest] == [decision_digest()]
    assert verify_decide(KafkaLog(settings)).mismatches == 0


def test_what_cannot_be_decoded_is_dead_lettered_and_passed(settings):
    records = [*market()]
    bad = [b"\x00\x7f\xff\xff\xff junk", b"junk", CODEC.encode(records[20])[:-3]]
    records[0] = msgspec.structs.replace(records[0], base_offset=1)
    mixed = [*bad[:1], *records[:40], *bad, *records[40:200]]
    write(settings, mixed)
    decide_here(settings, len(mixed))
    letters = [one for one in read(settings, "deadletter") if isinstance(one, DeadLetter)]
    assert [(one.stage, one.offset) for one in letters] == [
        ("decide", 0),
        ("decide", 41),
        ("decide", 42),
        ("decide", 43),
    ]
    assert letters[1].payload == bad[0]


def announced(settings):
    """What this code has said of itself."""
    ours = decision_digest()
    return [one for one in read(settings, "control") if isinstance(one, DecideAnnounced) and one.code_digest == ours]


def test_a_rolling_upgrade_leaves_nothing_out_and_each_code_proves_its_own(settings, start, tmp_path):
    old = older_code(tmp_path, "decide")
    assert old != decision_digest()
    records = market(digest=old)
    half = len(records) // 2
    write(settings, records[:half])
    first = start(folder=tmp_path)
    wait_until(settings, half, first)
    stop(first)
    second = start()  # its predecessor's settings stand in the log: it folds in silence, says its own, and waits
    deadline = time.monotonic() + START_S
    while not announced(settings):
        assert second.poll() is None, second.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    (said,) = announced(settings)
    turn = Configuration.of(said, ts_received_ns=records[half].ts_received_ns, control_offset=0).records
    write(settings, [*turn, *records[half:]])
    wait_until(settings, len(records) + len(turn), second)
    numbers = [one.number for one in read(settings, "intents")]
    assert numbers == list(range(1, len(numbers) + 1))
    result = verify_decide(KafkaLog(settings))
    (epoch,) = result.unproven
    assert (result.mismatches, epoch.code_digest, epoch.end) == (0, old, half + len(turn) - 1)
    written = read(settings, "signals") + read(settings, "intents")
    assert epoch.records == sum(one.position < half for one in written) > 0
    assert result.decisions == sum(one.position >= half for one in written) > 0
    assert not any(half <= one.position < epoch.end for one in written), "nobody decides between the two"
    write(settings, mr.settings(records[-1].ts_received_ns, code_digest=old))
    _, errors = second.communicate(timeout=START_S)
    assert second.returncode == 78
    assert f"decided by code {old[:12]}" in errors


def test_verify_finds_what_is_missing_extra_and_different(settings):
    records = market()[:800]
    write(settings, records)
    decide_here(settings, len(records))
    clean = verify_decide(KafkaLog(settings))
    assert clean.mismatches == 0
    last = next(one for one in reversed(read(settings, "signals")) if isinstance(one, EdgeUpdate))
    forged = msgspec.structs.replace(last, position=len(records) - 1, index=99)
    producer = TransactionalProducer(settings, "decide")
    producer.init()
    consumer = open_consumer(settings, "decide")
    signals = TOPICS["signals"].full_name(settings.prefix)
    producer.commit([Outgoing(signals, 0, b"group", CODEC.encode(forged))], [], consumer)
    consumer.close()
    result = verify_decide(KafkaLog(settings))
    assert (result.mismatches, result.decisions) == (1, clean.decisions + 1)
    assert result.first_difference.expected is None
    assert result.first_difference.found == forged
    assert "extra" in result.first_difference.describe()
    assert result.digests["intents/0"] == clean.digests["intents/0"]
    assert result.digests["signals/0"] != clean.digests["signals/0"]


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_batches_do_not_show(settings, monkeypatch, batch):
    monkeypatch.setattr("processors.decide.stage.BATCH_RECORDS", batch)
    records = market()[:900]
    write(settings, records)
    decide_here(settings, len(records))
    result = verify_decide(KafkaLog(settings))
    assert (result.mismatches, result.events) == (0, len(records))
    BATCH_DIGESTS.append(result.digests)
    assert BATCH_DIGESTS[0] == result.digests
