"""What the venues' protocols share: the books they mirror, how a book is failed closed, and how all of them are watched.

A protocol owns session, sequence numbers, gaps and resyncs. What it cannot use leaves as a DeadLetter, and the instrument that it
may have concerned is invalid until a fresh snapshot.

A book may be traded on while its own frames, or REST, vouch for it (`producers.feeds.silence`) and the feed is on time
(`producers.feeds.lateness`). Else it is withheld: said to be invalid, mirrored on, and told whole once it is vouched for again. A book
that REST proves wrong is subscribed to anew; one that stays mute after that ends the connection.
"""

from abc import abstractmethod
from typing import assert_never

from crossbook.domain.grid import PriceGrid
from producers.feeds.followed import RETRY_FIRST_NS, RETRY_MAX_NS, Followed
from producers.feeds.lateness import Lateness
from producers.feeds.silence import SETTLE_NS, Verdict
from producers.feeds.socket_protocol import (
    SECOND_NS,
    STAGE,
    Command,
    ConfirmSettlement,
    FetchBook,
    Output,
    ProbeBooks,
    Reconnect,
    RefreshListing,
    SocketProtocol,
    decode_json,
    stamp_ns,
)
from schemas.records import BookDelta, BookSnapshot, FeedState, FeedStatus, InstrumentListed, Venue

__all__ = [
    "RETRY_FIRST_NS",
    "SECOND_NS",
    "STAGE",
    "Command",
    "ConfirmSettlement",
    "FetchBook",
    "Followed",
    "Output",
    "ProbeBooks",
    "Reconnect",
    "RefreshListing",
    "SocketProtocol",
    "VenueProtocol",
    "decode_json",
    "stamp_ns",
]

#: How often the silence of all books is looked at.
WATCH_NS = SECOND_NS // 5
#: Most books of one reading of REST (Kalshi takes 100, Polymarket 500), and the least time between two readings: 200 books a
#: second, in two requests, against 4 a second of a public address at Kalshi and 50 at Polymarket. Fails double the time.
PROBES_MAX = 100
PROBE_SPACING_NS = SECOND_NS // 2
PROBE_SPACING_MAX_NS = 30 * SECOND_NS
#: A reading that was not answered for so long will not be: the shell gives one up sooner.
PROBE_LOST_NS = 30 * SECOND_NS
#: Books probed when a whole connection has gone quiet: those that changed last.
QUIET_PROBES = 2
#: A renewed subscription is answered by a whole book within this.
RENEWED_NS = 5 * SECOND_NS


