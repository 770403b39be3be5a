"""A log in memory, as live stages would have left it: what `crossbook.log.reading.Log` promises, without a broker."""

from crossbook.log.errors import LogError
from crossbook.log.reading import LogLine
from schemas.codec import load_codec
from schemas.records import InstrumentSettled
from tests.builders import market_records as mr

CODEC = load_codec()


class MemoryLog:
    """Records by topic, one partition."""

    name = "prefix 'memory.'"
    partitions = 1

    def __init__(self, topics):
        self.lines = {
            topic: [LogLine(number, 0, None, CODEC.encode(record)) for number, record in enumerate(records)]
            for topic, records in topics.items()
        }

    def extent(self, topic, partition):
        if topic not in self.lines:
            raise LogError(f"memory.{topic} is not there; create the topics")
        return 0, len(self.lines[topic])

    def read(self, topic, partition, *, start=None, end=None):
        yield from self.lines[topic][start:end]

    def decided_end(self, partition):
        return len(self.lines["market"])


def log_of(outcome, tops=(), *, without=()):
    """The topics that an outcome's run would have written live."""
    head = [mr.opened(), mr.configured(cooldown_ns=2_000 * mr.MS)]
    settled = [
        InstrumentSettled(ts_received_ns=ts_ns, instrument_id=name, payout_yes_micros=payout, source="test")
        for name, (payout, ts_ns) in outcome.settled.items()
    ]
    books = [mr.snapshot("kalshi:other", mr.T0, 1), mr.status("kalshi", mr.T0)]
    topics = {
        "market": [*head, *outcome.instruments.values(), *outcome.pairs.values(), *books, *settled],
        "signals": [*outcome.quotes, *outcome.statistics, *tops],
        "intents": list(outcome.intents),
        "orders": list(outcome.journal),
        "fills": list(outcome.fills),
    }
    return MemoryLog({topic: records for topic, records in topics.items() if topic not in without})
