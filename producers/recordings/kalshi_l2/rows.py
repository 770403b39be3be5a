"""Rows of Kalshi's recorded books before they mean anything: each of them once, and each at a time that can be believed.

Decides which rows of a batch can be replayed already, which of them came before, which stand hours off, and the stamp of each. What it
finds must never depend on how many rows are read together: a row is held back until whatever it takes its time from was read.
"""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import numpy as np

from producers.recordings.columns import (
    BATCH_ROWS,
    NULL,
    Column,
    Columns,
    Layout,
    effective,
    inside_window,
    kept,
    known_stamps,
)
from producers.recordings.frame import MS_NS, ImportReport
from producers.recordings.kalshi_l2.markets import Market
from producers.recordings.repeats import CONTRADICTING, REPEATED, Repeats, fingerprints

INTEGERS: Final = ("evt", "recv_ms", "ts_ms", "sid", "seq", "kind", "side", "price_1e4", "size_1e2", "taker")
LAYOUT: Final = Layout(INTEGERS, ("market",), (("recv_ms", "ms"), ("ts_ms", "ms")))
SNAPSHOT, DELTA, TRADE, EMPTY = range(4)
#: A run of snapshots longer than this is cut, so that memory stays bounded whatever a file holds.
CARRY_MAX: Final = 8 * BATCH_ROWS


class Style(NamedTuple):
    """What the two recordings differ in.

    `by_session`: a value of `sid` is one recording session, in which `seq` of a market has no gaps. Otherwise `seq` is shared with
    markets that were not kept, so that only steps back say something, and `sid` tells books from trades.
    """

    name: str
    clock: Literal["recv_ms", "ts_ms"]
    by_session: bool
    spot: bool


class _Seen:
    """Rows of one market (and session) that came so far; `evt` and `kind` of the last one."""

    __slots__ = ("evt", "kind", "market", "repeats")

    def __init__(self, market: Market) -> None:
        self.market = market
        self.repeats = Repeats()
        self.evt = self.kind = NULL


class Rows:
    """The rows of one pass."""

    def __init__(self, style: Style, report: ImportReport) -> None:
        self._style = style
        self._report = report
        self._seen: dict[tuple[int, int], _Seen] = {}

    def once(self, key: tuple[int, int], market: Market, columns: Columns) -> Columns:
        """Rows that have a number and did not come before. One that contradicts an earlier one leaves its book in doubt."""
        report = self._report
        named = columns["evt"] != NULL
        report.drop("row without a number", int((~named).sum()))
        columns = kept(columns, named)
        evt, kind = columns["evt"], columns["kind"]
        if not len(evt):
            return columns
        if key not in self._seen:
            self._seen = {one: seen for one, seen in self._seen.items() if not seen.market.over}
            self._seen[key] = _Seen(market)
        seen = self._seen[key]
        before = np.append(seen.evt, evt[:-1]), np.append(seen.kind, kind[:-1])
        follows = (kind == SNAPSHOT) & (evt == before[0]) & (before[1] == SNAPSHOT)
        seen.evt, seen.kind = int(evt[-1]), int(kind[-1])
        judged = seen.repeats.judge(evt, fingerprints(columns, INTEGERS), follows)
        if judged is None:
            return columns
        wrong = judged.contradicting
        report.drop(REPEATED, int(judged.repeated.sum()))
        report.drop(CONTRADICTING, int(wrong.sum()))
        good = ~(judged.repeated | wrong)
        # The first kept row behind one that contradicts finds the book in doubt, whatever batch it stands in.
        doubts = np.cumsum(wrong)
        columns = kept(columns, good) | {"doubt": (np.diff(doubts[good], prepend=0) > 0).astype(np.int64)}
        market.doubt |= int(doubts[-1]) > (int(doubts[good][-1]) if good.any() else 0)
        return columns

    def timely(self, market: Market, columns: Columns) -> tuple[Columns, Column]:
        """Rows with their stamps, ns, without those that lie hours off the market's window."""
        if not len(columns["kind"]):
            return columns, np.zeros(0, dtype=np.int64)
        facts = market.facts
        window_ns = facts.ts_open_ns, facts.ts_close_ns
        stamps, astray = inside_window(self._times(columns), columns, LAYOUT, ("recv_ms", "ts_ms"), window_ns)
        if astray.any():
            self._report.drop("stamp hours off its market", int(astray.sum()))
            columns, stamps = kept(columns, ~astray), stamps[~astray]
        return columns, stamps

    def _times(self, columns: Columns) -> Column:
        """Stamps of rows, ns, 0 where there is none.

        A snapshot without one is not later than the next row that has one, nor than when it was received.
        """
        clock = self._style.clock
        stamps = effective(columns, LAYOUT, clock, "ts_ms" if clock == "recv_ms" else "recv_ms")
        own, received = (known_stamps(columns, LAYOUT, name) for name in (clock, "recv_ms"))
        never = sum(
            int(((columns[name] != NULL) & (known_stamps(columns, LAYOUT, name) == NULL)).sum())
            for name, _ in LAYOUT.units
        )
        self._report.notice("stamps that are no moment", never)
        self._report.notice("clocks ten minutes apart, the earlier counts", int((stamps < own).sum()))
        late = (own == NULL) & ((columns["kind"] == SNAPSHOT) | (columns["kind"] == EMPTY))
        if late.any():
            rows = len(stamps)
            known = own != NULL
            following = np.minimum.accumulate(np.where(known, np.arange(rows), rows)[::-1])[::-1]
            later = np.where(following < rows, stamps[np.minimum(following, rows - 1)], received)
            stamps = np.where(late, np.where(received == NULL, later, np.minimum(received, later)), stamps)
        return np.asarray(np.where(stamps == NULL, 0, stamps) * MS_NS, dtype=np.int64)


def settled(columns: Columns, clock: str) -> Iterator[int]:
    """Ends of stretches that can be replayed.

    A snapshot at the end of a batch may go on in the next, and takes the stamp of a row behind it, so it waits for a row of another
    kind that has a stamp; but never for more than CARRY_MAX rows.
    """
    kind = columns["kind"]
    plain = (kind != SNAPSHOT) & (kind != EMPTY) & (known_stamps(columns, LAYOUT, clock) != NULL)
    ends = np.flatnonzero(plain) + 1
    starts, stops = np.append(0, ends), np.append(ends, len(kind))
    long = stops - starts > CARRY_MAX
    at = 0
    for start, stop in zip(starts[long].tolist(), stops[long].tolist(), strict=True):
        yield start
        at = start
        while stop - at > CARRY_MAX:
            at += CARRY_MAX
            yield at
    if len(ends) and ends[-1] > at:
        yield int(ends[-1])
