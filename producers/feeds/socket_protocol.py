"""What all sans-I/O protocols share: what they give, what a shell must do with one, and how they read JSON and stamps.

A protocol turns frames and stamps into canonical records and commands; the shell around it does what the commands say. It must
never touch a socket, a clock or a log, and `receive` must never raise: what it cannot use leaves as a DeadLetter.
"""

from abc import ABC, abstractmethod
from collections import Counter, deque
from dataclasses import dataclass
from statistics import median_low
from typing import Any, TypeAlias

import msgspec

from crossbook.domain.dead_letters import dead_letter
from producers.errors import WireDriftError
from schemas.records import DeadLetter, Record

STAGE = "producers"
SECOND_NS = 1_000_000_000
#: A venue stamp further ahead than this is no stamp: adopting it would void every later event.
AHEAD_MAX_NS = 3_600 * SECOND_NS
#: A change is told when it happens: a stamp further in the past is of another unit, or of another event.
PAST_MAX_NS = 3_600 * SECOND_NS
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeBooks:
    """Command: read these books by REST, in as few requests as the venue allows; hand each to `probed`, then call `probes_over`."""

    instrument_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshListing:
    """Command: the socket says that something of the market changed; read its listing anew. None: of any market."""

    instrument_id: str | None


Command: TypeAlias = FetchBook | Reconnect | ConfirmSettlement | RefreshListing | ProbeBooks
Output: TypeAlias = Record | Command


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

    @property
    def clock_offset_ns(self) -> int | None:
        """Median of venue stamp minus receive stamp of the last changes, ns; None when unknown."""
        return median_low(self._offsets) if self._offsets else None

    def _dead(self, kind: str, error: str, frame: bytes, ts_ns: int) -> DeadLetter:
        self.counters[f"dead.{kind}"] += 1
        return dead_letter(ts_ns=ts_ns, stage=STAGE, source=self.feed, error=f"{kind}: {error}", payload=frame)


def decode_json(frame: bytes) -> Any:
    """JSON to Python, numbers in exponent form of absurd size and all else that is no JSON refused.

    Raises:
        WireDriftError: it is none.
    """
    try:
        return msgspec.json.decode(frame)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireDriftError(f"no JSON: {error}") from error


def stamp_ns(text: str, ts_ns: int, past_ns: int = PAST_MAX_NS) -> int:
    """A venue's stamp in ms, as decimal text, in ns.

    Raises:
        WireDriftError: it is no positive whole number, lies more than an hour ahead of our clock, or more than `past_ns` behind it.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > STAMP_DIGITS_MAX or text.strip("0") == "":
        raise WireDriftError(f"timestamp {text[:40]!r} is no positive number of milliseconds")
    stamp = int(text) * 1_000_000
    if stamp > ts_ns + AHEAD_MAX_NS:
        raise WireDriftError(f"timestamp {text} lies more than an hour ahead of our clock")
    if stamp < ts_ns - past_ns:
        raise WireDriftError(f"timestamp {text} lies far in the past, or is in another unit than milliseconds")
    return stamp
