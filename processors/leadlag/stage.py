"""The stage leadlag: a faust agent that folds `signals` into windows and writes LeadLag to `leadlag`.

Decides nothing about leads; that is `leadlag_windows`. Written at least once: a record of `signals` is acknowledged only when what it
closed is confirmed by the broker, and a window that is written twice has the same id. The state is never stored: at a start the
signals that the next windows rest on are folded again in silence, by the time they were appended.

`signals` is written in transactions, so it is read committed; faust offers that only together with transactions of its own, which
would cost the broker and bring nothing here, so its consumer is told directly. When the broker is away the stage waits and starts
over; an error of the fold stops it before its record is acknowledged (faust's own default is to pass over it).
"""

import asyncio
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # aiokafka has no types
from confluent_kafka import TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport

from crossbook.domain.errors import StageError
from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.kafka import CALL_TIMEOUT_S, open_consumer, wait_for_broker
from crossbook.runtime.kafka_log import read_partition
from crossbook.runtime.metrics import stage_metrics
from crossbook.runtime.settings import LeadLagSettings, Settings
from processors.leadlag.windows import NS_PER_MS, Sieve, Windows, WindowTerms
from schemas.codec import HEADER, MAGIC, Codec, load_codec
from schemas.errors import SchemaError
from schemas.records import LeadLag, Record
from schemas.registry import load_registry
from schemas.topics import TOPICS

STAGE = "leadlag"
BROKER_WAIT_S = 5.0
COMMIT_S = 1.0
#: Committing and stopping may take this long each. A broker that hangs holds faust's threads for a minute, so the process then ends by
#: itself: what is not committed is read again at the next start.
STOP_S = 2.0
STOP_HARD_S = 6.0
#: decide commits some fifty times a second, and each answer of the broker wakes faust's two threads. A window lasts minutes, so the
#: broker gathers this much, or what comes in faust's 1.5 s, before it answers.
FETCH_BYTES_MIN = 262_144
#: The same complaint of a library is passed on at most once in this time.
COMPLAINT_S = 10.0
LIBRARIES = ("faust", "mode", "aiokafka", "kafka")

_log = structlog.get_logger(stage=STAGE)


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises StageError when the fold fails."""
    _hear_libraries()
    asyncio.run(_live(settings))


def kind_of(value: bytes | None) -> str:
    """Name of the record that the bytes are, by the schema that they name; empty when they name none that is pinned."""
    if value is None or len(value) < HEADER.size or value[0] != MAGIC:
        return ""
    schema = load_registry().by_id.get(int.from_bytes(value[1 : HEADER.size], "big"))
    return "" if schema is None else schema.record


def terms_of(settings: LeadLagSettings) -> WindowTerms:
    """The settings as the fold takes them."""
    return WindowTerms(
        window_ns=settings.window_s * 1_000 * NS_PER_MS,
        stride_ns=settings.stride_s * 1_000 * NS_PER_MS,
        bar_ns=settings.bar_ms * NS_PER_MS,
        hy_lag_max_ns=settings.hy_lag_max_ms * NS_PER_MS,
        hy_step_ns=settings.hy_step_ms * NS_PER_MS,
        references=settings.references,
    )


async def _live(settings: Settings) -> None:
    stop = asyncio.Event()
    _folder(settings).mkdir(parents=True, exist_ok=True)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _begin_stop, stop)
    while not stop.is_set():
        try:
            await asyncio.to_thread(wait_for_broker, settings.kafka, BROKER_WAIT_S)
            await _Life(settings, loop).run(stop)
        except BrokerAwayError as error:
            _log.warning("leadlag.waits", error=str(error))
            await _either(stop, 1.0)


def _begin_stop(stop: asyncio.Event) -> None:
    stop.set()
    last = threading.Timer(STOP_HARD_S, _end_hard)
    last.daemon = True
    last.start()


def _end_hard() -> None:
    _log.warning("leadlag.stopped_hard", seconds=STOP_HARD_S)
    os._exit(0)


async def _either(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def _folder(settings: Settings) -> Path:
    """Where faust would keep tables; it wants the folder although there are none."""
    return Path(settings.state_dir).absolute() / STAGE


class _CommittedThread(AIOKafkaConsumerThread):
    """Reads what is committed only, and hands on what the fold needs: each record costs faust some 0.1 ms, wanted or not."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sieves: dict[Any, tuple[Sieve, int]] = {}

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        fetched = await super()._fetch_records(*args, **kwargs)
        return {partition: self._needed(partition, records) for partition, records in fetched.items()}

    def _needed(self, partition: Any, records: list[Any]) -> list[Any]:
        """Without what the fold does not need. The last one stays: it is acknowledged, and everything before it with it."""
        if not records:
            return records
        sieve, following = self._sieves.get(partition, (Sieve(), -1))
        if records[0].offset < following:
            sieve = Sieve()  # read again from further back
        kept = [record for record in records if sieve.needs(kind_of(record.value))]
        self._sieves[partition] = (sieve, records[-1].offset + 1)
        return kept if kept and kept[-1] is records[-1] else [*kept, records[-1]]

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        assert consumer._isolation_level == "read_uncommitted", "aiokafka keeps it elsewhere: look before trusting it"  # noqa: SLF001 - neither faust nor aiokafka has a public way in
        assert consumer._fetch_min_bytes == 1, "aiokafka keeps it elsewhere: look before trusting it"  # noqa: SLF001 - see above
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - see above
        consumer._fetch_min_bytes = FETCH_BYTES_MIN  # noqa: SLF001 - see above
        return consumer