class VenueProtocol(SocketProtocol):
    """Base of a venue's protocol: a socket that tells of books."""

    venue: Venue

    def __init__(
        self,
        feed: str,
        *,
        silence_ns: int = 2 * SECOND_NS,
        answer_ns: int = 15 * SECOND_NS,
        check_ns: int = 20 * SECOND_NS,
    ) -> None:
        super().__init__(feed)
        self.followed: dict[str, Followed] = {}
        self.lateness = Lateness()
        self._silence_ns = silence_ns
        self._answer_ns = answer_ns
        self._check_ns = check_ns
        self._troubled: dict[str, None] = {}
        self._watch_at_ns = 0
        self._asked_ns = 0  # when the first subscription of this connection was queued; 0: none was
        self._quiet_asked_ns = 0  # when books were last probed because the whole connection was quiet
        self._probing: tuple[str, ...] = ()
        self._probed = 0  # books that the reading under way has brought
        self._probing_ns = 0
        self._probe_at_ns = 0
        self._probe_wait_ns = PROBE_SPACING_NS

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

    def tick(self, ts_ns: int) -> list[Output]:
        """Decide what time alone decides: silence, answers that did not come, books to be asked for again."""
        return [*self._watch(ts_ns), *self._ask_again(ts_ns)]

    def probed(self, instrument_id: str, body: bytes, ts_ns: int) -> list[Output]:
        """Take one book that the ProbeBooks under way brought."""
        outputs: list[Output] = []
        one = self.followed.get(instrument_id)
        if one is not None and one.silence.asked_ns and instrument_id in self._probing:
            self._probed += 1
            self._judge(one, body, ts_ns, outputs)
        return outputs

    def probes_over(self, ts_ns: int) -> list[Output]:
        """The ProbeBooks under way brings no more: a book that is missing says nothing."""
        asked, self._probing = self._probing, ()
        answered, self._probed = self._probed, 0
        self._probe_wait_ns = PROBE_SPACING_NS if answered else min(PROBE_SPACING_MAX_NS, 2 * self._probe_wait_ns)
        self._probe_at_ns = ts_ns + self._probe_wait_ns
        outputs: list[Output] = []
        for instrument_id in asked:
            one = self.followed.get(instrument_id)
            if one is not None and one.silence.asked_ns:
                self._judge(one, None, ts_ns, outputs)
        if asked and not answered and ts_ns - (self.ts_data_ns or ts_ns) >= self._silence_ns:
            outputs.append(Reconnect(reason="silent, and REST does not answer"))
        return outputs

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
        self._begin_watch(ts_ns)
        for one in self.followed.values():
            one.reset("new session", ts_ns)
        self._subscribe(ts_ns)
        return [self.status(ts_ns)]

    def disconnect(self, reason: str, ts_ns: int) -> list[Output]:
        """The socket is gone: every book is invalid."""
        self.connected = False
        self.reason = reason
        self._outgoing.clear()
        self._troubled.clear()
        self._begin_watch(ts_ns)
        for one in self.followed.values():
            one.reset(reason, ts_ns)
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
            one.silence.begin(ts_ns)
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
        """Health as of now: live once books came on this connection, while they come in time."""
        if not self.connected or self.ts_data_ns is None:
            return self._status(ts_ns, "down", self.reason)
        if self.lateness.behind_ns:
            return self._status(ts_ns, "down", self._say_late())
        return self._status(ts_ns, "live", "")

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
    def _renew_subscription(self, ones: list[Followed], ts_ns: int) -> None:
        """Queue the end of a subscription and its new beginning, which brings a whole book."""

    @abstractmethod
    def _ask_again(self, ts_ns: int) -> list[Output]:
        """Ask for invalid books that are due again, and give up what is not answered."""

    @abstractmethod
    def _index(self, one: Followed) -> None:
        """Make the instrument findable by the names that frames use."""

    @abstractmethod
    def _unindex(self, one: Followed) -> None:
        """Undo `_index`."""

    # -- shared pieces

    def _data_came(self, ts_ns: int, outputs: list[Output]) -> None:
        """Note a frame of the books; the first one of a session makes the feed live, and that is said before its events.

        Frames of other channels prove nothing about books and are not noted.
        """
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
            clock_offset_ns=self.clock_offset_ns,
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

    def _show(self, one: Followed, ts_ns: int, outputs: list[Output]) -> None:
        """The mirror holds a whole book that is vouched for: tell it, or withhold it while the feed is late."""
        one.reason = ""
        # The wait is kept and only shortened, so that a book that breaks after every snapshot is not asked for in a storm.
        one.retry_ns = max(RETRY_FIRST_NS, one.retry_ns // 2)
        if not one.suspect_since_ns:
            self._troubled.pop(one.id, None)
        one.valid = not self.lateness.behind_ns
        one.withheld = "" if one.valid else "late"
        if one.valid:
            outputs.append(self._snapshot(one, ts_ns, keyframe=False))
        else:
            self.counters["withheld"] += 1

    def _fail_closed(self, ones: list[Followed], reason: str, ts_ns: int) -> list[Output]:
        """Invalidate books and say so; books that are invalid already are not said twice."""
        said = [one for one in ones if one.valid]
        for one in ones:
            one.valid = False
            one.withheld = ""
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

    # -- silence

    def _begin_watch(self, ts_ns: int) -> None:
        self.lateness.begin()
        self._watch_at_ns = ts_ns
        self._asked_ns = self._quiet_asked_ns = self._probing_ns = self._probe_at_ns = 0
        self._probing = ()
        self._probed = 0
        self._probe_wait_ns = PROBE_SPACING_NS

    def _subscription_asked(self, ts_ns: int) -> None:
        self._asked_ns = self._asked_ns or ts_ns

    def _heard(self, one: Followed, ts_ns: int) -> None:
        """A book frame of this instrument came by itself."""
        one.silence.heard(ts_ns)
        if one.on_trial:
            one.on_trial = False
            one.awaited_until_ns = 0
            one.silence.mended()

    def _answered(self, one: Followed, ts_ns: int) -> None:
        """A whole book of this instrument came over the socket because it was asked for."""
        one.silence.answered(ts_ns)
        one.awaited_until_ns = 0

    def _spoke(self, one: Followed, ts_ns: int) -> list[Output]:
        """A change came for a withheld book. After a silence nobody knows what was missed: the book is asked for whole."""
        if one.withheld == "silent":
            return self.distrust(one.id, "it spoke again after a silence unlike it", ts_ns)
        return []

    def _watch(self, ts_ns: int) -> list[Output]:
        """Withhold books that are silent for longer than is their habit, and have books held against REST before that."""
        if not self.connected or ts_ns < self._watch_at_ns:
            return []
        self._watch_at_ns = ts_ns + WATCH_NS
        if self.ts_data_ns is None:
            if self._asked_ns and ts_ns - self._asked_ns >= self._answer_ns:
                return [Reconnect(reason="no book came after the subscription")]
            return []
        if self.lateness.gives_up(ts_ns):
            return [Reconnect(reason=self._say_late())]
        doubtful = [one for one in self.followed.values() if one.valid and one.silence.doubtful(ts_ns)]
        outputs = self._withhold(doubtful, "silent for longer than its habit, not yet held against REST", ts_ns)
        for one in self.followed.values():
            if one.awaited_until_ns and ts_ns > one.awaited_until_ns:
                one.awaited_until_ns = 0
                if one.silence.may_end(ts_ns):
                    outputs.append(Reconnect(reason=f"{one.id} does not answer its renewed subscription"))
        return outputs + self._probe(ts_ns)

    def _withhold(self, ones: list[Followed], reason: str, ts_ns: int) -> list[Output]:
        """Say that books are invalid, and mirror them on until REST or the socket vouches for them."""
        withheld = [one for one in ones if one.valid]
        outputs = self._fail_closed(withheld, reason, ts_ns)
        for one in withheld:
            one.withheld = "silent"
            self._troubled.pop(one.id, None)
        return outputs

    def _probe(self, ts_ns: int) -> list[Output]:
        """Have the books read that are due, those first that were vouched for longest ago."""
        half_ns = self._silence_ns // 2
        watched = [one for one in self.followed.values() if one.valid or one.withheld == "silent"]
        if ts_ns - max(self.ts_data_ns or 0, self._quiet_asked_ns) >= half_ns:
            self._quiet_asked_ns = ts_ns
            for one in sorted(watched, key=lambda one: -one.silence.heard_ns)[:QUIET_PROBES]:
                one.silence.urgent = True
        if self._probing:
            return [] if ts_ns - self._probing_ns < PROBE_LOST_NS else self.probes_over(ts_ns)
        if ts_ns < self._probe_at_ns:
            return []
        due = sorted(
            (one for one in watched if one.silence.due(ts_ns, self._check_ns)), key=lambda one: one.silence.assured_ns
        )[:PROBES_MAX]
        if not due:
            return []
        for one in due:
            one.silence.ask(ts_ns)
        self._probing = tuple(one.id for one in due)
        self._probing_ns = ts_ns
        self._probe_at_ns = ts_ns + PROBE_SPACING_NS
        return [ProbeBooks(instrument_ids=self._probing)]

    def _judge(self, one: Followed, body: bytes | None, ts_ns: int, outputs: list[Output]) -> None:
        """Hold one book against what REST says of it; bytes that were equal to a mirror that has not moved are equal again."""
        seen = (one.silence.heard_ns, hash(body))
        differs = None if body is None else seen != one.equal_seen and self.rest_differs(one.id, body)
        if differs is False:
            one.equal_seen = seen
        verdict = one.silence.judge(
            differs=differs,
            ts_ns=ts_ns,
            check_ns=self._check_ns,
            settle_ns=min(SETTLE_NS, self._silence_ns // 8),
        )
        self.counters[f"probe.{verdict.name.lower()}"] += 1
        match verdict:
            case Verdict.NOTHING:
                return
            case Verdict.DIFFERS:
                outputs += self._withhold([one], "the book differs from the venue's own by REST: looking again", ts_ns)
            case Verdict.EQUAL:
                if one.withheld == "silent":
                    self._show(one, ts_ns, outputs)
            case Verdict.MUTE:
                outputs += self._mute(one, ts_ns)
            case _:
                assert_never(verdict)

    def _mute(self, one: Followed, ts_ns: int) -> list[Output]:
        """A book moved on at the venue and nothing came: subscribe to it anew; if all is quiet or that was done, dial anew."""
        if 2 * (ts_ns - (self.ts_data_ns or 0)) >= self._silence_ns:
            return [Reconnect(reason="silent")]
        outputs = self._fail_closed([one], "the book differs from the venue's own by REST", ts_ns)
        if one.on_trial and one.silence.may_end(ts_ns):
            return [*outputs, Reconnect(reason=f"{one.id} stays mute after its subscription was renewed")]
        one.on_trial = True
        one.awaited_until_ns = ts_ns + RENEWED_NS
        self._due(one, ts_ns)  # the renewal is the first asking
        self._renew_subscription([one], ts_ns)
        return outputs

    # -- lateness

    def _note_change(self, ts_venue_ns: int, ts_ns: int, outputs: list[Output]) -> None:
        """Note the venue's stamp of a change: whether the feed falls behind its own best, or is on time again."""
        self._note_offset(ts_venue_ns, ts_ns)
        if not self.lateness.take(ts_ns - ts_venue_ns, ts_ns):
            return
        outputs.append(self.status(ts_ns))
        if self.lateness.behind_ns:
            self.counters["behind"] += 1
            for one in self.followed.values():  # the status just said makes all of them invalid
                one.withheld = "late" if one.valid else one.withheld
                one.valid = False
            return
        for one in self.followed.values():
            if one.withheld != "late":
                continue
            if one.suspect_since_ns:
                outputs += self.distrust(one.id, "the book was suspect when the feed caught up", ts_ns)
            else:
                self._show(one, ts_ns, outputs)

    def _say_late(self) -> str:
        return f"changes come {self.lateness.behind_ns // 1_000_000} ms later than the feed's best"
