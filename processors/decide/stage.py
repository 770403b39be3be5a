"""The stage decide: poll `market`, fold, and write what follows in one transaction with the input offsets.

Decides nothing about trades; that is `decide_fold`. Must never write an output twice or leave one out: outputs and offsets are
committed together, and what lies before the committed offset is folded again in silence. When the broker is away the stage waits
and starts over from the log; when another instance takes over it stops at once. Where other code decided, this one folds in silence until its own settings
stand in the log, and it stops when those of another code come after them.
"""

import signal
import threading
import time

import structlog
from confluent_kafka import Message, TopicPartition

from crossbook.domain.dead_letters import dead_letter
from crossbook.log.errors import LogError
from crossbook.market.configuration import Configuration
from crossbook.runtime.clock import now_ns
from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.kafka import (
    Outgoing,
    RecordProducer,
    TransactionalProducer,
    committed_offsets,
    open_consumer,
    poll_batch,
    wait_for_broker,
)
from crossbook.runtime.settings import Settings
from processors.decide.checkpoint import STAGE, to_records
from processors.decide.code_digest import decision_digest
from processors.decide.resume import Resumed, last_written, place_of, resume
from processors.decide.settings import announcement
from processors.errors import CodeDigestError
from processors.strategies.base import Strategies
from processors.strategies.table import STRATEGIES
from schemas.codec import Codec, load_codec
from schemas.errors import SchemaError
from schemas.records import EdgeStatistics, MarketConfigured, ReferenceTop, StrategyConfigured, TopOfBook, Watermark
from schemas.topics import TOPICS

BATCH_RECORDS = 500
#: Without outputs the position still moves to the group this often: lag tools read it, and a restart folds less.
POSITION_INTERVAL_S = 1.0
#: Tops, counters and proofs may wait this long for company; a quote or an intent commits at once. A transaction costs the broker
#: the same for one record as for fifty, and while one is under way an intent has to wait for it.
HELD_S = 0.025
MAY_WAIT = (TopOfBook, ReferenceTop, EdgeStatistics, Watermark)
POLL_S = 0.1
BROKER_WAIT_S = 5.0

_log = structlog.get_logger(stage=STAGE)


