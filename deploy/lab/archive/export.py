"""Book events of one instrument in the formats of other backtesters: hftbacktest (npz) and NautilusTrader (its catalogue).

Decides how our events are said in their words. Both expect times that never step back and a local time that is not before the
venue's; a stamp that is, is raised to the largest before it. Must never invent a level or a trade. Prices and sizes leave as
floats, for theirs are; nothing comes back.
"""

import importlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossbook.log.archive.errors import ExportError
from crossbook.log.archive.manifest import OFFSET
from crossbook.log.archive.read import ArchiveLog
from schemas.records import InstrumentListed

#: Event kinds and flags of hftbacktest (documented with its `event_dtype`).
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
EXCHANGE, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
EVENT_DTYPE: Final = np.dtype(
    [
        ("ev", "<u8"),
        ("exch_ts", "<i8"),
        ("local_ts", "<i8"),
        ("px", "<f8"),
        ("qty", "<f8"),
        ("order_id", "<u8"),
        ("ival", "<i8"),
        ("fval", "<f8"),
    ],
    align=True,
)
MICROS: Final = 1e6
_COMMON: Final = ("ts_received_ns", "ts_venue_ns", "instrument_id")
_LEVELS: Final = ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes")
#: Of a price or size of ours.
_PRECISION: Final = 6


class _Levels(NamedTuple):
    """Rows of one kind, in no order yet: `order` is partition, offset and place within the record."""

    order: Any
    kind: NDArray[np.uint64]
    venue_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    price: NDArray[np.int64]
    size: NDArray[np.int64]


class BookEvents(NamedTuple):
    """One level, trade or clearing a row, in order of time; prices and sizes micros; `kind` in hftbacktest's flags."""

    kind: NDArray[np.uint64]
    venue_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    price_micros: NDArray[np.int64]
    size_micros: NDArray[np.int64]
    #: Number of the record that a row comes from.
    record: NDArray[np.int64]


def book_events(log: ArchiveLog, instrument_id: str) -> BookEvents:
    """Snapshots (a clearing, then its levels), deltas and trades of an instrument, over all partitions of `market`.

    Raises ExportError when there are none.
    """
    found: list[_Levels] = []
    for partition in range(log.partitions):
        for record in ("BookSnapshot", "BookDelta"):
            for batch in log.columns("market", partition, record, names=[*_COMMON, *_LEVELS]):
                found += _book_rows(_of_instrument(batch, instrument_id), partition, snapshot=record == "BookSnapshot")
        names = [*_COMMON, "price_micros", "quantity_micros", "taker_side"]
        for batch in log.columns("market", partition, "PublicTrade", names=names):
            found += _trade_rows(_of_instrument(batch, instrument_id), partition)
    if not found:
        raise ExportError(
            f"{log.folder} holds no book event of {instrument_id!r}; instruments are: {_some_instruments(log)}"
        )
    order = np.concatenate([one.order for one in found])
    rows = np.lexsort(order.T[::-1])
    order = order[rows]
    received = np.concatenate([one.received_ns for one in found])[rows]
    for partition in np.unique(order[:, 0]):  # the log's order is that of its offsets, whatever the stamps say
        here = order[:, 0] == partition
        received[here] = np.maximum.accumulate(received[here])
    by_time = np.argsort(received, kind="stable")
    rows, order, received = rows[by_time], order[by_time], received[by_time]
    together = {
        name: np.concatenate([getattr(one, name) for one in found])[rows]
        for name in ("kind", "venue_ns", "price", "size")
    }
    changed = np.any(order[1:, :2] != order[:-1, :2], axis=1)
    return BookEvents(
        kind=together["kind"],
        venue_ns=np.maximum.accumulate(np.minimum(together["venue_ns"], received)),
        received_ns=received,
        price_micros=together["price"],
        size_micros=together["size"],
        record=np.concatenate([[0], np.cumsum(changed)]),
    )


