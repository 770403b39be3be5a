"""Folds `signals` of one partition into windows and says, a window at a time, who leads in each pair.

Decides which two series are compared, which window a tick belongs to, when a window is closed, and when advice is given: a window
names a leader when bars or ticks name it and neither names the other, and advice is the name that at least three of the last four
windows give. Time is the stream time of the signals; a window [end - length, end) is closed by the first Watermark at or after its
end, which proves that nothing earlier can come. Must never read a clock: the same signals give the same records.

Compared are the legs of every pair that was quoted, every two instruments of different venues in a small group, and references with
the instruments that the settings name for them. While a book is not valid or not fresh its price is unknown: what it did meanwhile
is no return of that moment, so the series goes on at the level it had.
"""

import hashlib
from array import array
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from processors.leadlag.statistics import Lead, Ticks, bar_lead, hy_lead, lag_grid
from schemas.records import EdgeUpdate, LeadLag, Record, ReferenceTop, TopOfBook, Watermark

NS_PER_MS: Final = 1_000_000
#: Advice needs the same name from this many of the last windows (seed 004).
VOTES_MIN: Final = 3
VOTES_OF: Final = 4
#: All pairs of venues are compared in groups with at most this many of them; in larger ones only those that were quoted.
GROUP_PAIRS_MAX: Final = 6
#: Lags of bars reach this far, and never beyond a quarter of the window.
BAR_LAGS_MAX: Final = 12
#: Hex digits of the log's id that an id begins with, as in an intent's.
LOG_ID_DIGITS: Final = 12
PPM: Final = 1_000_000
RATIO_MAX: Final = 1_000_000.0


