"""The stage execute: feed the engine from `market`, `signals`, `intents` and `control`; write what it did in transactions.

Decides nothing about trades; that is the engine. All effects of a batch - journal, fills, input offsets - are one transaction,
and only then the gateways get the orders that follow from it, so nothing is sent that is not written, and a kill at any
instruction loses and doubles nothing. At start: fence, refold the journal (every output must follow again), rebuild the paper venue by folding `market` up to
the committed positions with the journaled requests put back where they were; both from the newest checkpoint on that the log proves.
Must never go on after an error on the order path: it stops, and a restart begins from the log.

`<state_dir>/KILL` halts everything without Kafka's `control`; the file may be removed, the halt stays until the operator resumes.
"""

import signal
import threading
import time
from collections import deque
from pathlib import Path

import structlog
from confluent_kafka import Message, TopicPartition

from crossbook.domain.dead_letters import dead_letter
from crossbook.log.errors import LogError
from crossbook.market.feed_clock import RECORDED
from crossbook.runtime.clock import now_ns
from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.kafka import (
    Outgoing,
    RecordProducer,
    TransactionalProducer,
    await_settled,
    committed_offsets,
    offset_range,
    open_consumer,
    poll_batch,
    wait_for_broker,
)
from crossbook.runtime.kafka_log import KafkaLog, read_partition
from crossbook.runtime.settings import Settings
from executors.alarms import Alarms
from executors.engine import Engine
from executors.errors import ExecutorError
from executors.journal import key_of, topic_of
from executors.lane import Lane
from executors.machines import MACHINES
from executors.meters.lag_meter import LagMeter
from executors.meters.latency import LatencyWatch
from executors.orders.machine import MachineTable
from executors.orders.work import INTENTS
from executors.recovery.checkpoint import STAGE, Checkpoints, anchor_of, start_lanes
from executors.recovery.code_digest import execution_digest
from executors.recovery.resume import Start, existing_topics, ignore, starts
from executors.terms import NS_PER_MS, make_terms, with_limit
from executors.venues.paper import PAPER
from executors.venues.port import Command, GatewayTable
from schemas.codec import load_codec
from schemas.errors import SchemaError
from schemas.records import (
    ControlApplied,
    DeadLetter,
    HaltedByFile,
    LagWatched,
    LatencyObserved,
    LeadLag,
    LogOpened,
    OrderRequested,
    Record,
    Watermark,
)
from schemas.topics import TOPICS, group_of, partition_of, read_by

KILL_FILE = "KILL"
BATCH_RECORDS = 500
POLL_S = 0.05
#: Without journal records the positions still move to the group this often.
POSITION_INTERVAL_S = 1.0
#: What sends nothing and acknowledges nothing may wait this long for company: every transaction of ours is one that a plan waits for.
HELD_S = 0.02
URGENT = (OrderRequested, ControlApplied, HaltedByFile, LagWatched)
#: Records of `market` that may wait in a lane for decide's proof before their partition is paused, and when it goes on.
WAITING_MAX = 20_000
WAITING_LOW = 5_000
BROKER_WAIT_S = 5.0
#: Advice is read again from this far before the end of a partition of `leadlag`: what counted before a restart counts after it.
ADVICE_RECORDS = 500

_log = structlog.get_logger(stage=STAGE)


def run(
    settings: Settings,
    *,
    batch_records: int = BATCH_RECORDS,
    gateways: GatewayTable = PAPER,
    machines: MachineTable = MACHINES,
) -> None:
    """Run until SIGTERM or SIGINT: orders go where `gateways` says for each venue, intents to the machine of their kind. Raises StageError when the log cannot be continued by this code or instance."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        try:
            wait_for_broker(settings.kafka, BROKER_WAIT_S)
            Execute(settings, batch_records, gateways, machines).run(stop)
        except BrokerAwayError as error:
            _log.warning("execute.waits", error=str(error))
            stop.wait(1.0)
        except ExecutorError as error:
            raise LogError(str(error)) from error


def lag_limit_problem(settings: Settings) -> str:
    """Why the watchdog's limit does not fit the validity of intents, in one line; empty when it does."""
    limit_ms, valid_ms = settings.execute.lag_limit_ms, settings.decide.intent_valid_ms
    if limit_ms == 0:
        return f"execute.lag_limit_ms is 0: nobody watches our own lag; an intent is still declined {valid_ms} ms after its tick"
    if limit_ms > valid_ms:
        return (
            f"execute.lag_limit_ms {limit_ms} is above decide.intent_valid_ms {valid_ms}: before the watchdog stops trading every "
            f"intent is declined as late; set it to {valid_ms} or less"
        )
    return ""