def export_hftbacktest(log: ArchiveLog, instrument_id: str, path: Path) -> int:
    """Write an instrument's events as `data` of an npz file; return how many. Raises ExportError when there are none."""
    events = book_events(log, instrument_id)
    data = np.zeros(events.kind.size, EVENT_DTYPE)
    data["ev"] = events.kind | np.uint64(EXCHANGE | LOCAL)
    data["exch_ts"], data["local_ts"] = events.venue_ns, events.received_ns
    data["px"], data["qty"] = events.price_micros / MICROS, events.size_micros / MICROS
    with path.open("wb") as file:
        np.savez_compressed(file, data=data)
    return int(data.size)


def export_nautilus(log: ArchiveLog, instrument_id: str, path: Path) -> int:
    """Write an instrument's book as OrderBookDelta of a BinaryOption into a ParquetDataCatalog; return how many deltas.

    Raises ExportError when nautilus_trader is not installed, or there is no event or listing of the instrument.
    """
    data, enums, objects = _nautilus("model.data"), _nautilus("model.enums"), _nautilus("model.objects")
    events = book_events(log, instrument_id)
    instrument = _binary_option(_listing(log, instrument_id))
    books = events.kind & np.uint64(7) != TRADE
    kinds, prices = events.kind[books].tolist(), events.price_micros[books].tolist()
    sizes, records = events.size_micros[books].tolist(), events.record[books].tolist()
    lasts = [a != b for a, b in pairwise(records)] + [True]
    venue, received = events.venue_ns[books].tolist(), events.received_ns[books].tolist()
    actions = {True: enums.BookAction.UPDATE, False: enums.BookAction.DELETE}
    deltas: list[Any] = []
    for kind, price, size, number, last, ts_event, ts_init in zip(
        kinds, prices, sizes, records, lasts, venue, received, strict=True
    ):
        flags = enums.RecordFlag.F_LAST if last else 0
        if kind & 7 == CLEAR:
            action, order = enums.BookAction.CLEAR, None
        else:
            action = actions[bool(size)] if kind & 7 == DEPTH else enums.BookAction.ADD
            order = data.BookOrder(
                side=enums.OrderSide.BUY if kind & BUY else enums.OrderSide.SELL,
                price=objects.Price(price / MICROS, precision=_PRECISION),
                size=objects.Quantity(size / MICROS, precision=_PRECISION),
                order_id=0,
            )
        deltas.append(data.OrderBookDelta(instrument.id, action, order, flags, number, ts_event, ts_init))
    catalog = _nautilus("persistence.catalog").ParquetDataCatalog(str(path))
    catalog.write_data([instrument])
    catalog.write_data(deltas)
    return len(deltas)


def _nautilus(module: str) -> Any:
    """A module of theirs; whoever does not export to it need not have it."""
    try:
        return importlib.import_module(f"nautilus_trader.{module}")
    except ImportError as error:
        raise ExportError(
            f"nautilus_trader cannot be used here ({error}); export from an environment that has it, or export hftbacktest"
        ) from error


def _binary_option(listed: InstrumentListed) -> Any:
    identifiers, objects = _nautilus("model.identifiers"), _nautilus("model.objects")
    symbol = identifiers.Symbol(listed.symbol)
    # One precision for all prices and sizes: a grid may change in life, ours are micros.
    return _nautilus("model.instruments").BinaryOption(
        instrument_id=identifiers.InstrumentId(symbol, identifiers.Venue(listed.venue.upper())),
        raw_symbol=symbol,
        asset_class=_nautilus("model.enums").AssetClass.ALTERNATIVE,
        currency=_nautilus("model.currencies").USD,
        price_precision=_PRECISION,
        size_precision=_PRECISION,
        price_increment=objects.Price(1 / MICROS, precision=_PRECISION),
        size_increment=objects.Quantity(1 / MICROS, precision=_PRECISION),
        activation_ns=0,
        expiration_ns=listed.ts_close_ns or 0,
        ts_event=listed.ts_received_ns,
        ts_init=listed.ts_received_ns,
        outcome="Yes",
        description=listed.title or listed.symbol,
    )


