"""Ranges of a log as people write them, and the positions that they mean.

A bound is a time (ISO 8601, UTC where it names no zone; or Unix, in seconds, ms, µs or ns by its size) or a position: `@12000` in
every partition, `0@12000,1@15000` in those named. Decides which position a time means: that of the first record received then or
later; the writer of `market` never writes a stamp below an earlier one, so it is found by halves. Reads only.
"""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from crossbook.log.head import log_opened
from crossbook.log.reading import Log
from deploy.errors import UsageError
from processors.verify.verify import Positions
from schemas.codec import Codec, load_codec
from schemas.errors import SchemaError

#: Unix times are told apart by their digits; every one of these holds from 2001 to 2286.
_UNITS_NS: Final = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 19: 1}
#: Below this many offsets a range is read through instead of halved: opening a reader costs more.
SCAN_OFFSETS: Final = 2_000
FORM: Final = "give a time (2026-06-11T18:00Z, or Unix), @POSITION, or PARTITION@POSITION,…"


class Bound(NamedTuple):
    """A time, Unix ns, or positions: one for every partition (key -1) or by partition."""

    ts_ns: int | None = None
    positions: Mapping[int, int] | None = None


def parse_bound(text: str) -> Bound:
    """Read a bound as a person wrote it.

    Raises:
        UsageError: it is neither a time nor a position.
    """
    text = text.strip()
    if "@" in text:
        found: dict[int, int] = {}
        for part in text.split(","):
            match = re.fullmatch(r"(\d*)@(\d+)", part.strip())
            if match is None:
                raise UsageError(f"{part.strip()!r} is no position; {FORM}")
            found[int(match[1]) if match[1] else -1] = int(match[2])
        return Bound(positions=found)
    if match := re.fullmatch(r"(\d+)(\.\d{1,9})?", text):
        whole, fraction = match[1], match[2]
        unit = _UNITS_NS.get(len(whole))
        if unit is None or (fraction and unit != 1_000_000_000):
            raise UsageError(f"{text!r} is no Unix time (10 digits are seconds, 13 ms, 16 µs, 19 ns); {FORM}")
        return Bound(ts_ns=int(whole) * unit + (int(fraction[1:].ljust(9, "0")) if fraction else 0))
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is neither a time nor a position; {FORM}") from error
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    since = when - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return Bound(ts_ns=(since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000)


def resolve(log: Log, begin: Bound | None, end: Bound | None) -> dict[int, Positions]:
    """The positions that a range means, of every partition of `market`; `end` is not a part of it.

    Raises:
        UsageError: a partition is named that the log does not have, or a range ends before it begins.
    """
    codec = load_codec()
    found: dict[int, Positions] = {}
    for bound in (begin, end):
        named = max(bound.positions, default=-1) if bound is not None and bound.positions is not None else -1
        if named >= log.partitions:
            raise UsageError(f"{log.name} has no partition {named}; it has {log.partitions}, from 0")
    for partition in range(log.partitions):
        first = 0 if begin is None else _position(log, codec, partition, begin, default=0)
        last = None if end is None else _position(log, codec, partition, end, default=None)
        assert first is not None, "its default is none"
        if last is not None and last < first:
            raise UsageError(f"the range of partition {partition} ends at position {last}, before it begins at {first}")
        found[partition] = Positions(first, last)
    return found


def _position(log: Log, codec: Codec, partition: int, bound: Bound, default: int | None) -> int | None:
    if bound.positions is not None:
        return bound.positions.get(partition, bound.positions.get(-1, default))
    assert bound.ts_ns is not None, "a bound is one of both"
    head = log_opened(log, codec, partition)
    if head is None:
        return default
    return offset_at(log, codec, partition, bound.ts_ns) - head.base_offset


def offset_at(log: Log, codec: Codec, partition: int, ts_ns: int) -> int:
    """Offset of the first record of a `market` partition received at or after a time; its end when there is none."""
    low, high = log.extent("market", partition)
    while high - low > SCAN_OFFSETS:
        middle = (low + high) // 2
        stamp = _stamp_from(log, codec, partition, middle, high)
        if stamp is not None and stamp < ts_ns:
            low = middle + 1
        else:
            high = middle
    for line in log.read("market", partition, start=low, end=high):
        stamp = _stamp(codec, line.value)
        if stamp is not None and stamp >= ts_ns:
            return line.offset
    return high


def _stamp_from(log: Log, codec: Codec, partition: int, start: int, end: int) -> int | None:
    """Stamp of the first readable record from an offset on."""
    for line in log.read("market", partition, start=start, end=end):
        stamp = _stamp(codec, line.value)
        if stamp is not None:
            return stamp
    return None


def _stamp(codec: Codec, value: bytes) -> int | None:
    try:
        return getattr(codec.decode(value), "ts_received_ns", None)
    except SchemaError:
        return None
