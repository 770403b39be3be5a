"""The recorded time of an import: what feeds say of themselves, and what happens at a time rather than in a row.

Decides when a heartbeat, a hole, a listing's end or a payout stands between two rows. Every feed says each 500 ms of recorded time
that it lives. A hole is said as one: the feed is down one heartbeat after its last row, and live again, in a new session,
at its next; in between it speaks only as long as something is still to come (a close, a payout), so that time goes on for
it. It must never read a clock, and never let a record overtake one with an earlier stamp.

A fold believes a jump of time only from two feeds. A recording of one feed therefore brings a witness, the feed `recording`,
which says nothing but the time, where a hole ends.
"""

import heapq
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from crossbook.domain.names import KALSHI
from producers.recordings.frame import STATUS_NS, TAIL_NS, Placed, everywhere
from schemas.records import FeedState, FeedStatus, ReferenceStatus, Venue

WITNESS: Final = "recording"
#: A silence longer than this, in a stream that nothing proves unbroken, is a hole.
HOLE_NS: Final = 10 * 1_000_000_000
#: A jump of time above this wants a witness; well below the windows within which folds follow without one.
WITNESS_NS: Final = 2 * STATUS_NS
FOREVER: Final = 2**63 - 1

Task: TypeAlias = Callable[[int], Iterator[Placed]]


class Voice:
    """A feed as it speaks of itself; `venue` is None for a reference. `data_ns` is the stamp of its newest row."""

    __slots__ = ("data_ns", "name", "said_ns", "session", "state", "turn", "venue")

    def __init__(self, name: str, venue: Venue | None) -> None:
        self.name = name
        self.venue = venue
        self.session = -1
        self.state: FeedState = "down"
        self.data_ns: int | None = None
        self.said_ns = 0
        self.turn = 0  # counts changes of state, so that a heartbeat of an earlier one ends


class Timeline:
    """Heartbeats and appointments of one log. `due_ns` is when the next is due: rows at or after it come after `until`."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._heap: list[tuple[int, int, Task]] = []
        self._count = 0
        self._pending = 0
        self.now_ns = 0
        self.due_ns = FOREVER
        self.voices: list[Voice] = []

    def voice(self, name: str, venue: Venue | None) -> Voice:
        """A new feed, silent until `resume`."""
        voice = Voice(name, venue)
        self.voices.append(voice)
        return voice

    def until(self, ts_ns: int) -> Iterator[Placed]:
        """Everything that is due up to and with a time."""
        yield from self._drain(ts_ns)
        self.now_ns = max(self.now_ns, ts_ns)

    def _drain(self, ts_ns: int) -> Iterator[Placed]:
        heap = self._heap
        while heap and heap[0][0] <= ts_ns:
            at_ns, _, task = heapq.heappop(heap)
            self.now_ns = max(self.now_ns, at_ns)
            yield from task(self.now_ns)
        self.due_ns = heap[0][0] if heap else FOREVER

    def at(self, ts_ns: int, task: Task) -> None:
        """Do something at a time; never earlier than what was done."""
        self._count += 1
        heapq.heappush(self._heap, (max(ts_ns, self.now_ns), self._count, task))
        self.due_ns = self._heap[0][0]

    def appoint(self, ts_ns: int, task: Task) -> None:
        """The same for what must come even if rows end before: time goes on for it, in a hole and at the end."""

        def kept(at_ns: int) -> Iterator[Placed]:
            self._pending -= 1
            yield from task(at_ns)

        self._pending += 1
        self.at(ts_ns, kept)

    # -- feeds

    def resume(self, voice: Voice, ts_ns: int) -> Iterator[Placed]:
        """The feed lives, in a new session, from a time on; everything due comes first."""
        yield from self.until(ts_ns)
        begun = any(one.said_ns for one in self.voices)
        if begun and ts_ns - voice.said_ns > WITNESS_NS:
            yield from self._witness(ts_ns)
        voice.session = max(voice.session + 1, ts_ns)
        yield from self._turn(voice, "live", "", ts_ns)

    def hole(self, voice: Voice, last_ns: int, ts_ns: int, reason: str) -> Iterator[Placed]:
        """The feed had no rows from `last_ns` to `ts_ns`: down in between, live at its end."""
        yield from self.pause(voice, min(last_ns + STATUS_NS, ts_ns), reason)
        yield from self.resume(voice, ts_ns)

    def pause(self, voice: Voice, ts_ns: int, reason: str) -> Iterator[Placed]:
        """The feed is down from a time on."""
        yield from self.until(ts_ns)
        yield from self._turn(voice, "down", reason, ts_ns)

    def end(self, last_ns: int) -> Iterator[Placed]:
        """The rows of the main feeds are over: down, then, once nothing is to come, ended."""
        self.appoint(last_ns + TAIL_NS, lambda _: iter(()))
        for voice in self.voices:
            if voice.venue is not None and voice.state == "live":
                yield from self.pause(voice, last_ns + STATUS_NS, "the recording is over")
        yield from self._drain(FOREVER)
        end_ns = self.now_ns
        for voice in self.voices:
            if voice.session >= 0:
                voice.state = "ended"
                yield from self._say(voice, "the recording is over", end_ns)

    def _turn(self, voice: Voice, state: FeedState, reason: str, ts_ns: int) -> Iterator[Placed]:
        voice.state = state
        voice.turn += 1
        yield from self._say(voice, reason, ts_ns)
        if state == "live" or voice.venue is not None:
            self._beat_next(voice, reason, ts_ns)

    def _beat_next(self, voice: Voice, reason: str, ts_ns: int) -> None:
        turn = voice.turn

        def beat(at_ns: int) -> Iterator[Placed]:
            if voice.turn != turn or (voice.state != "live" and not self._pending):
                return
            yield from self._say(voice, reason, at_ns)
            self._beat_next(voice, reason, at_ns)

        self.at(ts_ns + STATUS_NS, beat)

    def _say(self, voice: Voice, reason: str, ts_ns: int) -> Iterator[Placed]:
        voice.said_ns = ts_ns
        if voice.venue is None:
            reference = ReferenceStatus(
                ts_received_ns=ts_ns,
                feed=voice.name,
                session=voice.session,
                state=voice.state,
                reason=reason,
                ts_data_ns=voice.data_ns,
            )
            return everywhere(reference, self._partitions, ts_ns)
        return everywhere(_status(voice, voice.state, reason, (), ts_ns), self._partitions, ts_ns)

    def _witness(self, ts_ns: int) -> Iterator[Placed]:
        venue: Venue = next((voice.venue for voice in self.voices if voice.venue is not None), KALSHI)
        witness = FeedStatus(
            ts_received_ns=ts_ns,
            feed=WITNESS,
            venue=venue,
            session=0,
            state="live",
            reason="a hole ends: the recording itself says the time",
            instruments=(),
        )
        return everywhere(witness, self._partitions, ts_ns)


def resync(voice: Voice, instrument_id: str, reason: str, ts_ns: int) -> FeedStatus:
    """The book of an instrument is not to be trusted until its next snapshot."""
    return _status(voice, "resync", reason, (instrument_id,), ts_ns)


def _status(voice: Voice, state: FeedState, reason: str, instruments: tuple[str, ...], ts_ns: int) -> FeedStatus:
    assert voice.venue is not None, f"feed {voice.name} is a reference: it holds no book"
    return FeedStatus(
        ts_received_ns=ts_ns,
        feed=voice.name,
        venue=voice.venue,
        session=voice.session,
        state=state,
        reason=reason,
        instruments=instruments,
        ts_data_ns=voice.data_ns,
    )