def _of_instrument(batch: Any, instrument_id: str) -> Any:
    return batch.filter(pc.equal(batch.column("instrument_id").cast(pa.string()), instrument_id))


def _stamps(batch: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Venue's (ours where it gave none) and received times."""
    received = batch.column("ts_received_ns").to_numpy()
    venue = batch.column("ts_venue_ns")
    return np.where(venue.is_valid().to_numpy(zero_copy_only=False), venue.fill_null(0).to_numpy(), received), received


def _book_rows(batch: Any, partition: int, *, snapshot: bool) -> list[_Levels]:
    if not batch.num_rows:
        return []
    venue, received = _stamps(batch)
    offsets = batch.column(OFFSET).to_numpy()
    every = np.arange(batch.num_rows)
    found: list[_Levels] = []
    if snapshot:
        nothing = np.zeros(every.size, np.int64)
        found.append(_levels(offsets, partition, nothing, CLEAR, venue, received, nothing, nothing))
    for side, flag, first in (("bid", BUY, 1), ("ask", SELL, 1 << 20)):
        prices, sizes = batch.column(f"{side}_prices"), batch.column(f"{side}_sizes")
        counts = np.diff(prices.offsets.to_numpy())
        if not np.array_equal(counts, np.diff(sizes.offsets.to_numpy())):
            raise ExportError("a book event has more prices than sizes; it cannot be exported")
        rows = np.repeat(every, counts)
        within = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts) + first
        kind = (SNAPSHOT if snapshot else DEPTH) | flag
        flat = prices.flatten().to_numpy(), sizes.flatten().to_numpy()
        found.append(_levels(offsets[rows], partition, within, kind, venue[rows], received[rows], *flat))
    return found


def _trade_rows(batch: Any, partition: int) -> list[_Levels]:
    if not batch.num_rows:
        return []
    venue, received = _stamps(batch)
    bought = pc.equal(batch.column("taker_side").cast(pa.string()), "buy").to_numpy(zero_copy_only=False)
    kind = np.where(bought, TRADE | BUY, TRADE | SELL).astype(np.uint64)
    prices, sizes = batch.column("price_micros").to_numpy(), batch.column("quantity_micros").to_numpy()
    nothing = np.zeros(batch.num_rows, np.int64)
    offsets = batch.column(OFFSET).to_numpy()
    return [_levels(offsets, partition, nothing, kind, venue, received, prices, sizes)]


def _levels(
    offsets: NDArray[np.int64],
    partition: int,
    within: NDArray[np.int64],
    kind: int | NDArray[np.uint64],
    venue: NDArray[np.int64],
    received: NDArray[np.int64],
    prices: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> _Levels:
    order = np.stack([np.full(offsets.size, partition), offsets, within], axis=1)
    kinds = np.full(offsets.size, kind, np.uint64) if isinstance(kind, int) else kind
    return _Levels(order, kinds, venue, received, prices, sizes)


def _listing(log: ArchiveLog, instrument_id: str) -> InstrumentListed:
    for partition in range(log.partitions):
        for batch in log.columns("market", partition, "InstrumentListed", names=["instrument_id"]):
            rows = _of_instrument(batch, instrument_id)
            if rows.num_rows:
                offset = rows.column(OFFSET)[rows.num_rows - 1].as_py()
                for _, record in log.records("market", partition, offset, offset + 1):
                    if isinstance(record, InstrumentListed):
                        return record
    raise ExportError(f"{log.folder} holds no InstrumentListed of {instrument_id!r}; archive `market` from its head")


def _some_instruments(log: ArchiveLog, most: int = 5) -> str:
    names: set[str] = set()
    for partition in range(log.partitions):
        for record in ("InstrumentListed", "BookSnapshot"):
            for batch in log.columns("market", partition, record, names=["instrument_id"]):
                names.update(batch.column("instrument_id").dictionary.to_pylist())
    shown: Sequence[str] = sorted(names)[:most]
    return (", ".join(shown) + (", …" if len(names) > most else "")) or "none"
