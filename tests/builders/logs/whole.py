"""A whole log in memory, as the stages would have left it: market, what decide makes of it, its checkpoints, and the executor's part."""

import msgspec

from crossbook.log.reading import LogLine
from executors.engine import Engine
from executors.journal import key_of, topic_of
from executors.terms import ExecuteTerms, PaperTerms, Terms
from processors.decide.checkpoint import STAGE, to_records
from processors.decide.code_digest import decision_digest
from processors.decide.partition import PartitionFold
from processors.decide.state import DecideState
from schemas.codec import load_codec
from schemas.records import LogOpened, MarketConfigured, StrategyConfigured, TradeIntent, Watermark
from tests.builders.executors.worlds import MICROS, feed_all
from tests.builders.lively_market import lively_market
from tests.builders.logs.memory import MemoryLog

CODEC = load_codec()
TERMS = Terms(
    execute=ExecuteTerms(pairs_open_max=20, cost_per_leg_micros=2_500 * MICROS),
    paper=PaperTerms(vanish_ppm=150_000, partial_ppm=200_000, reject_ppm=80_000, late_ppm=150_000),
)


def market_of(events=600, seed=5, partition=0, partitions=1, digest=None):
    """Records of a partition, configured for the code that runs."""
    changes = {
        MarketConfigured: {"code_digest": digest or decision_digest()},
        StrategyConfigured: {"code_digest": digest or decision_digest()},
        LogOpened: {"partition": partition, "partitions": partitions},
    }
    return [
        msgspec.structs.replace(record, **changes[type(record)]) if type(record) in changes else record
        for record in lively_market(events, seed)
    ]


def write_decisions(log, partition=0, checkpoint_every=200):
    """Let decide write: outputs with a marker's hole in the offsets after each event that has some, and checkpoints."""
    fold = PartitionFold(partition, CODEC, DecideState(decision_digest()))
    written = []
    offsets = {"signals": 0, "intents": 0}
    for line in log.read("market", partition):
        touched = set()
        for topic, key, record in fold.take(line.offset, line.value):
            raw = None if key is None else key.encode()
            log.lines.setdefault((topic, partition), []).append(LogLine(offsets[topic], 0, raw, CODEC.encode(record)))
            offsets[topic] += 1
            touched.add(topic)
            written.append(record)
        for topic in touched:
            offsets[topic] += 1
        log.decided[partition] = line.offset + 1
        if (line.offset + 1) % checkpoint_every == 0:
            for record in to_records(fold.state):
                log.append("checkpoints.decide", partition, record, STAGE)
    return written


def whole_log(events=600, seed=5, partitions=1, checkpoint_every=200):
    """A log whose every part is right; the executor trades on partition 0."""
    log = MemoryLog({}, partitions=partitions)
    for partition in range(partitions):
        records = market_of(events, seed + partition, partition, partitions)
        for record in records:
            log.append("market", partition, record, "group")
        written = write_decisions(log, partition, checkpoint_every)
        if partition == 0:
            write_executions(log, records, written)
    return log


def write_executions(log, records, decided):
    """Let the executor write its journal and the fills."""
    engine = Engine([0])
    engine.configure(TERMS, portfolio="main", code_digest="d")
    intents = [record for record in decided if isinstance(record, TradeIntent)]
    marks = [record for record in decided if isinstance(record, Watermark)]
    for record in feed_all(engine, records, intents, marks):
        log.append(topic_of(record), 0, record, key_of(record))
