"""What all sans-I/O protocols share: their outputs, and, for the venues', the books they mirror and how a book is failed closed.

A protocol turns frames and stamps into canonical records and commands; the shell around it does what the commands say. It
owns session, sequence numbers, gaps and resyncs. It must never touch a socket, a clock or a log, and `receive` must never
raise: what it cannot use leaves as a DeadLetter, and the instrument that it may have concerned is invalid until a fresh
snapshot.
"""

from abc import ABC, abstractmethod
from collections import Counter, deque
from dataclasses import dataclass
from statistics import median_low
from typing import Any, TypeAlias

import msgspec

from crossbook.domain.dead_letters import dead_letter
from crossbook.domain.grid import PriceGrid
from producers.errors import WireDriftError
from producers.mirror import BookMirror
from schemas.records import BookDelta, BookSnapshot, DeadLetter, FeedState, FeedStatus, InstrumentListed, Record, Venue

STAGE = "producers"
SECOND_NS = 1_000_000_000
#: An invalid book is asked for again after this, doubling up to the maximum.
RETRY_FIRST_NS = SECOND_NS
RETRY_MAX_NS = 30 * SECOND_NS
#: A venue stamp further ahead than this is no stamp: adopting it would void every later event.
AHEAD_MAX_NS = 3_600 * SECOND_NS
STAMP_DIGITS_MAX = 15
OFFSET_SAMPLES = 101


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchBook:
    """Command: read this instrument's book by REST and hand it to `rest_book`."""

    instrument_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """Command: close this connection and open another."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmSettlement:
    """Command: the socket says that the market resolved; ask the catalogue before anyone believes it."""

    instrument_id: str


Command: TypeAlias = FetchBook | Reconnect | ConfirmSettlement
Output: TypeAlias = Record | Command


class Followed:
    """One instrument of a feed and where its book stands."""

    __slots__ = (
        "ask_again_ns",
        "grid",
        "level_stamps",
        "listed",
        "mirror",
        "reason",
        "retry_ns",
        "sequence",
        "snapshot_venue_ns",
        "suspect_since_ns",
        "ts_event_ns",
        "ts_venue_ns",
        "valid",
    )

    def __init__(self, listed: InstrumentListed) -> None:
        self.listed = listed
        self.grid = PriceGrid.from_ranges(listed.grid)
        self.mirror = BookMirror()
        self.level_stamps: dict[tuple[bool, int], int] = {}
        self.reset("not yet seen")

    def reset(self, reason: str) -> None:
        """Start over, as on a new connection."""
        self.valid = False
        self.reason = reason
        self.sequence = 0
        self.ts_venue_ns = 0
        self.snapshot_venue_ns = 0
        self.ts_event_ns = 0
        self.suspect_since_ns = 0  # 0: not suspect
        self.ask_again_ns = 0  # 0: nothing is to be asked
        self.retry_ns = RETRY_FIRST_NS
        self.mirror.clear()
        self.level_stamps.clear()

    @property
    def id(self) -> str:
        """The instrument's id."""
        return self.listed.instrument_id


class SocketProtocol(ABC):
    """Base of what speaks over one socket; one object a feed, fed by its shell in the order of events.

    After every call that returns outputs or takes a frame, the shell must send what `to_send()` returns and do what the
    commands say.
    """

    def __init__(self, feed: str) -> None:
        self.feed = feed
        self.session = 0
        self.connected = False
        self.reason = "not connected"
        self.ts_data_ns: int | None = None
        self.counters: Counter[str] = Counter()
        self._outgoing: list[str] = []
        self._offsets: deque[int] = deque(maxlen=OFFSET_SAMPLES)

    @abstractmethod
    def receive(self, frame: bytes | str, ts_ns: int) -> list[Output]:
        """Take one frame; never raises."""

    @abstractmethod
    def tick(self, ts_ns: int) -> list[Output]:
        """Decide what time alone decides; call it about ten times a second while connected."""

    @abstractmethod
    def connect(self, session: int, ts_ns: int) -> list[Output]:
        """A socket is open: start a session and queue the subscription."""

    @abstractmethod
    def disconnect(self, reason: str, ts_ns: int) -> list[Output]:
        """The socket is gone."""

    @abstractmethod
    def renew(self, session: int, reason: str, ts_ns: int) -> list[Output]:
        """The log missed events: say so, and go on in a new session with the whole state."""

    @abstractmethod
    def status(self, ts_ns: int) -> Record:
        """Health as of now."""

    @property
    def pending(self) -> bool:
        """Whether `to_send` has something."""
        return bool(self._outgoing)

    def to_send(self) -> list[str]:
        """Frames to send now, in this order."""
        queued, self._outgoing = self._outgoing, []
        return queued

    def _note_offset(self, ts_venue_ns: int, ts_ns: int) -> None:
        self._offsets.append(ts_venue_ns - ts_ns)

    def _clock_offset_ns(self) -> int | None:
        return median_low(self._offsets) if self._offsets else None

    def _dead(self, kind: str, error: str, frame: bytes, ts_ns: int) -> DeadLetter:
        self.counters[f"dead.{kind}"] += 1
        return dead_letter(ts_ns=ts_ns, stage=STAGE, source=self.feed, error=f"{kind}: {error}", payload=frame)