class _CommittedConsumer(Consumer):
    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _CommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        # Offsets that no record has, here the markers of transactions. faust 0.15.3 counts the record after the gap as part of
        # it; that record is then acknowledged twice, which ends the run of offsets that it may commit: one transaction a commit,
        # ever further behind a topic with twenty a second.
        await super()._add_gap(tp, offset_from, offset_to - 1)


class _CommittedTransport(Transport):
    Consumer = _CommittedConsumer


def make_app(settings: Settings, loop: asyncio.AbstractEventLoop) -> faust.App:
    """A faust app without web server, tables and topics of its own; its group is the stage's."""
    app = faust.App(
        f"{settings.kafka.prefix}{STAGE}",
        broker=[f"kafka://{address.strip()}" for address in settings.kafka.bootstrap.split(",")],
        broker_client_id=f"{settings.kafka.prefix}{STAGE}",
        broker_commit_interval=COMMIT_S,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=f"{settings.kafka.prefix}{STAGE}",
        producer_compression_type="lz4",
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        datadir=_folder(settings),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        autodiscover=False,
        loop=loop,
    )
    app.transport = _CommittedTransport(app.conf.broker, app, loop)
    return app


class _Life:
    """One life of the stage, from the group's offsets on."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._terms = terms_of(settings.leadlag)
        self._codec: Codec = load_codec()
        self._app = make_app(settings, loop)
        self._out = self._topic("leadlag")
        self._windows: dict[int, Windows] = {}
        self._next: dict[int, int] = {}
        self._failure: Exception | None = None
        self._failed = asyncio.Event()
        self._app.agent(self._topic("signals"))(self._fold)

    def _topic(self, name: str) -> Any:
        return self._app.topic(TOPICS[name].full_name(self._settings.kafka.prefix), key_type=bytes, value_type=bytes)

    async def run(self, stop: asyncio.Event) -> None:
        """Run the app until told to stop, until the fold fails, or until faust gives up."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(one) for one in (stop.wait(), self._failed.wait())]
        try:
            await self._app.start()
            _log.info("leadlag.started", group=self._app.conf.id, references=dict(self._terms.references))
            waits.append(asyncio.ensure_future(self._app.wait_until_stopped()))
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        except KafkaError as error:
            raise BrokerAwayError(f"faust did not start ({type(error).__name__}: {error}); starting over") from error
        finally:
            for one in waits:
                one.cancel()
            await self._stop()
        if self._failure is not None:
            if isinstance(self._failure, StageError):
                raise self._failure
            raise StageError(f"the fold of signals failed: {self._failure!r}") from self._failure
        if not stop.is_set():
            raise BrokerAwayError(f"faust stopped by itself ({self._app.crash_reason!r}); starting over")
        _log.info("leadlag.stopped", offsets=self._next)

    async def _stop(self) -> None:
        try:
            # faust leaves at a stop what was acknowledged since the last interval, and would read it again.
            await asyncio.wait_for(self._app.consumer.commit(), STOP_S)
            await asyncio.wait_for(self._app.stop(), STOP_S)
        except Exception as error:  # noqa: BLE001 - the broker may be away, or nothing started: what is not committed is read again
            _log.warning("leadlag.stop_incomplete", error=repr(error))

    async def _fold(self, stream: Any) -> None:
        async for event in stream.events():
            try:
                await self._take(event.message)
            except Exception as error:  # noqa: BLE001 - any error must stop the stage before this record is acknowledged
                self._failure = error
                self._failed.set()
                await asyncio.Event().wait()  # the next turn of the loop would acknowledge the record

    async def _take(self, message: Any) -> None:
        partition, offset = message.partition, message.offset
        windows = self._windows.get(partition)
        if windows is None:
            windows = await asyncio.to_thread(self._remember, partition, offset, round(message.timestamp * 1_000))
            self._windows[partition], self._next[partition] = windows, offset
        if offset < self._next[partition]:
            return  # read again after a rebalance: folded already, and written before it was
        self._next[partition] = offset + 1
        stage_metrics().consumed.labels(message.topic).inc()
        record = self._decode(message.value)
        if record is None:
            return
        key = (message.key or b"").decode(errors="replace")
        if not windows.closes(record):
            windows.take(key, record)
            return
        for found in await asyncio.to_thread(windows.take, key, record):
            await self._write(found)

    async def _write(self, found: LeadLag) -> None:
        sent = await self._out.send(
            key=found.group.encode(), value=self._codec.encode(found), partition=found.partition
        )
        await sent  # confirmed before the record that closed the window is acknowledged
        stage_metrics().produced.labels("leadlag").inc()
        if found.leader is not None:
            _log.info("leadlag.leader", id=found.lead_lag_id, leader=found.leader, hy_lag_ns=found.hy_lag_ns)

    def _decode(self, value: bytes | None) -> Record | None:
        try:
            return self._codec.decode(value or b"")
        except SchemaError as error:
            _log.warning("leadlag.unreadable", error=str(error))
            return None

    def _remember(self, partition: int, offset: int, append_ms: int) -> Windows:
        """Fold what was appended in the time that the next windows rest on, up to an offset; what it says was written before."""
        windows = Windows(self._terms)
        kafka = self._settings.kafka
        since_ms = max(0, append_ms - self._terms.history_ns // NS_PER_MS)
        reader = open_consumer(kafka, STAGE)
        try:
            wanted = TopicPartition(TOPICS["signals"].full_name(kafka.prefix), partition, since_ms)
            start = reader.offsets_for_times([wanted], CALL_TIMEOUT_S)[0].offset
        finally:
            reader.close()
        folded = 0
        if 0 <= start < offset:
            sieve = Sieve()
            for line in read_partition(kafka, "signals", partition, start=start, end=offset):
                record = self._decode(line.value) if sieve.needs(kind_of(line.value)) else None
                if record is not None:
                    windows.take((line.key or b"").decode(errors="replace"), record)
                folded += 1
        _log.info("leadlag.remembered", partition=partition, offset=offset, records=folded)
        return windows


class _Complaints(logging.Handler):
    """Passes warnings of the libraries on in our form, each at most once in a while."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: dict[tuple[str, str], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record as an event."""
        key, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._said.get(key, -COMPLAINT_S) < COMPLAINT_S:
            return
        self._said[key] = now
        _log.warning("leadlag.library", source=record.name, text=record.getMessage().splitlines()[0][:300])


def _hear_libraries() -> None:
    handler = _Complaints()
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(logging.WARNING)