class WindowTerms(NamedTuple):
    """Lengths in ns; `references` maps a reference id to the beginning of the instrument ids it is compared with."""

    window_ns: int
    stride_ns: int
    bar_ns: int
    hy_lag_max_ns: int
    hy_step_ns: int
    references: Mapping[str, str]

    @property
    def history_ns(self) -> int:
        """How much stream time the next window's advice rests on."""
        return self.window_ns + VOTES_OF * self.stride_ns

    @property
    def bar_lag_max_ns(self) -> int:
        """Largest lag of bars."""
        return min(BAR_LAGS_MAX, self.window_ns // self.bar_ns // 4) * self.bar_ns


class Mids:
    """The mid of one instrument or reference as ticks, in YES terms; gaps are closed at the level they began at."""

    __slots__ = ("_level", "_times", "_unknown", "_values", "ts_first_ns")

    def __init__(self) -> None:
        self._times = array("q")
        self._values = array("d")
        self._level = 0.0
        self._unknown = True
        self.ts_first_ns: int | None = None

    def take(self, top: TopOfBook | ReferenceTop) -> None:
        """Add a top; one that cannot be relied on begins a gap."""
        bid, ask = top.bid_price_micros, top.ask_price_micros
        if not (top.valid and top.fresh) or bid is None or ask is None:
            self._unknown = True
            return
        mid = (bid + ask) / 2
        if self._unknown and self._values:
            self._level = self._values[-1] - mid
        self._unknown = False
        if self._times and self._times[-1] == top.ts_ns:
            self._values[-1] = mid + self._level
            return
        if self.ts_first_ns is None:
            self.ts_first_ns = top.ts_ns
        self._times.append(top.ts_ns)
        self._values.append(mid + self._level)

    def ticks(self) -> Ticks:
        """Copies of what is kept."""
        return Ticks(np.array(self._times, dtype=np.int64), np.array(self._values, dtype=np.float64))

    def touched_since(self, ts_ns: int) -> bool:
        """Whether a tick came at or after that time."""
        return bool(self._times) and self._times[-1] >= ts_ns

    def forget_before(self, ts_ns: int) -> None:
        """Drop what no later window needs; the last tick before that time stays."""
        keep = (
            int(np.searchsorted(np.frombuffer(self._times, dtype=np.int64), ts_ns, "right")) - 1 if self._times else 0
        )
        if keep > 0:
            self._times = self._times[keep:]
            self._values = self._values[keep:]


class Pair(NamedTuple):
    """Two names that are compared, in their order, and the group that they stand in."""

    group: str
    a: str
    b: str


class Sieve:
    """Which records of one partition of `signals` the fold needs, told by their kinds in order, before anything is decoded.

    Most are words of edges, and of those only the first after a top says anything here: which two instruments a pair has. Those that
    follow without a top between are of the same event, and each pair is the first one in another. Everything that is not
    of a known kind is needed, so that it is looked at and said.
    """

    def __init__(self) -> None:
        self._tops = True  # where a reader begins, a quote may be the first after a top

    def needs(self, kind: str) -> bool:
        """Whether the next record, of this kind, must be folded."""
        match kind:
            case "TopOfBook" | "ReferenceTop":
                self._tops = True
                return True
            case "EdgeUpdate":
                needed, self._tops = self._tops, False
                return needed
            case "EdgeStatistics":
                return False
            case _:
                return True


class Seen:
    """The mids of everything that `signals` of one partition named, and what is to be compared."""

    def __init__(self, references: Mapping[str, str]) -> None:
        self._references = references
        self.mids: dict[str, Mids] = {}
        self._groups: dict[str, dict[str, None]] = {}
        self._quoted: dict[Pair, None] = {}

    def take(self, key: str, record: Record) -> None:
        """Fold a record with its key: the group, or a reference's id; empty for none."""
        if type(record) is TopOfBook:
            self._top(record.instrument_id, record)
            self._groups.setdefault(key, {})[record.instrument_id] = None
        elif type(record) is ReferenceTop:
            self._top(record.reference_id, record)
        elif type(record) is EdgeUpdate:
            self._quoted[_pair(key, record.instrument_a, record.instrument_b)] = None

    def _top(self, name: str, top: TopOfBook | ReferenceTop) -> None:
        mids = self.mids.get(name)
        if mids is None:
            mids = self.mids[name] = Mids()
        mids.take(top)

    def pairs(self) -> list[Pair]:
        """Everything that is to be compared, in the order in which it was first seen."""
        wanted = dict.fromkeys(self._quoted)
        for group, names in self._groups.items():
            listed = list(names)
            across = [
                _pair(group, one, other)
                for number, one in enumerate(listed)
                for other in listed[number + 1 :]
                if one.partition(":")[0] != other.partition(":")[0]
            ]
            if len(across) <= GROUP_PAIRS_MAX:
                wanted |= dict.fromkeys(across)
            for reference, beginning in self._references.items():
                wanted |= dict.fromkeys(_pair(group, reference, name) for name in listed if name.startswith(beginning))
        return [pair for pair in wanted if pair.a in self.mids and pair.b in self.mids]


class Windows:
    """Fold of one partition of `signals`; `take` its records in order."""

    def __init__(self, terms: WindowTerms) -> None:
        self._terms = terms
        self._lags = lag_grid(terms.hy_lag_max_ns, terms.hy_step_ns)
        self._seen = Seen(terms.references)
        self._votes: dict[Pair, tuple[str | None, ...]] = {}
        self._next_end_ns: int | None = None

    def closes(self, record: Record) -> bool:
        """Whether taking this record closes a window, which takes a while."""
        return type(record) is Watermark and self._next_end_ns is not None and record.ts_ns >= self._next_end_ns

    def take(self, key: str, record: Record) -> list[LeadLag]:
        """Fold a record with its key (the group, or a reference's id; empty for none); return what the windows it closes say."""
        if type(record) is Watermark:
            return self._watermark(record)
        self._seen.take(key, record)
        return []

    def _watermark(self, mark: Watermark) -> list[LeadLag]:
        stride, window = self._terms.stride_ns, self._terms.window_ns
        if self._next_end_ns is None:
            self._next_end_ns = (mark.ts_ns // stride + 1) * stride
            return []
        found: list[LeadLag] = []
        while mark.ts_ns >= self._next_end_ns:
            end_ns = self._next_end_ns
            if not any(mids.touched_since(end_ns - window) for mids in self._seen.mids.values()):
                self._next_end_ns = (mark.ts_ns // stride + 1) * stride  # nothing but silence up to here
                break
            start_ns = end_ns - window
            found.extend(
                self._judge(pair, end_ns, mark)
                for pair in self._seen.pairs()
                if self._covers(pair.a, start_ns) and self._covers(pair.b, start_ns)
            )
            self._next_end_ns = end_ns + stride
        for mids in self._seen.mids.values():
            mids.forget_before(self._next_end_ns - window)
        return found

    def _covers(self, name: str, start_ns: int) -> bool:
        """Whether a price was known in the first half of the window and spoke within it."""
        mids = self._seen.mids[name]
        return (
            mids.ts_first_ns is not None
            and mids.ts_first_ns <= start_ns + self._terms.window_ns // 2
            and mids.touched_since(start_ns)
        )

    def _judge(self, pair: Pair, end_ns: int, mark: Watermark) -> LeadLag:
        terms = self._terms
        start_ns = end_ns - terms.window_ns
        lead_lag_id = f"{mark.log_id[:LOG_ID_DIGITS]}-{pair.group}-{pair.a}-{pair.b}-{end_ns}"
        seed = int.from_bytes(hashlib.sha256(lead_lag_id.encode()).digest()[:8])
        a, b = self._seen.mids[pair.a].ticks(), self._seen.mids[pair.b].ticks()
        bars = bar_lead(
            a, b, start_ns=start_ns, end_ns=end_ns, bar_ns=terms.bar_ns, lag_max_ns=terms.bar_lag_max_ns, seed=seed
        )
        hy = hy_lead(a, b, start_ns=start_ns, end_ns=end_ns, lags_ns=self._lags, seed=seed)
        window_leader, hy_leader = _name(bars, pair), _name(hy, pair)
        named = {window_leader, hy_leader} - {None}
        votes = (*self._votes.get(pair, ()), named.pop() if len(named) == 1 else None)[-VOTES_OF:]
        self._votes[pair] = votes
        leading = max((pair.a, pair.b), key=votes.count)
        count = votes.count(leading)
        return LeadLag(
            lead_lag_id=lead_lag_id,
            ts_ns=mark.ts_ns,
            log_id=mark.log_id,
            partition=mark.partition,
            group=pair.group,
            instrument_a=pair.a,
            instrument_b=pair.b,
            ts_window_start_ns=start_ns,
            ts_window_end_ns=end_ns,
            bar_ns=terms.bar_ns,
            bars=0 if bars is None else bars.observations,
            lag_ns=None if bars is None else bars.lag_ns,
            correlation_ppm=None if bars is None else round(bars.correlation * PPM),
            correlation_placebo_ppm=None if bars is None else round(bars.placebo * PPM),
            window_leader=window_leader,
            hy_lag_ns=None if hy is None else hy.lag_ns,
            hy_correlation_ppm=None if hy is None else round(hy.correlation * PPM),
            hy_ratio_ppm=None if hy is None else round(min(hy.ratio, RATIO_MAX) * PPM),
            hy_correlation_placebo_ppm=None if hy is None else round(hy.placebo * PPM),
            hy_leader=hy_leader,
            votes=count,
            leader=leading if count >= VOTES_MIN else None,
        )


def _pair(group: str, one: str, other: str) -> Pair:
    return Pair(group, min(one, other), max(one, other))


def _name(lead: Lead | None, pair: Pair) -> str | None:
    if lead is None or not lead.leader:
        return None
    return pair.a if lead.leader > 0 else pair.b