def run(settings: Settings, strategies: Strategies = STRATEGIES) -> None:
    """Run until SIGTERM or SIGINT, with the strategies of a table. Raises StageError when the log cannot be continued by this code or instance."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        try:
            wait_for_broker(settings.kafka, BROKER_WAIT_S)
            Decide(settings, strategies).run(stop)
        except BrokerAwayError as error:
            _log.warning("decide.waits", error=str(error))
            stop.wait(1.0)


class Decide:
    """One life of the stage, from the committed offsets on."""

    def __init__(self, settings: Settings, strategies: Strategies = STRATEGIES) -> None:
        self._settings = settings
        self._strategies = strategies
        self._kafka = settings.kafka
        self._codec: Codec = load_codec()
        self._digest = decision_digest(strategies)
        self._market = TOPICS["market"].full_name(self._kafka.prefix)
        self._producer = TransactionalProducer(self._kafka, STAGE)
        self._producer.init()  # before any position is read: an earlier instance can move none afterwards
        self._plain = RecordProducer(self._kafka, self._codec, "decide.plain")
        self._consumer = open_consumer(self._kafka, STAGE, read_committed=False)
        wanted = [TopicPartition(self._market, number) for number in range(self._kafka.partitions)]
        committed = self._committed_positions(wanted)
        self._partitions: dict[int, Resumed] = {
            tp.partition: resume(
                self._kafka, self._codec, self._digest, tp.partition, committed[tp.topic, tp.partition], strategies
            )
            for tp in wanted
        }
        # The group's offset says where to go on, but what stands on a topic is the last word: it is never written again.
        self._written = {
            (topic, number): last_written(self._kafka, self._codec, topic, number)
            for topic in ("signals", "intents")
            for number in self._partitions
        }
        self._next: dict[int, int] = {number: one.offset for number, one in self._partitions.items()}
        self._committed = {number: one.committed_offset for number, one in self._partitions.items()}
        self._checkpointed = dict(self._next)
        self._announced = False
        self._in_force: set[int] = set()  # partitions in which this life's settings stood once
        self._superseded: CodeDigestError | None = None
        self._committed_at = time.monotonic()
        self._held: list[Outgoing] = []
        self._urgent = False

    def _committed_positions(self, wanted: list[TopicPartition]) -> dict[tuple[str, int], int]:
        """The group's offsets; only a reader of what is committed is told to wait for those that a transaction is still to store."""
        reader = open_consumer(self._kafka, STAGE)
        try:
            return committed_offsets(reader, wanted)
        finally:
            reader.close()

    def run(self, stop: threading.Event) -> None:
        """Poll, fold, commit; on stop commit the position and leave checkpoints."""
        self._consumer.assign([TopicPartition(self._market, number, at) for number, at in self._next.items()])
        _log.info("decide.started", code_digest=self._digest, offsets=self._next, committed=self._committed)
        try:
            while not stop.is_set():
                self._fold(poll_batch(self._consumer, BATCH_RECORDS, HELD_S if self._held else POLL_S))
                waited_s = time.monotonic() - self._committed_at
                if self._urgent or waited_s >= (HELD_S if self._held else POSITION_INTERVAL_S):
                    self._commit()
                if self._superseded is not None:
                    self._commit()
                    raise self._superseded
                self._announce_once()
                self._write_checkpoints(self._settings.decide.checkpoint_events)
                self._plain.poll()
            self._commit()
            self._write_checkpoints(1)
            self._plain.flush()
        finally:
            self._consumer.close()
        _log.info("decide.stopped", offsets=self._next)

    def _fold(self, messages: list[Message]) -> None:
        prefix, encode = self._kafka.prefix, self._codec.encode
        for message in messages:
            number, offset = message.partition(), message.offset()
            assert number is not None, "a record without error has a partition"
            assert offset is not None, "a record without error has an offset"
            resumed = self._partitions[number]
            unwritten = offset >= resumed.committed_offset
            try:
                outputs = resumed.fold.take(offset, message.value())
            except SchemaError as error:
                outputs = ()
                if unwritten:
                    self._dead_letter(message, error)
            if isinstance(resumed.fold.last_record, (MarketConfigured, StrategyConfigured)):
                self._heed(number)
            self._next[number] = offset + 1
            if unwritten:
                for topic, key, record in outputs:
                    if place_of(record) <= self._written[topic, number]:
                        continue
                    raw_key = None if key is None else key.encode()
                    self._held.append(Outgoing(prefix + topic, number, raw_key, encode(record)))
                    self._urgent = self._urgent or not isinstance(record, MAY_WAIT)

    def _heed(self, number: int) -> None:
        """Settings were folded: ours are in force now, or other code decides from here on, and this life is over.

        What stood before this life began, and what another code said before it heard of us, is no reason to go.
        """
        state = self._partitions[number].fold.state
        if not state.other_code:
            if self._announced:
                self._in_force.add(number)
        elif number in self._in_force and self._superseded is None:
            self._superseded = CodeDigestError(
                partition=number, position=state.market.position, configured=state.other_code, running=self._digest
            )

    def _commit(self) -> None:
        """Write what is held together with the position that it stands for."""
        outputs, self._held, self._urgent = self._held, [], False
        moved = {n: at for n, at in self._next.items() if at > self._committed[n]}
        if outputs or moved:
            offsets = [TopicPartition(self._market, number, at) for number, at in moved.items()]
            self._producer.commit(outputs, offsets, self._consumer)
            self._committed |= moved
        self._committed_at = time.monotonic()

    def _announce_once(self) -> None:
        """State settings and code on `control`, once what is committed is folded again, unless the log has them already."""
        if self._announced or any(self._next[n] < one.committed_offset for n, one in self._partitions.items()):
            return
        self._announced = True
        said = announcement(
            self._settings.decide, self._digest, ts_ns=now_ns(), operator=STAGE, strategies=self._strategies
        )
        wanted = Configuration.of(said, ts_received_ns=said.ts_ns, control_offset=-1)
        self._in_force = {number for number, one in self._partitions.items() if one.fold.runs_under(wanted)}
        if len(self._in_force) < len(self._partitions):
            self._plain.send("control", said)
            _log.info("decide.announced", code_digest=self._digest)

    def _write_checkpoints(self, events: int) -> None:
        """Write the state of each partition that moved far enough; only what is committed is worth keeping."""
        for number, resumed in self._partitions.items():
            at = self._next[number]
            if at - self._checkpointed[number] < events or resumed.fold.base_offset is None:
                continue
            if at > self._committed[number]:
                self._commit()
            if at < self._committed[number]:
                continue  # still folding again: the newest checkpoint lies ahead
            if resumed.fold.state.market.partitions != self._kafka.partitions:
                raise LogError(
                    f"the log has {resumed.fold.state.market.partitions} partitions, kafka.partitions is "
                    f"{self._kafka.partitions}; partitions are fixed for a prefix"
                )
            for record in to_records(resumed.fold.state):
                self._plain.send("checkpoints.decide", record, key=STAGE, partition=number)
            self._checkpointed[number] = at

    def _dead_letter(self, message: Message, error: SchemaError) -> None:
        letter = dead_letter(
            ts_ns=now_ns(),
            stage=STAGE,
            source=self._market,
            partition=message.partition(),
            offset=message.offset(),
            error=str(error),
            payload=message.value() or b"",
        )
        self._plain.send_patiently("deadletter", letter, key=STAGE)
        _log.warning("decide.unreadable", partition=letter.partition, offset=letter.offset, error=letter.error)
