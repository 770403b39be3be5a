"""Topic → archive → topic on a real broker: equal keys, values and order, positions kept, and drops only what is safe."""

import re
from functools import cache

import msgspec
import pytest
from confluent_kafka import TopicPartition

from crossbook.log.archive.errors import RestoreError, RetentionError
from crossbook.log.archive.read import ArchiveLog
from crossbook.log.archive.write import write_archive
from crossbook.runtime.kafka import (
    Outgoing,
    RecordProducer,
    TransactionalProducer,
    committed_offsets,
    create_topics,
    open_consumer,
)
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import KafkaSettings
from deploy.lab.archive.restore import Restored, restore_archive
from deploy.lab.archive.retention import Dropped, drop
from processors.decide.checkpoint import to_records
from processors.decide.code_digest import decision_digest
from processors.decide.partition import PartitionFold
from processors.decide.state import DecideState
from schemas.codec import load_codec
from schemas.errors import SchemaError
from schemas.topics import TOPICS
from tests.builders import market_records as mr
from tests.builders.lively_market import lively_market

CODEC = load_codec()


def prefix_of(kafka, request, suffix=""):
    name = "a-" + re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:24] + suffix + "."
    return KafkaSettings(bootstrap=kafka.bootstrap, prefix=name)


@cache
def decided_market():
    """Values of a lively market with a stranger's bytes in it, and (topic, key, value) of what decide makes of them."""
    fold = PartitionFold(0, CODEC, DecideState(mr.DIGEST))
    values = [CODEC.encode(record) for record in lively_market(500)]
    values[20:20] = [b"a stranger's bytes"]
    outputs = []
    for offset, value in enumerate(values):
        try:
            caused = list(fold.take(offset, value))
        except SchemaError:
            continue
        outputs += [(topic, None if key is None else key.encode(), CODEC.encode(one)) for topic, key, one in caused]
    return values, outputs


@pytest.fixture
def live(kafka, request):
    """A prefix with a lively market, decide's outputs in transactions of ten, and decide's committed offset."""
    settings = prefix_of(kafka, request)
    create_topics(settings)
    plain = RecordProducer(settings, CODEC, "test")
    values, decided = decided_market()
    for value in values:
        plain.send_bytes("market", value, key="group", partition=0)
    outputs = [Outgoing(settings.prefix + topic, 0, key, value) for topic, key, value in decided]
    for place, control in enumerate(("a", "b")):
        plain.send_bytes("control", f"{place}{control}".encode())
    plain.flush()
    committer = TransactionalProducer(settings, "decide")
    committer.init()
    reader = open_consumer(settings, "decide", read_committed=False)
    market = TOPICS["market"].full_name(settings.prefix)
    for at in range(0, len(outputs), 10):
        committer.commit(outputs[at : at + 10], [], reader)
    reader.commit(offsets=[TopicPartition(market, 0, len(values))], asynchronous=False)
    reader.close()
    assert len(outputs) > 20
    return settings


def content(log, topic, partition=0):
    return [(line.key, line.value) for line in log.read(topic, partition)]


def committed(settings):
    name = TOPICS["market"].full_name(settings.prefix)
    reader = open_consumer(settings, "decide", read_committed=False)
    try:
        return committed_offsets(reader, [TopicPartition(name, 0)])[name, 0]
    finally:
        reader.close()


def test_topic_archive_topic(live, kafka, request, tmp_path):
    log = KafkaLog(live)
    manifest = write_archive(log, tmp_path, prefix=live.prefix)
    archived = ArchiveLog(tmp_path)
    for topic in ("market", "signals", "intents", "control"):
        assert list(archived.read(topic, 0)) == list(log.read(topic, 0))
        assert archived.extent(topic, 0) == log.extent(topic, 0)
    assert archived.decided_end(0) == log.decided_end(0) == archived.extent("market", 0)[1]
    assert manifest.log_id == mr.LOG_ID

    copy = prefix_of(kafka, request, "-copy")
    done = restore_archive(tmp_path, copy)
    assert done == Restored(manifest.rows, tuple(manifest.topics), 0)
    restored = KafkaLog(copy)
    for topic in TOPICS:
        assert content(restored, topic) == content(log, topic)
    same = [line.offset for line in restored.read("market", 0)] == [line.offset for line in log.read("market", 0)]
    assert same
    assert committed(copy) == log.decided_end(0)
    with pytest.raises(RestoreError, match="is not empty; restore into a prefix of its own"):
        restore_archive(tmp_path, copy)
    # What was restored archives to the same content again.
    again = tmp_path / "again"
    write_archive(restored, again, prefix=copy.prefix)
    for topic in manifest.topics:
        assert content(ArchiveLog(again), topic) == content(archived, topic)


def test_other_partitions_are_refused(live, kafka, request, tmp_path):
    write_archive(KafkaLog(live), tmp_path, topics=["market"])
    two = prefix_of(kafka, request, "-two").model_copy(update={"partitions": 2})
    with pytest.raises(RestoreError, match=re.escape("set kafka.partitions = 1")):
        restore_archive(tmp_path, two)


def test_a_log_that_begins_late_is_restored_at_its_own_offsets(kafka, request, tmp_path):
    late = prefix_of(kafka, request)
    create_topics(late)
    plain = RecordProducer(late, CODEC, "test")
    for _ in range(7):
        plain.send_bytes("market", b"before the log", partition=0)
    records = [mr.opened(), *mr.settings(), mr.friction()]
    records[0] = msgspec.structs.replace(records[0], base_offset=7)
    for record in records:
        plain.send("market", record, partition=0)
    plain.flush()
    log = KafkaLog(late)
    write_archive(log, tmp_path, topics=["market"], ranges={("market", 0): (7, None)})
    copy = prefix_of(kafka, request, "-copy")
    assert restore_archive(tmp_path, copy) == Restored(4, ("market",), 7)
    restored = KafkaLog(copy)
    assert restored.extent("market", 0) == (7, 11)
    assert [(one.offset, one.value) for one in restored.read("market", 0)] == [
        (one.offset, one.value) for one in log.read("market", 0, start=7)
    ]
    headless = tmp_path / "headless"
    write_archive(log, headless, topics=["market"], ranges={("market", 0): (8, None)})
    with pytest.raises(RestoreError, match="holds no LogOpened"):
        restore_archive(headless, prefix_of(kafka, request, "-headless"))


def test_only_what_is_archived_is_dropped(live, tmp_path):
    log = KafkaLog(live)
    write_archive(log, tmp_path)
    end = log.extent("market", 0)[1]
    with pytest.raises(RetentionError, match="there is none"):
        drop(live, tmp_path, "market")
    assert log.extent("market", 0) == (0, end)
    plain = RecordProducer(live, CODEC, "test")
    state = DecideState(decision_digest())
    state.market.log_id, state.market.partition, state.market.position = mr.LOG_ID, 0, end - 1
    for record in to_records(state):
        plain.send("checkpoints.decide", record, partition=0)
    plain.send_bytes("market", b"newer than the archive", partition=0)
    plain.flush()
    assert drop(live, tmp_path, "market") == [Dropped("market", 0, 0, end)]
    assert [line.value for line in log.read("market", 0)] == [b"newer than the archive"]
    before = log.extent("signals", 0)
    assert drop(live, tmp_path, "signals") == [Dropped("signals", 0, *before)]
    assert list(log.read("signals", 0)) == []
    # The archive goes on from there, without a hole.
    write_archive(log, tmp_path)
    assert ArchiveLog(tmp_path).extent("market", 0) == (0, end + 1)
