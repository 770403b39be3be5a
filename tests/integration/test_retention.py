"""A log whose head was dropped: producers, decide, execute and project go on as if nothing was gone, or refuse in a line."""

import threading
import time
import uuid

import clickhouse_connect
import msgspec
import pytest
from confluent_kafka import OFFSET_END, TopicPartition

from crossbook.log.archive.errors import RetentionError
from crossbook.log.archive.read import ArchiveLog
from crossbook.log.archive.write import write_archive
from crossbook.log.errors import LogError
from crossbook.market.configuration import Configuration
from crossbook.runtime.kafka import RecordProducer, admin_client, committed_offsets, create_topics, open_consumer
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import ClickHouseSettings, KafkaSettings, Settings
from deploy.lab.archive.retention import Dropped, drop
from deploy.operate.lag import lag_rows
from executors.journal import comparable
from executors.recovery.verify import verify_executions
from executors.stage import Execute
from processors.decide.checkpoint import to_records
from processors.decide.code_digest import decision_digest
from processors.decide.partition import PartitionFold
from processors.decide.settings import announcement
from processors.decide.stage import Decide
from processors.decide.state import DecideState
from processors.verify.verify import verify_decide
from producers.market_writer import MarketWriter, read_log_head
from projections.clickhouse.sink import ClickHouseSink
from projections.stage import Projector
from schemas.codec import load_codec
from schemas.records import OrderReport, TradeIntent, TradePlan, Watermark
from schemas.topics import TOPICS
from tests.builders import market_records as mr
from tests.builders.lively_market import lively_market

CODEC = load_codec()
DEADLINE_S = 180
CUT, END = 500, 800


def settings_for(kafka, clickhouse, folder, name):
    settings = Settings(
        kafka=KafkaSettings(bootstrap=kafka.bootstrap, prefix=f"r-{name}-{uuid.uuid4().hex[:8]}."),
        clickhouse=ClickHouseSettings(port=clickhouse.port, password=clickhouse.password) if clickhouse else {},
        execute={"pairs_open_max": 50, "lag_limit_ms": 0},
        project={"batch_records": 500, "interval_ms": 50},
        state_dir=str(folder / name),
    )
    create_topics(settings.kafka)
    return settings


def market(settings):
    said = announcement(settings.decide, decision_digest(), ts_ns=mr.T0, operator="test")
    head = Configuration.of(said, ts_received_ns=mr.T0, control_offset=0)
    opened, *records = lively_market(events=1_000)[:END]
    first = msgspec.structs.replace(opened, clock="recorded")  # the stamps are made up
    return [first, *mr.reconfigured(records, head)]


def write(settings, records):
    producer = RecordProducer(settings.kafka, CODEC, "test")
    for record in records:
        producer.send("market", record, key="group", partition=0)
    producer.flush()


def place(settings):
    return TopicPartition(TOPICS["market"].full_name(settings.kafka.prefix), 0)


def committed(settings, group):
    reader = open_consumer(settings.kafka, group)
    try:
        return committed_offsets(reader, [place(settings)])[place(settings).topic, 0]
    finally:
        reader.close()


def proved_end(settings):
    """The executor goes as far as decide's newest watermark or intent."""
    log = KafkaLog(settings.kafka)
    records = [CODEC.decode(line.value) for topic in ("signals", "intents") for line in log.read(topic, 0)]
    return 1 + max(one.position for one in records if isinstance(one, Watermark | TradeIntent))


class Life:
    """A stage in a thread of its own, until everything is worked off."""

    def __init__(self, settings, group, stage):
        self.settings, self.group = settings, group
        self.stop, self.failed = threading.Event(), []
        self.stage = stage(settings)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        try:
            self.stage.run(self.stop)
        except Exception as error:  # noqa: BLE001 - told in the test's own thread
            self.failed.append(error)

    def finish(self, end):
        deadline = time.monotonic() + DEADLINE_S
        while not self.failed and (at := committed(self.settings, self.group)) < end:
            assert time.monotonic() < deadline, f"{self.group} stands at {at} of {end}"
            time.sleep(0.05)
        self.stop.set()
        self.thread.join(DEADLINE_S)
        assert not self.failed, self.failed


def work(twins, records):
    """Write records to both and let decide and execute work them off, then stop cleanly."""
    for settings in twins:
        write(settings, records)
    decides = [Life(settings, "decide", Decide) for settings in twins]
    executes = [Life(settings, "execute", Execute) for settings in twins]
    for life in decides:
        life.finish(KafkaLog(life.settings.kafka).extent("market", 0)[1])
    for life in executes:
        life.finish(proved_end(life.settings))


def written(settings, topic):
    """Committed records of a topic; what the wall clock put into a journal is left out."""
    lines = [(line.key, line.value) for line in KafkaLog(settings.kafka).read(topic, 0)]
    if topic not in {"orders", "fills"}:
        return lines
    return [(key, one) for key, value in lines if (one := comparable(CODEC.decode(value))) is not None]


