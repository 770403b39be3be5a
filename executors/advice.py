"""What lead-lag says of the two legs of an intent, at the moment that the intent is acted on.

Decides which advice counts: the newest about exactly these two instruments that was given by the stream time reached and is not too
old; if that one names no leader, there is none. Must never use what was said after "now", and never read a clock. What was
used is journaled with the intent, so nobody has to find it out again.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from schemas.records import LeadLag

#: A stage that reads faster than the lane folds (a replay) runs ahead by windows; one window is said every minute or so.
_KEPT: Final = 64


class Advice(NamedTuple):
    """An instrument that moves first, and the id of who said so."""

    leader: str
    advice_id: str


class AdviceBook:
    """Advice by pair of instruments. `age_max_ns` 0: none is used."""

    def __init__(self, age_max_ns: int) -> None:
        self._age_max_ns = age_max_ns
        self._said: dict[frozenset[str], deque[LeadLag]] = {}

    def put(self, record: LeadLag) -> None:
        """Take what was said of a window. It may be said again, and come after a later one: windows are kept in their order."""
        said = self._said.setdefault(frozenset((record.instrument_a, record.instrument_b)), deque(maxlen=_KEPT))
        if not said or record.ts_window_end_ns > said[-1].ts_window_end_ns:
            said.append(record)

    def about(self, instruments: Iterable[str], now_ns: int) -> Advice | None:
        """The advice on two instruments at a stream time, or None; there is none on another number of them."""
        pair = frozenset(instruments)
        for record in reversed(self._said.get(pair, ())):
            if max(record.ts_ns, record.ts_window_end_ns) <= now_ns:
                if record.leader not in pair:
                    return None
                if now_ns - record.ts_window_end_ns > self._age_max_ns:
                    return None
                return Advice(record.leader, record.lead_lag_id)
        return None
