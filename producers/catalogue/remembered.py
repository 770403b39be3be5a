"""What earlier runs of the producers left in the log: what they listed, what has been paid, which instruments stood in a pair.

Decides nothing. A position may be held for months after its pair was revoked and over any number of restarts; whether it has paid must
then still be asked. So this comes from the log alone: decide's newest checkpoint and the records behind it, or every record where
there is no checkpoint. Records of other types are passed over by their schema id, without decoding.
"""

from collections.abc import Collection
from typing import Final

from crossbook.log.head import known_market
from crossbook.log.reading import Log
from crossbook.market.image import MarketImage
from producers.universe.universe import Remembered
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import InstrumentListed, InstrumentSettled, PairListed
from schemas.registry import Registry

MARKET: Final = "market"


def remembered(log: Log, codec: Codec, registry: Registry) -> Remembered:
    """Read it from every partition of `market`.

    Raises:
        LogError: a partition cannot be read.
        BrokerAwayError: the broker does not answer.
    """
    names = {cls.__name__ for cls in (InstrumentListed, InstrumentSettled, PairListed)}
    ids = {schema.id for schema in registry.by_id.values() if schema.record in names}
    found = Remembered()
    for partition in range(log.partitions):
        known = known_market(log, codec, partition)
        start = None
        if known is not None:
            start = known.base_offset + known.position + 1
            _take_image(found, known)
        _take_records(found, log, codec, partition, start, ids)
    return found


def _take_image(found: Remembered, known: MarketImage) -> None:
    for listed in known.instruments:
        found.listed[listed.instrument_id] = listed
    for instrument_id, payout in known.settled.items():
        found.paid.setdefault(instrument_id, payout)
    for pair in known.pairs:
        found.paired |= {pair.instrument_a: None, pair.instrument_b: None}


def _take_records(
    found: Remembered, log: Log, codec: Codec, partition: int, start: int | None, ids: Collection[int]
) -> None:
    for line in log.read(MARKET, partition, start=start):
        if int.from_bytes(line.value[1:5], "big") not in ids:
            continue
        try:
            record = codec.decode(line.value)
        except SchemaError:
            continue
        match record:
            case InstrumentListed():
                before = found.listed.get(record.instrument_id)
                if before is None or before.ts_received_ns <= record.ts_received_ns:
                    found.listed[record.instrument_id] = record
            case InstrumentSettled():
                found.paid.setdefault(record.instrument_id, record.payout_yes_micros)
            case PairListed():
                found.paired |= {record.instrument_a: None, record.instrument_b: None}
            case _:
                continue
