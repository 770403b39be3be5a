"""A log in memory, as live stages would have left it from the run of an outcome."""

from crossbook.log.reading import LogLine
from schemas.codec import load_codec
from schemas.records import InstrumentSettled
from tests.builders import market_records as mr
from tests.builders.logs.memory import MemoryLog

CODEC = load_codec()


def log_of(outcome, tops=(), *, without=()):
    """The topics that an outcome's run would have written live."""
    head = [mr.opened(), *mr.settings(cooldown_ns=2_000 * mr.MS)]
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
    lines = {
        (topic, 0): [LogLine(number, 0, None, CODEC.encode(record)) for number, record in enumerate(records)]
        for topic, records in topics.items()
        if topic not in without
    }
    return MemoryLog(lines, decided={0: len(topics["market"])}, without=without, name="prefix 'memory.'")
