"""Lines to fill an archive or a log in memory with."""

import msgspec

from crossbook.log.reading import LogLine
from schemas.codec import load_codec
from schemas.records import LogOpened
from tests.bench.market import MIXED, World
from tests.contract.record_strategies import sample

CODEC = load_codec()
T0 = 1_780_000_000_000_000_000
LOG_ID = "log-of-a-test"


def opened(partition=0, base_offset=0, log_id=LOG_ID):
    return LogOpened(ts_received_ns=T0, log_id=log_id, partition=partition, partitions=1, base_offset=base_offset)


def lines_of(records, first=0, step=1):
    return [
        LogLine(
            first + number * step, T0 // 10**6 + number, None if number % 5 == 0 else b"group", CODEC.encode(record)
        )
        for number, record in enumerate(records)
    ]


def market_lines(count=500, log_id=LOG_ID, seed=7):
    """LogOpened, some of everything, then deltas."""
    world = World(3, MIXED, seed)
    kinds = ("InstrumentListed", "PairListed", "BookSnapshot", "PublicTrade", "FeedStatus", "ReferencePrice")
    records = [opened(log_id=log_id), *(sample(kind) for kind in kinds)]
    records += [
        world.update(T0 + number * 1_000_000) if number % 10 else sample(kinds[number // 10 % len(kinds)])
        for number in range(count - len(records))
    ]
    return lines_of(records)


#: Values that no columns give back: each has its reason.
GARBAGE = {
    "nothing": b"",
    "short": b"\x00\x00",
    "no magic": b"\x01\x00\x00\x00\x0brest",
    "unknown schema": b"\x00\x7f\xff\xff\xffrest",
    "text": b"garbage of a stranger",
    "cut": CODEC.encode(sample("BookDelta"))[:-3],
    "too long": CODEC.encode(sample("BookDelta")) + b"\x00",
    "two of them": CODEC.encode(sample("BookDelta")) * 2,
    "header alone": CODEC.encode(sample("BookDelta"))[:5],
    "ones": CODEC.encode(sample("BookDelta"))[:5] + b"\xff" * 40,
    "zeros": CODEC.encode(sample("BookDelta"))[:5] + b"\x00" * 400,
    "a long in too many bytes": CODEC.encode(sample("InstrumentMoved"))[:5] + b"\x82\x80\x00" + b"\x00" * 3,
}


def changed(record, **values):
    return msgspec.structs.replace(record, **values)
