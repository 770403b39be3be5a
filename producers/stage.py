"""The stage `producers`, from start to end: it is the one writer of `market`.

Decides the order of things at start (head of the log, control so far, then what runs) and at the end (every feed says that it is
down, then the log is flushed). It must never start a feed before the head of the log is written.
"""

import asyncio
import signal

import structlog

from crossbook.domain.errors import StageError
from crossbook.runtime.clock import now_ns
from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.kafka import RecordProducer, create_topics, wait_for_broker
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import Settings
from producers.catalogue.remembered import remembered
from producers.feeds.protocol import STAGE
from producers.ingest import Ingest
from producers.market_writer import LogHead, MarketWriter, draw_log_id, friction_pack, read_log_head
from producers.relay import ControlReader
from producers.stamp import ReceiveStamp
from producers.universe.universe import Remembered
from producers.venues import BUILT_IN, Adapters, check_adapters
from schemas.codec import load_codec
from schemas.registry import load_registry

BROKER_DEADLINE_S = 60.0


def run(settings: Settings, adapters: Adapters = BUILT_IN) -> None:
    """Run the stage until SIGTERM or SIGINT, with a row for each venue that it may follow.

    Raises:
        StageError: settings that cannot work, a log of somebody else, or a broker that refuses.
    """
    check_adapters(adapters, settings)
    log: structlog.stdlib.BoundLogger = structlog.get_logger().bind(stage=STAGE)
    wait_for_broker(settings.kafka, BROKER_DEADLINE_S)
    create_topics(settings.kafka)
    codec = load_codec()
    stamp = ReceiveStamp()
    head = read_log_head(settings.kafka, codec, draw_log_id())
    stamp.raise_to(min(head.ts_last_ns, now_ns() + 2_000_000_000))
    writer = MarketWriter(
        RecordProducer(settings.kafka, codec, STAGE), settings.kafka.partitions, settings.kafka.buffer_records
    )
    writer.open(head, stamp())
    writer.flush()
    writer.broadcast(friction_pack(settings.friction, stamp()))
    before = remembered(KafkaLog(settings.kafka), codec, load_registry())
    control = ControlReader(settings.kafka, codec)
    try:
        asyncio.run(_run(settings, adapters, writer, head, before, stamp, control, log))
    except BaseExceptionGroup as group:
        raise _first_stage_error(group) from group
    finally:
        control.close()
    try:
        writer.flush()
    except BrokerAwayError as error:
        log.warning("stop.unconfirmed", error=str(error))


async def _run(
    settings: Settings,
    adapters: Adapters,
    writer: MarketWriter,
    head: LogHead,
    before: Remembered,
    stamp: ReceiveStamp,
    control: ControlReader,
    log: structlog.stdlib.BoundLogger,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    ingest = Ingest(settings, adapters, writer, head, stamp, log)
    ingest.universe.remember(before)
    ingest.relay.approve_file(settings.catalog.pairs_file)
    ingest.relay.hear(control.read_to_end())
    await ingest.run(control, stop)


def _first_stage_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _first_stage_error(error)
        if isinstance(error, StageError):
            return error
    return group
