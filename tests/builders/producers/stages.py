"""The parts of the stage `producers` over a sender in memory, without sockets."""

import structlog

from crossbook.runtime.settings import Settings
from producers.ingest import Ingest
from producers.market_writer import LogHead, MarketWriter
from producers.stamp import ReceiveStamp
from producers.venues import BUILT_IN, Adapters
from tests.builders.producers.senders import MemorySender

LOG = structlog.wrap_logger(structlog.ReturnLogger())


class EmptyCatalog:
    """A venue that lists nothing."""

    async def discover(self, volume_min_micros, limit, ts_ns, refused):
        return []

    async def find(self, symbol, ts_ns, refused):
        return None

    async def settlements(self, listed, ts_ns, refused):
        return []


def ingest(sender: MemorySender, partitions: int = 2, adapters: Adapters = BUILT_IN, **settings) -> Ingest:
    writer = MarketWriter(sender, partitions, 100)
    head = LogHead(log_id="", opened=frozenset(range(partitions)))
    writer.open(head, 1)
    return Ingest(Settings(**settings), adapters, writer, head, ReceiveStamp(), LOG)