def test_after_a_drop_everything_goes_on_as_in_an_undropped_twin(kafka, tmp_path):
    twins = dropped, whole = [settings_for(kafka, None, tmp_path, name) for name in ("dropped", "whole")]
    records, folder, log = market(dropped), tmp_path / "archive", KafkaLog(dropped.kafka)
    work(twins, records[:CUT])
    before = len(written(whole, "orders"))

    write_archive(log, folder)
    reached = committed(dropped, "execute")
    with pytest.raises(RetentionError, match="execute needs a checkpoint"):
        drop(dropped.kafka, folder, "market", before=reached + 1)
    assert drop(dropped.kafka, folder, "market", before=reached) == [Dropped("market", 0, 0, reached)]
    assert log.extent("market", 0) == (reached, CUT)

    # The producers know the log again, and open no second one in its topic.
    head, other = (read_log_head(settings.kafka, CODEC, "never drawn") for settings in twins)
    assert head == other and (head.log_id, head.opened) == (mr.LOG_ID, {0}) and head.sessions and head.configured
    sender = RecordProducer(dropped.kafka, CODEC, "test")
    MarketWriter(sender, 1, 1_000).open(head, head.ts_last_ns)
    sender.flush()
    assert sender.delivered == 0

    work(twins, records[CUT:])
    kinds = set()
    for topic in ("signals", "intents", "orders", "fills"):
        one, twin = (written(settings, topic) for settings in twins)
        assert one == twin, topic
        kinds |= {type(record) for _, record in one[before:]} if topic == "orders" else set()
    assert {TradePlan, OrderReport} <= kinds, "nothing was traded after the drop"
    groups = {"decide": ("market",)}
    assert [row.lag_messages for row in lag_rows(dropped.kafka, groups, sample_s=0.05)] == [0]

    # The archive goes on, and holds what the broker no longer has.
    write_archive(log, folder)
    verified = verify_decide(ArchiveLog(folder))
    assert (verified.mismatches, verified.events) == (0, END)
    assert verify_executions(ArchiveLog(folder)).mismatches == 0


def project(settings):
    sink = ClickHouseSink(settings.clickhouse, settings.kafka.prefix)
    Projector(settings, sink, threading.Event()).run(until_quiet=True)
    sink.close()


def delete_before(settings, topic, offset):
    name = TOPICS[topic].full_name(settings.kafka.prefix)
    admin = admin_client(settings.kafka)
    for future in admin.delete_records([TopicPartition(name, 0, offset)]).values():
        future.result(10)


def test_the_projection_goes_on_and_without_a_checkpoint_each_stage_refuses(kafka, clickhouse, tmp_path, monkeypatch):
    monkeypatch.setattr("projections.stage.QUIET_S", 0.8)
    settings = settings_for(kafka, clickhouse, tmp_path, "projected")
    database = ClickHouseSettings.database(settings.kafka.prefix)
    records = market(settings)
    write(settings, records[:CUT])
    fold = PartitionFold(0, CODEC, DecideState(decision_digest()))
    for offset, record in enumerate(records[:CUT]):
        fold.take(offset, CODEC.encode(record))
    producer = RecordProducer(settings.kafka, CODEC, "test")
    for one in to_records(fold.state):
        producer.send("checkpoints.decide", one, partition=0)
    producer.flush()
    reader = open_consumer(settings.kafka, "decide")
    reader.commit(offsets=[TopicPartition(place(settings).topic, 0, CUT)], asynchronous=False)
    reader.close()

    with clickhouse_connect.get_client(
        host=clickhouse.host, port=clickhouse.port, username="reader", password=clickhouse.reader_password
    ) as client:

        def shown():
            log = client.query(f"SELECT log_id, offset, ts_ns, partitions FROM {database}.logs FINAL").result_rows
            return log, client.query(f"SELECT sum(records) FROM {database}.market_activity FINAL").result_rows[0][0]

        project(settings)
        log, counted = shown()
        assert log == [(mr.LOG_ID, 0, mr.T0, 1)]
        delete_before(settings, "market", CUT)
        write(settings, records[CUT:])
        project(settings)
        assert shown()[0] == log
        assert shown()[1] > counted + 200
        # Made anew it holds what is left, and still says whose log it is.
        sink = ClickHouseSink(settings.clickhouse, settings.kafka.prefix)
        sink.drop()
        project(settings)
        assert shown()[0] == [(mr.LOG_ID, 0, fold.state.market.now_ns, 1)]
        assert 200 < shown()[1] < counted

    delete_before(settings, "checkpoints.decide", OFFSET_END)
    for stage in (
        lambda: Decide(settings),
        lambda: Execute(settings),
        lambda: read_log_head(settings.kafka, CODEC, "never drawn"),
        lambda: Projector(settings, sink, threading.Event()).run(until_quiet=True),
    ):
        with pytest.raises(LogError, match=f"begins at offset {CUT}, its head was dropped, and there is no checkpoint"):
            stage()
    sink.drop()
    sink.close()