class VenueProtocol(SocketProtocol):
    """Base of a venue's protocol: a socket that tells of books."""

    venue: Venue

    def __init__(self, feed: str) -> None:
        super().__init__(feed)
        self.followed: dict[str, Followed] = {}
        self._troubled: dict[str, None] = {}

    # -- what the shell calls

    @abstractmethod
    def rest_book(self, instrument_id: str, body: bytes, ts_ns: int) -> list[Output]:
        """Take a book read by REST because a FetchBook asked for it."""

    @abstractmethod
    def rest_differs(self, instrument_id: str, body: bytes) -> bool | None:
        """Compare a book read by REST with the mirror; None when it says nothing (unusable, older, book invalid)."""

    @abstractmethod
    def distrust(self, instrument_id: str, reason: str, ts_ns: int) -> list[Output]:
        """Fail one book closed and ask for it anew."""

    def connect(self, session: int, ts_ns: int) -> list[Output]:
        """A socket is open: start a session and queue the subscription."""
        assert session > self.session, "sessions of a feed grow"
        self.session = session
        self.connected = True
        self.reason = "connected, no data yet"
        self.ts_data_ns = None
        self._outgoing.clear()
        self._troubled.clear()
        self._offsets.clear()
        for one in self.followed.values():
            one.reset("new session")
        self._subscribe(ts_ns)
        return [self.status(ts_ns)]

    def disconnect(self, reason: str, ts_ns: int) -> list[Output]:
        """The socket is gone: every book is invalid."""
        self.connected = False
        self.reason = reason
        self._outgoing.clear()
        self._troubled.clear()
        for one in self.followed.values():
            one.reset(reason)
        return [self.status(ts_ns)]

    def renew(self, session: int, reason: str, ts_ns: int) -> list[Output]:
        """The log missed events that the mirrors have: say so, and go on in a new session with whole books."""
        outputs: list[Output] = [self._status(ts_ns, "down", reason)]
        self.session = session
        for one in self.followed.values():
            one.sequence = 0
        outputs.append(self.status(ts_ns))
        outputs += [self._snapshot(one, ts_ns, keyframe=False) for one in self.followed.values() if one.valid]
        return outputs

    def follow(self, listed: InstrumentListed, ts_ns: int) -> list[Output]:
        """Follow an instrument, or take its new listing; a new grid invalidates its book."""
        one = self.followed.get(listed.instrument_id)
        if one is None:
            one = self.followed[listed.instrument_id] = Followed(listed)
            self._index(one)
            if self.connected:
                self._subscribe_more([one], ts_ns)
            return []
        grid_before = one.grid
        one.listed = listed
        one.grid = PriceGrid.from_ranges(listed.grid)
        if one.grid != grid_before and self.connected:
            return self.distrust(one.id, "the catalogue gave a new price grid", ts_ns)
        return []

    def unfollow(self, instrument_id: str) -> None:
        """Drop an instrument; what still comes for it is counted as unknown."""
        one = self.followed.pop(instrument_id, None)
        if one is None:
            return
        self._troubled.pop(instrument_id, None)
        self._unindex(one)
        if self.connected:
            self._unsubscribe(one)

    def status(self, ts_ns: int) -> FeedStatus:
        """Health as of now: live once data came on this connection."""
        if self.connected and self.ts_data_ns is not None:
            return self._status(ts_ns, "live", "")
        return self._status(ts_ns, "down", self.reason)

    def keyframe(self, instrument_id: str, ts_ns: int, *, keyframe: bool = True) -> BookSnapshot | None:
        """The book as it stands; None when it is not valid or not followed."""
        one = self.followed.get(instrument_id)
        return self._snapshot(one, ts_ns, keyframe=keyframe) if one is not None and one.valid else None

    # -- what a venue fills in

    @abstractmethod
    def _subscribe(self, ts_ns: int) -> None:
        """Queue the subscription of everything followed."""

    @abstractmethod
    def _subscribe_more(self, ones: list[Followed], ts_ns: int) -> None:
        """Queue the subscription of instruments that joined."""

    @abstractmethod
    def _unsubscribe(self, one: Followed) -> None:
        """Queue the end of a subscription."""

    @abstractmethod
    def _index(self, one: Followed) -> None:
        """Make the instrument findable by the names that frames use."""

    @abstractmethod
    def _unindex(self, one: Followed) -> None:
        """Undo `_index`."""

    # -- shared pieces

    def _data_came(self, ts_ns: int, outputs: list[Output]) -> None:
        """Note a data frame; the first one of a session makes the feed live, and that is said before its events."""
        first = self.ts_data_ns is None
        self.ts_data_ns = ts_ns
        if first:
            self.reason = ""
            outputs.append(self.status(ts_ns))

    def _status(self, ts_ns: int, state: FeedState, reason: str, instruments: tuple[str, ...] = ()) -> FeedStatus:
        return FeedStatus(
            ts_received_ns=ts_ns,
            feed=self.feed,
            venue=self.venue,
            session=self.session,
            state=state,
            reason=reason,
            instruments=instruments,
            ts_data_ns=self.ts_data_ns,
            clock_offset_ns=self._clock_offset_ns(),
        )

    def _snapshot(self, one: Followed, ts_ns: int, *, keyframe: bool) -> BookSnapshot:
        one.sequence += 1
        bid_prices, bid_sizes, ask_prices, ask_sizes = one.mirror.levels()
        return BookSnapshot(
            ts_received_ns=ts_ns,
            ts_venue_ns=one.ts_venue_ns or None,
            instrument_id=one.id,
            feed=self.feed,
            session=self.session,
            sequence=one.sequence,
            delivery="streaming",
            cadence_ms=0,
            keyframe=keyframe,
            bid_prices=bid_prices,
            bid_sizes=bid_sizes,
            ask_prices=ask_prices,
            ask_sizes=ask_sizes,
        )

    def _delta(
        self,
        one: Followed,
        bids: list[tuple[int, int]],
        asks: list[tuple[int, int]],
        ts_venue_ns: int | None,
        ts_ns: int,
    ) -> BookDelta:
        one.sequence += 1
        return BookDelta(
            ts_received_ns=ts_ns,
            ts_venue_ns=ts_venue_ns,
            instrument_id=one.id,
            feed=self.feed,
            session=self.session,
            sequence=one.sequence,
            previous_sequence=one.sequence - 1,
            bid_prices=tuple(price for price, _ in bids),
            bid_sizes=tuple(size for _, size in bids),
            ask_prices=tuple(price for price, _ in asks),
            ask_sizes=tuple(size for _, size in asks),
        )

    def _made_valid(self, one: Followed) -> None:
        one.valid = True
        one.reason = ""
        # The wait is kept and only shortened, so that a book that breaks after every snapshot is not asked for in a storm.
        one.retry_ns = max(RETRY_FIRST_NS, one.retry_ns // 2)
        if not one.suspect_since_ns:
            self._troubled.pop(one.id, None)

    def _fail_closed(self, ones: list[Followed], reason: str, ts_ns: int) -> list[Output]:
        """Invalidate books and say so; books that are invalid already are not said twice."""
        said = [one for one in ones if one.valid]
        for one in ones:
            one.valid = False
            one.reason = reason
            one.suspect_since_ns = 0
            self._troubled[one.id] = None
        if not said:
            return []
        self.counters["resync"] += 1
        return [self._status(ts_ns, "resync", reason, tuple(one.id for one in said))]

    def _due(self, one: Followed, ts_ns: int) -> bool:
        """Whether an invalid book may be asked for now; doubles the wait until the next time."""
        if ts_ns < one.ask_again_ns:
            return False
        one.ask_again_ns = ts_ns + one.retry_ns
        one.retry_ns = min(RETRY_MAX_NS, 2 * one.retry_ns)
        return True


def decode_json(frame: bytes) -> Any:
    """JSON to Python, numbers in exponent form of absurd size and all else that is no JSON refused.

    Raises:
        WireDriftError: it is none.
    """
    try:
        return msgspec.json.decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireDriftError(f"no JSON: {error}") from error


def stamp_ns(text: str, ts_ns: int) -> int:
    """A venue's stamp in ms, as decimal text, in ns.

    Raises:
        WireDriftError: it is no positive whole number, or lies more than an hour ahead of our clock.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > STAMP_DIGITS_MAX or text.strip("0") == "":
        raise WireDriftError(f"timestamp {text[:40]!r} is no positive number of milliseconds")
    stamp = int(text) * 1_000_000
    if stamp > ts_ns + AHEAD_MAX_NS:
        raise WireDriftError(f"timestamp {text} lies more than an hour ahead of our clock")
    return stamp
