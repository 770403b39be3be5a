"""Where the lead-lag report reads mids: the `signals` of a log (a broker's or an archive), or a recording's files themselves.

Decides what is compared and which windows belong together. Must never look at anything but mids: what was decided and traded on
them is another report.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from crossbook.log.reading import Log
from deploy.errors import UsageError
from processors.decide.code_digest import decision_digest
from processors.decide.partition import PartitionFold
from processors.decide.state import DecideState
from processors.leadlag.statistics import TICKS_MIN, Floats, Ints, Ticks
from processors.leadlag.study import Span
from processors.leadlag.windows import NS_PER_MS, Seen
from schemas.codec import Codec, load_codec
from schemas.errors import SchemaError
from schemas.records import Record

#: A book that repeats its mid is kept as a tick at most this often: it says that the price stands.
QUIET_NS = 100 * NS_PER_MS
#: Files that make a recording of Kalshi's books beside spot trades.
BOOKS_FILE, SPOT_FILE = "events.parquet", "spot_coinbase_btcusd.parquet"
SPOT_NAME = "coinbase:BTC-USD"
#: Two ladders of bids in tenths of a cent: a NO bid at p is a YES ask at 10000 - p.
FULL = 10_000
DELTA, TRADE, EMPTY = 1, 2, 3


class Comparison(NamedTuple):
    """Two series and the windows over which they are compared."""

    group: str
    name_a: str
    name_b: str
    a: Ticks
    b: Ticks
    spans: tuple[Span, ...]


def from_log(log: Log, references: Mapping[str, str], window_ns: int, block_ns: int) -> Iterator[Comparison]:
    """Everything that a log's `signals` let us compare; a block is this much stream time.

    A log that was never decided (an archive that was written straight from a recording) is decided here, in passing.

    Raises:
        BrokerAwayError: the broker gives nothing.
        CodeDigestError: the log is to be decided here, and names other code.
    """
    codec = load_codec()
    for partition in range(log.partitions):
        seen = Seen(references)
        for key, record in _signals(log, codec, partition):
            seen.take(key, record)
        ticks = {name: mids.ticks() for name, mids in seen.mids.items()}
        for pair in seen.pairs():
            a, b = ticks[pair.a], ticks[pair.b]
            if not len(a.times) or not len(b.times):
                continue
            start, end = max(int(a.times[0]), int(b.times[0])), min(int(a.times[-1]), int(b.times[-1]))
            spans = tuple(_cut(start, end, window_ns, lambda at: str(at // block_ns)))
            yield Comparison(pair.group, pair.a, pair.b, a, b, spans)


def _signals(log: Log, codec: Codec, partition: int) -> Iterator[tuple[str, Record]]:
    """Key and record of what stands in `signals`, or of what decide would write there."""
    if log.decided_end(partition) > log.extent("market", partition)[0]:
        for line in log.read("signals", partition):
            with contextlib.suppress(SchemaError):
                yield (line.key or b"").decode(errors="replace"), codec.decode(line.value)
        return
    fold = PartitionFold(partition, codec, DecideState(decision_digest()))
    for line in log.read("market", partition):
        try:
            outputs = fold.take(line.offset, line.value)
        except SchemaError:
            continue
        for topic, key, record in outputs:
            if topic == "signals":
                yield key or "", record


def _cut(start_ns: int, end_ns: int, window_ns: int, block: Callable[[int], str]) -> Iterator[Span]:
    """Windows one after the other, each with the block of its start; what is left at the end counts from half a window on."""
    for at in range(start_ns, end_ns, window_ns):
        if min(end_ns, at + window_ns) - at >= window_ns // 2:
            yield Span(block(at), at, min(end_ns, at + window_ns))


# A recording of Kalshi's books beside spot


def from_kalshi_spot(folder: Path, window_ns: int, *, sessions: int | None = None) -> Comparison:
    """Spot trades against the mid of the Kalshi market that is open; both stamps are of one computer.

    Kalshi's markets follow each other, so their mids are one series: the step from one market or session to the next is no return.
    A block is a recording session. `sessions` bounds how many are used, in order of time.

    Raises:
        UsageError: the folder holds no such recording.
    """
    for name in (BOOKS_FILE, SPOT_FILE):
        if not (folder / name).is_file():
            raise UsageError(f"{folder} holds no {name}: it is no recording of Kalshi books beside spot")
    table = parquet.read_table(folder / SPOT_FILE, columns=["recv_us", "price_1e2"])
    spot = _last_of_each(table["recv_us"].to_numpy() * 1_000, table["price_1e2"].to_numpy().astype(np.float64))
    pieces: list[Ticks] = []
    spans: list[Span] = []
    for session, times in _kalshi_sessions(folder / BOOKS_FILE, spot.times, sessions):
        mids = _one_series(times)
        found = tuple(_cut(int(mids.times[0]), int(mids.times[-1]), window_ns, lambda _at, name=session: name))  # type: ignore[misc]  # mypy does not type a lambda's default
        spans.extend(found)
        pieces.append(mids)
    if not spans:
        raise UsageError(f"{folder}: no session has both books and spot")
    return Comparison("kalshi:KXBTC15M", SPOT_NAME, "kalshi:KXBTC15M", spot, _one_series(pieces), tuple(spans))


def _last_of_each(times: Ints, values: Floats) -> Ticks:
    """Ticks in order of time; of several at one time the last."""
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    last = np.append(np.diff(times) > 0, [True])
    return Ticks(times[last].astype(np.int64), values[last])


def _one_series(pieces: Sequence[Ticks]) -> Ticks:
    """Pieces one after the other, each ending where the next begins, put at the level that the one before ended at."""
    times: list[Ints] = []
    values: list[Floats] = []
    ordered = sorted(pieces, key=lambda piece: int(piece.times[0]))
    for number, piece in enumerate(ordered):
        end = int(ordered[number + 1].times[0]) if number + 1 < len(ordered) else int(piece.times[-1]) + 1
        kept = piece.times < end
        if not kept.any():
            continue
        level = values[-1][-1] - piece.values[0] if values else 0.0
        times.append(piece.times[kept])
        values.append(piece.values[kept] + level)
    return Ticks(np.concatenate(times), np.concatenate(values))


def _kalshi_sessions(file: Path, spot_times: Ints, sessions: int | None) -> Iterator[tuple[str, list[Ticks]]]:
    """Number and markets of each session that has spot beside it."""
    table = parquet.read_table(
        file, columns=["market", "evt", "recv_ms", "sid", "kind", "side", "price_1e4", "size_1e2"]
    )
    sids = table["sid"].to_numpy()
    used = 0
    for sid in dict.fromkeys(sids.tolist()):
        rows = table.filter(sids == sid)
        stamps = rows["recv_ms"].to_numpy() * NS_PER_MS
        inside = np.searchsorted(spot_times, [stamps.min(), stamps.max()])
        if inside[1] - inside[0] < TICKS_MIN:
            continue
        if sessions is not None and used >= sessions:
            return
        used += 1
        markets = rows["market"].cast("string").to_numpy(zero_copy_only=False)
        found = []
        for market in dict.fromkeys(markets.tolist()):
            mids = _kalshi_mids(rows.filter(markets == market))
            if mids is not None:
                found.append(mids)
        if found:
            yield str(sid), found


class _Ladder:
    """Bids of one side: size by price, and the best price (0: none)."""

    __slots__ = ("best", "sizes")

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}
        self.best = 0

    def add(self, price: int, change: int) -> None:
        """Change a level by a signed size; a level without size is gone."""
        size = self.sizes.get(price, 0) + change
        if size > 0:
            self.sizes[price] = size
            self.best = max(self.best, price)
            return
        self.sizes.pop(price, None)
        if price == self.best:
            self.best = max(self.sizes, default=0)


def _kalshi_mids(rows: pa.Table) -> Ticks | None:
    """Mids of one market, after each of its messages, in dollars; None when it never has both sides."""
    columns = [rows[name].to_numpy().tolist() for name in ("evt", "recv_ms", "kind", "side", "price_1e4", "size_1e2")]
    ladders = (_Ladder(), _Ladder())
    times: list[int] = []
    values: list[float] = []
    before, quiet_ms, last = -1, QUIET_NS // NS_PER_MS, 0
    following = [*columns[0][1:], None]
    for evt, recv_ms, kind, side, price, size, after in zip(*columns, following, strict=True):
        if kind == TRADE:
            continue
        if kind != DELTA and evt != before:
            ladders = (_Ladder(), _Ladder())
        before = evt
        if kind != EMPTY:
            ladders[side].add(price, size)
        if evt == after:
            continue
        bid, ask = ladders[0].best, FULL - ladders[1].best
        if not bid or ask == FULL or bid >= ask:
            continue
        mid = bid + ask
        if mid == last and times and recv_ms - times[-1] < quiet_ms:
            continue
        last = mid
        times.append(recv_ms)
        values.append(mid / (2 * FULL))
    if not times:
        return None
    return _last_of_each(np.array(times, dtype=np.int64) * NS_PER_MS, np.array(values))