class _Input:
    """What the shell knows of one partition: where it reads and what it has committed."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.base_offset: int | None = None
        self.recorded = False  # whether stamps are a recording's, as soon as the head of the log was read
        self.paused = False
        self.lag = LagMeter()


class Execute:
    """One life of the stage, from the committed offsets on."""

    def __init__(
        self,
        settings: Settings,
        batch_records: int = BATCH_RECORDS,
        gateways: GatewayTable = PAPER,
        machines: MachineTable = MACHINES,
    ) -> None:
        kafka = settings.kafka
        self._gateways = gateways
        self._machines = machines
        self._settings, self._kafka, self._batch = settings, kafka, batch_records
        self._partition = partition_of(settings.execute.portfolio)
        self._codec = load_codec()
        self._topics = existing_topics(kafka)  # a prefix may be older than a topic that we can do without
        self._names = {
            TOPICS[topic].full_name(kafka.prefix): topic
            for topic in read_by(STAGE)
            if topic != "leadlag" or topic in self._topics
        }
        self._producer = TransactionalProducer(kafka, f"{STAGE}.{settings.execute.portfolio}")
        self._producer.init()  # before any position is read: an earlier instance can move none afterwards
        await_settled(kafka, ("orders", "fills"), partition_of(settings.execute.portfolio))
        # A few ms of waiting for a fuller answer spare the broker most of its fetches; `market` is read for its books only.
        self._consumer = open_consumer(
            kafka, group_of(settings.execute.portfolio), fetch_wait_ms=4, fetch_min_bytes=16_384
        )
        wanted = [
            TopicPartition(name, number)
            for name, topic in self._names.items()
            for number in range(TOPICS[topic].partition_count(kafka.partitions))
        ]
        stored = committed_offsets(self._consumer, wanted)
        self._next = {(self._names[name], number): max(at, 0) for (name, number), at in stored.items()}
        self._committed = dict(self._next)
        self._plain = RecordProducer(kafka, self._codec, f"{STAGE}.checkpoints")
        self._engine, self._inputs, self._anchor = self._go_on()
        self._checkpoints = Checkpoints(self._engine, settings.execute.portfolio, execution_digest())
        self._checkpointed = self._folded()
        for name, topic in self._names.items():
            for number in range(kafka.partitions if topic == "leadlag" else 0):
                low, high = offset_range(self._consumer, name, number)
                self._next[topic, number] = max(low, high - ADVICE_RECORDS)
        self._letters: list[DeadLetter] = []
        self._pending: list[Record] = []
        self._commands: list[Command] = []
        self._latency = LatencyWatch()
        self._alarms = Alarms(self._engine.state)
        self._committed_at = self._offsets_at = time.monotonic()
        self._kill_file = Path(settings.state_dir) / KILL_FILE

    def _go_on(self) -> tuple[Engine, dict[int, _Input], str]:
        """The engine as the log proves it, from the nearest place to go on from, and the anchor of its journal."""
        kafka, execute = self._kafka, self._settings.execute
        for start in starts(
            KafkaLog(kafka),
            self._codec,
            portfolio=execute.portfolio,
            code_digest=execution_digest(),
            committed={number: self._committed["market", number] for number in range(kafka.partitions)},
            checkpoints="checkpoints.execute" in self._topics,
            machines=self._machines,
        ):
            engine = Engine(
                range(kafka.partitions),
                start.state,
                advice_age_max_ns=execute.advice_max_age_ms * NS_PER_MS,
                gateways=self._gateways,
            )
            inputs = {number: _Input(lane) for number, lane in engine.lanes.items()}
            try:
                if start.image is not None:
                    start_lanes(engine, start.image)
                for number, one in inputs.items():
                    self._rebuild(number, one, start)
            except ExecutorError as error:
                if start.image is None:
                    raise
                ignore(start.image.state.next_sequence - 1, str(error))
            else:
                at = None if start.image is None else start.image.state.next_sequence
                _log.info("execute.restored", checkpoint=at, journal=engine.state.next_sequence)
                return engine, inputs, start.anchor
        raise AssertionError("the beginning is the last start")

    def _rebuild(self, number: int, one: _Input, start: Start) -> None:
        """Fold `market` again with what the journal holds of the venue: up to the committed offset, or where the journal ends.

        The journal may be ahead: it is written at once, the offsets once a second.
        """
        entries = start.journaled.get(number, deque())
        committed, journal_end = self._committed["market", number], start.state.positions.get(number, -1)
        first: int | None = None
        if one.lane.market.log_id:
            one.base_offset = one.lane.market.base_offset
            one.recorded = one.lane.market.recorded
            first = one.base_offset + one.lane.position + 1
            one.lane.catch_up(entries)
        self._next["market", number] = max(committed, first or 0)
        there = first is not None and first >= committed and one.lane.position >= journal_end
        for line in () if there else read_partition(self._kafka, "market", number, start=first):
            past_journal = one.base_offset is not None and line.offset - one.base_offset > journal_end
            if line.offset >= committed and past_journal:
                break
            position, record = self._market_record(one, line.offset, line.value)
            self._next["market", number] = max(committed, line.offset + 1)
            if position is not None:
                one.lane.replay(position, record, entries)
        if entries:
            raise LogError(
                f"the journal holds {entries[0][0]}, but `market` partition {number} ends before its position; restore the topic"
            )

    def run(self, stop: threading.Event) -> None:
        """Poll, feed, step, commit; on stop commit the positions."""
        self._consumer.assign(
            [TopicPartition(name, number, self._next[topic, number]) for name, topic in self._names.items()
             for number in range(TOPICS[topic].partition_count(self._kafka.partitions))]
        )  # fmt: skip
        terms = make_terms(self._settings.execute.model_dump(), self._settings.paper.model_dump())
        portfolio = self._settings.execute.portfolio
        own = self._settings.portfolios.get(portfolio)
        for name, value in () if own is None else own.limits.items():
            terms = with_limit(terms, name, value)
        followed = () if own is None else own.strategies
        self._engine.configure(terms, portfolio=portfolio, code_digest=execution_digest(), strategies=followed)
        if text := lag_limit_problem(self._settings):
            _log.warning("execute.lag_limit", problem=text)
        self._engine.resume(now_ns())
        _log.info("execute.started", journal=self._engine.state.next_sequence, positions=self._positions())
        try:
            while not stop.is_set():
                began_ns = now_ns()
                self._feed(poll_batch(self._consumer, self._batch, HELD_S if self._pending else POLL_S), began_ns)
                self._watch()
                self._work(stop)
                self._throttle()
                self._write_checkpoint(self._settings.execute.checkpoint_events)
                self._plain.poll()
            self._commit(now_ns(), stopping=True)
            self._write_checkpoint(1)
            self._plain.flush()
        finally:
            self._consumer.close()
        _log.info("execute.stopped", journal=self._engine.state.next_sequence, positions=self._positions())

    def _positions(self) -> dict[int, int]:
        return {number: lane.position for number, lane in self._engine.lanes.items()}

    def _folded(self) -> int:
        return sum(lane.position + 1 for lane in self._engine.lanes.values())

    def _write_checkpoint(self, events: int) -> None:
        """Write where the executor stands once it moved far enough; only what is committed, and proved by offsets, is worth keeping."""
        if self._folded() - self._checkpointed < events or "checkpoints.execute" not in self._topics:
            return
        self._commit(now_ns(), stopping=True)
        offsets: dict[str, dict[int, int]] = {}
        for (topic, number), at in self._committed.items():
            offsets.setdefault(topic, {})[number] = at
        journal = offset_range(self._consumer, TOPICS["orders"].full_name(self._kafka.prefix), self._partition)[1]
        image = self._checkpoints.image(anchor=self._anchor, journal_offset=journal, offsets=offsets)
        for record in self._checkpoints.records(image):
            self._plain.send(
                "checkpoints.execute", record, key=self._settings.execute.portfolio, partition=self._partition
            )
        self._checkpointed = self._folded()

    # Inputs

    def _feed(self, messages: list[Message], seen_ns: int) -> None:
        for message in messages:
            name, number, offset = message.topic(), message.partition(), message.offset()
            assert name is not None, "a record without error has a topic"
            assert number is not None, "a record without error has a partition"
            assert offset is not None, "a record without error has an offset"
            topic = self._names[name]
            value = message.value() or b""
            if topic == "market":
                one = self._inputs[number]
                position, record = self._market_record(one, offset, value)
                if position is not None:
                    one.lane.put_record(position, record)
                    append_ns = message.timestamp()[1] * NS_PER_MS
                    one.lag.read(position, append_ns, seen_ns, recorded=one.recorded)
                continue
            self._next[topic, number] = offset + 1
            try:
                record = self._codec.decode(value)
            except SchemaError as error:
                self._dead_letter(name, number, offset, value, str(error))
                continue
            self._take(topic, number, offset, record, seen_ns, value)

    def _take(self, topic: str, number: int, offset: int, record: Record, seen_ns: int, value: bytes) -> None:
        lane = self._inputs[number if topic != "control" else 0].lane
        refusal = ""
        if topic == "control":
            refusal = self._engine.control(record, offset)
        elif topic == "signals":
            if isinstance(record, Watermark):
                lane.put_watermark(record, offset)
        elif topic == "leadlag" and isinstance(record, LeadLag):
            lane.put_advice(record)
        elif topic == "intents" and isinstance(record, INTENTS):
            lane.put_intent(record, offset, seen_ns)
        else:
            refusal = f"{type(record).__name__} does not belong on {topic}"
        if refusal:
            self._dead_letter(TOPICS[topic].full_name(self._kafka.prefix), number, offset, value, refusal)

    def _market_record(self, one: _Input, offset: int, value: bytes) -> tuple[int | None, Record | None]:
        """Position and record of a line of `market`; no position before the log was opened, no record if unreadable.

        What is unreadable is dead-lettered by decide, which reads the same topic.
        """
        try:
            record = self._codec.decode(value)
        except SchemaError:
            record = None
        if one.base_offset is None:
            if not isinstance(record, LogOpened):
                return None, None
            if record.partitions != self._kafka.partitions:
                raise LogError(
                    f"the log has {record.partitions} partitions, kafka.partitions is {self._kafka.partitions}; "
                    "partitions are fixed for a prefix"
                )
            if record.base_offset != offset:
                raise LogError(
                    f"LogOpened stands at offset {offset} and names {record.base_offset}: the head of `market` is gone; "
                    "restore the topic or choose another prefix"
                )
            one.base_offset = offset
            one.recorded = record.clock == RECORDED
        return offset - one.base_offset, record

    def _throttle(self) -> None:
        """Bound what waits for decide's proof."""
        name = TOPICS["market"].full_name(self._kafka.prefix)
        for number, one in self._inputs.items():
            if not one.paused and one.lane.waiting > WAITING_MAX:
                self._consumer.pause([TopicPartition(name, number)])
                one.paused = True
            elif one.paused and one.lane.waiting < WAITING_LOW:
                self._consumer.resume([TopicPartition(name, number)])
                one.paused = False

    # Work

    def _watch(self) -> None:
        """Let no trade open on a market that is too old to trade on, and say so."""
        if not any(one.lag.known for one in self._inputs.values()):
            return
        now = now_ns()
        lag_ns = max(one.lag.lag_ns(one.lane.position, now, paused=one.paused) for one in self._inputs.values())
        if self._engine.watch_lag(lag_ns, self._settings.execute.lag_limit_ms * NS_PER_MS):
            lagging = self._engine.state.lagging
            _log.warning("execute.lagging" if lagging else "execute.caught_up", lag_s=round(lag_ns / 1e9, 3))

    def _work(self, stop: threading.Event) -> None:
        """Step until nothing is ready, committing before every look at a venue's answer."""
        if self._kill_file.exists():
            self._engine.kill(KILL_FILE)
        more = True
        while more and not stop.is_set():
            began_ns = now_ns()
            more = self._engine.advance(wall_ns=began_ns)
            self._commit(began_ns)

    def _commit(self, began_ns: int, *, stopping: bool = False) -> None:
        records, commands = self._engine.take()
        self._pending += records
        self._commands += commands
        waited_s = time.monotonic() - self._committed_at
        if not stopping and not self._letters and not any(isinstance(record, URGENT) for record in self._pending):
            # A measurement changes nothing: it rides along with the next record that does, or with the positions.
            idle = all(isinstance(record, LatencyObserved) for record in self._pending)
            if waited_s < (POSITION_INTERVAL_S if idle else HELD_S):
                return
        records, self._pending = self._pending, []
        commands, self._commands = self._commands, []
        moved = {key: at for key, at in self._offsets().items() if at > self._committed[key]}
        if records or self._letters or moved:
            prefix = self._kafka.prefix
            outgoing = [self._outgoing(prefix, record) for record in records]
            journaled = [out.value for out, one in zip(outgoing, records, strict=True) if topic_of(one) == "orders"]
            outgoing += [
                Outgoing(f"{prefix}deadletter", 0, STAGE.encode(), self._codec.encode(one)) for one in self._letters
            ]
            now_s = time.monotonic()
            if not records or self._letters or stopping or now_s - self._offsets_at >= POSITION_INTERVAL_S:
                # Half of a commit's price is the group's offsets, and what is journaled says by itself how far it came.
                offsets = [TopicPartition(prefix + topic, number, at) for (topic, number), at in moved.items()]
                self._committed |= moved
                self._offsets_at = now_s
            else:
                offsets = []
            self._producer.commit(outgoing, offsets, self._consumer)
            if journaled:
                self._anchor = anchor_of(journaled[-1])
            self._letters.clear()
            for alarm in self._alarms.of(records):
                _log.error(alarm.event, **alarm.fields)
            self._engine.send(commands)  # only now: what they follow from is on the log
            if records:
                ended_ns = now_ns()
                self._engine.sent(records, ended_ns)
                recorded = [number for number, one in self._inputs.items() if one.recorded]
                for seen in self._latency.committed(records, self._engine.state, began_ns, ended_ns, recorded):
                    self._engine.observe(
                        seen.trade_id, seen.kind, start_ns=seen.start_ns, end_ns=seen.end_ns, latency_ns=seen.latency_ns
                    )
        self._committed_at = time.monotonic()

    def _outgoing(self, prefix: str, record: Record) -> Outgoing:
        key = key_of(record)
        raw = None if key is None else key.encode()
        return Outgoing(prefix + topic_of(record), self._partition, raw, self._codec.encode(record))

    def _offsets(self) -> dict[tuple[str, int], int]:
        """Where a restarted executor must read on, per input partition."""
        offsets = dict(self._next)
        for number, one in self._inputs.items():
            lane = one.lane
            if one.base_offset is not None and lane.position >= 0:
                offsets["market", number] = one.base_offset + lane.position + 1
            if lane.first_unprocessed_intent is not None:
                offsets["intents", number] = lane.first_unprocessed_intent
            if lane.watermark_needed is not None:
                offsets["signals", number] = lane.watermark_needed
        return offsets

    def _dead_letter(self, source: str, number: int, offset: int, value: bytes, error: str) -> None:
        letter = dead_letter(
            ts_ns=now_ns(), stage=STAGE, source=source, partition=number, offset=offset, error=error, payload=value
        )
        self._letters.append(letter)
        _log.warning("execute.unreadable", source=source, partition=number, offset=offset, error=letter.error)
